// How long will the answer be? Learned from the requests that finished lately.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <optional>
#include <string_view>
#include <vector>

#include "base/log2_bucket.h"
#include "base/random.h"
#include "base/units.h"

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

// One request's expected output length. Made once, when the request arrives, and kept with it: a
// request that is looked at twice has the same length twice.
struct LengthEstimate {
  Tokens tokens = 1;  // ≥ 1, ≤ the request's max_tokens.
  LengthSource source = LengthSource::kDefault;
};

struct LengthOptions {
  // How the distribution becomes one number.
  enum class Summary {
    kMean,
    kQuantile,  // `quantile` of the distribution.
    kSample,    // One draw, weighted by counts: the reference behaviour.
  };
  // An upper quantile by default: the requests in flight at any moment are longer than those that
  // arrive, since long ones stay longer, so a mean understates what an endpoint carries.
  Summary summary = Summary::kQuantile;
  double quantile = 0.9;
  Seconds window = 600;  // What is older is forgotten.
  Tokens prior = 0;      // Answer length to assume at a cold start; 0 = none.
};

// A histogram of finished requests, input bucket × output bucket (both round(log2 tokens)), over a
// sliding window in steps of 10 s: AIBrix's output predictor with the weaknesses mended that
// docs/architecture names. Each bucket also keeps its tokens' sum, so an answer is a bucket's own
// mean rather than a power of two. Memory: at most one entry per occupied cell and step.
// Not thread-safe.
class LengthPredictor {
 public:
  explicit LengthPredictor(const LengthOptions& options) : options_(options) {}

  // What was learned stays; a shorter window forgets with the next call.
  void SetOptions(const LengthOptions& options) { options_ = options; }

  // Learns from a finished request. `now` never goes backwards.
  void Record(Seconds now, Tokens prompt_tokens, Tokens output_tokens);

  // The estimate for a request that arrives at `now`. `max_tokens` is the request's own limit;
  // `typical` a length to assume at a cold start, 0 = none.
  LengthEstimate Predict(Seconds now, Tokens prompt_tokens, std::optional<Tokens> max_tokens,
                         Tokens typical, Rng& rng);

  // Finished requests inside the window, as of the last call.
  std::int64_t samples() const { return total_; }

 private:
  static constexpr Seconds kStep = 10;
  // Fewer samples than this say less than a prior does.
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
  struct Step {
    std::int64_t number;  // floor(time / kStep)
    std::vector<StepEntry> entries;
  };

  void Advance(Seconds now);
  // Sums the rows around `input` that together hold enough samples; false when all of them do not.
  bool Gather(int input, std::array<Cell, kLog2Buckets>& row) const;
  double Summarise(const std::array<Cell, kLog2Buckets>& row, Rng& rng) const;

  LengthOptions options_;
  std::array<std::array<Cell, kLog2Buckets>, kLog2Buckets> cells_{};  // [input][output]
  std::array<std::int64_t, kLog2Buckets> row_counts_{};
  std::int64_t total_ = 0;
  std::deque<Step> steps_;
};

}  // namespace headrace::predict
