// Predicts the length of a response from the requests that finished recently.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "base/log2_bucket.h"
#include "base/random.h"
#include "base/units.h"
#include "predict/length_distribution.h"

namespace headrace::predict {

// Where an estimate came from, best evidence first.
enum class LengthSource {
  kObserved,   // Finished requests of the same prompt size, or the sizes around it.
  kPrior,      // The configured prior.
  kProfile,    // A typical one of the profile's output buckets.
  kMaxTokens,  // The request's own limit: all that is known.
  kDefault,    // Nothing is known at all.
};
std::string_view ToString(LengthSource source);

// One request's expected output length. Predicted once, when the request arrives, and kept with it,
// so that every decision about the request uses the same length.
struct LengthEstimate {
  Tokens tokens = 1;  // ≥ 1, ≤ the request's max_tokens.
  LengthSource source = LengthSource::kDefault;
};

struct LengthOptions {
  // How the distribution becomes one number.
  enum class Summary {
    kMean,
    kQuantile,  // `quantile` of the distribution.
    kSample,    // One draw, weighted by counts, as AIBrix does.
  };
  // An upper quantile by default. Long requests stay longer, so those in flight at any moment are
  // longer than those that arrive, and a mean would understate what an endpoint carries.
  Summary summary = Summary::kQuantile;
  double quantile = 0.9;
  Seconds window = 600;  // What is older is forgotten.
  Tokens prior = 0;      // Response length to assume at a cold start; 0 = none.
};

// A histogram of finished requests, input bucket × output bucket (both round(log2 tokens)), over a
// sliding window in steps of 10 s: AIBrix's output predictor, without the weaknesses that
// docs/architecture.md lists. Each bucket also keeps the sum of its tokens, so a prediction is a
// bucket's own mean instead of a power of two. Memory: at most one entry per used cell and step.
// Not thread-safe.
class LengthPredictor {
 public:
  explicit LengthPredictor(const LengthOptions& options) : options_(options) {}

  // Keeps what was learned. A shorter window takes effect at the next call.
  void SetOptions(const LengthOptions& options) { options_ = options; }

  // Learns from a finished request. `now` never goes backwards. One whose response is more than
  // twice as long as any in the window counts as twice as long, or as 4,096 tokens if that is more:
  // a wrong count must not become the rule, and true ones get there in a few steps.
  void Record(Seconds now, Tokens prompt_tokens, Tokens output_tokens);

  // The estimate for a request that arrives at `now`. `max_tokens` is the request's own limit;
  // `typical` a length to assume at a cold start, 0 = none.
  LengthEstimate Predict(Seconds now, Tokens prompt_tokens, std::optional<Tokens> max_tokens,
                         Tokens typical, Rng& rng);

  // The distribution that the estimate is drawn from, in finer buckets. It is made anew when it is
  // older than a second or a tenth of its samples are new. Before there are samples, and for as
  // long as there are few, it leans on a lognormal one around `typical`, the configured prior or a
  // usual chat response. The finer buckets are kept from the first call on.
  std::shared_ptr<const LengthDistribution> Distribution(Seconds now, Tokens prompt_tokens,
                                                         Tokens typical);

  // Finished requests inside the window, as of the last call.
  std::int64_t samples() const { return total_; }

 private:
  static constexpr Seconds kStep = 10;
  // With fewer samples than this, a prior is the better prediction.
  static constexpr std::int64_t kEnoughSamples = 8;

  struct Cell {
    std::int64_t count = 0;
    std::int64_t tokens = 0;
  };
  struct StepEntry {
    int input;
    int output;
    Cell cell;
  };
  struct FineEntry {
    int input;
    int bucket;  // Of LengthDistribution.
    std::int64_t count;
  };
  struct Step {
    std::int64_t number;  // floor(time / kStep)
    std::vector<StepEntry> entries;
    std::vector<FineEntry> fine;
  };
  struct Cached {
    std::shared_ptr<const LengthDistribution> distribution;
    Seconds made = 0;
    std::int64_t samples = 0;  // All there were.
    Tokens typical = 0;
  };

  void Advance(Seconds now);
  Tokens MostBelieved() const;
  // Calls `add(row)` for the rows around `input` that together hold enough samples; false if all
  // rows together do not.
  template <typename Add>
  bool RowsAround(int input, const Add& add) const;
  // The counts that stand for no sample, for responses of this median length.
  const LengthDistribution::Counts& Prior(Tokens median);
  bool Gather(int input, std::array<Cell, kLog2Buckets>& row) const;
  double Summarise(const std::array<Cell, kLog2Buckets>& row, Rng& rng) const;

  LengthOptions options_;
  std::array<std::array<Cell, kLog2Buckets>, kLog2Buckets> cells_{};  // [input][output]
  std::array<std::int64_t, kLog2Buckets> row_counts_{};               // [input]
  std::array<std::int64_t, kLog2Buckets> column_counts_{};            // [output]
  std::array<std::array<std::int32_t, LengthDistribution::kBuckets>, kLog2Buckets> fine_{};
  std::array<Cached, kLog2Buckets> cached_;
  Tokens prior_median_ = 0;
  LengthDistribution::Counts prior_{};  // For that median.
  std::int64_t recorded_ = 0;           // In fine_, ever.
  bool keeps_fine_ = false;             // From the first question for a distribution on.
  std::int64_t total_ = 0;
  std::deque<Step> steps_;
};

}  // namespace headrace::predict
