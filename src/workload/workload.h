// The requests of users: classes, each with its arrivals, lengths and SLO.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/random.h"
#include "base/result.h"
#include "base/units.h"
#include "slo/slo.h"
#include "workload/lengths.h"
#include "workload/trace.h"

namespace headrace::workload {

// Arrivals do not wait for responses (open loop).
struct PoissonArrivals {
  double rate = 1;  // Requests per second.
};
// A renewal process with gamma-distributed gaps: CV 1 is Poisson, a CV above 1 gives bursts.
struct GammaArrivals {
  double rate = 1;
  double cv = 1;  // Standard deviation of the gaps / their mean.
};
// The same with Weibull-distributed gaps. For the same CV its bursts are longer and its pauses
// fewer; which of the two fits better differs between production workloads (ServeGen,
// arXiv:2505.09999).
struct WeibullArrivals {
  double rate = 1;
  double cv = 1;
};
// The recorded times, `speed` times as fast. Every request comes once.
struct ReplayArrivals {
  std::shared_ptr<const Trace> trace;  // Begins at 0.
  double speed = 1;
  // Begins at a time of the trace that the seed draws, and goes on from its beginning after its
  // end, a mean gap later (the circular block bootstrap). Otherwise begins at its beginning.
  bool random_start = false;
};
using Arrivals = std::variant<PoissonArrivals, GammaArrivals, WeibullArrivals, ReplayArrivals>;

// From `at` on, the class's rate is `factor` times that of its arrivals (0: no requests).
struct RateChange {
  Seconds at = 0;
  double factor = 1;
  bool operator==(const RateChange&) const = default;
};

struct WorkloadClass {
  std::string name;
  Arrivals arrivals;
  RequestLengths lengths;
  std::optional<slo::Slo> slo;
  std::vector<RateChange> rate_changes;  // Ascending in `at`.
  double cached_prompt = 0;              // Share (< 1) of each prompt that engines have cached.
  std::string tenant = {};               // Whose requests they are; empty: nobody says.
  int priority = 0;                      // Higher ones are served first.
};

// The cached tokens of a prompt of the class: at most all but one.
Tokens CachedTokens(const WorkloadClass& workload_class, Tokens prompt_tokens);

struct Workload {
  std::vector<WorkloadClass> classes;
};

// Errors: no classes; then, with the class's name: a name that is empty or used twice, a rate,
// speed or CV that is not positive or out of bounds, lengths from a trace without a trace, rate
// changes out of order, and the errors of CheckRequestLengths.
Result<void> CheckWorkload(const Workload& workload);

// Requests per second of a class at the start, before its rate changes.
double OfferedRate(const WorkloadClass& workload_class);

struct WorkloadRequest {
  Seconds at = 0;
  std::uint32_t class_index = 0;
  Tokens prompt_tokens = 1;
  Tokens output_tokens = 1;
  bool operator==(const WorkloadRequest&) const = default;
};

// The requests of a workload in order of time, one at a time, in constant memory. A class's draws
// depend on the seed and its name only, not on the other classes. Gaps are drawn in
// operational time (mean 1) and stretched by the rate, so the same seed at another rate gives the
// same requests at other times, and rates may change at any moment. Deterministic. Not thread-safe.
class WorkloadStream {
 public:
  // `workload` must pass CheckWorkload and outlive the stream; `rate_scale` (> 0) multiplies every
  // rate.
  WorkloadStream(const Workload& workload, std::uint64_t seed, double rate_scale = 1);

  // The next request; nullopt if every class has ended (only replays and rates of 0 end).
  std::optional<WorkloadRequest> Next();
  // When the next request arrives; kNever if there is none.
  Seconds NextAt() const { return next_ == nullptr ? kNever : next_->at; }

 private:
  struct ClassStream {
    const WorkloadClass* spec = nullptr;
    Rng gaps{0};
    Rng lengths{0};
    double rate = 1;              // At factor 1.
    double shape = 1;             // Of Weibull gaps.
    Seconds start = 0;            // Of a replay: the time of its trace at which it begins.
    std::size_t first_row = 0;    // The first one from then on.
    std::size_t changes = 0;      // Rate changes that have taken effect.
    std::size_t played = 0;       // Rows of a replay's trace that have come.
    Seconds at = 0;               // Of the next request.
    std::size_t current_row = 0;  // Of the same.
  };

  static double Factor(const ClassStream& stream);
  static double ReplayGap(ClassStream& stream, const ReplayArrivals& replay);
  void Advance(ClassStream& stream) const;
  void FindNext();

  std::vector<ClassStream> streams_;
  ClassStream* next_ = nullptr;
};

// The built-in workloads.
struct NamedWorkload {
  std::string_view name;
  std::string_view summary;
  Workload (*make)();
};
std::span<const NamedWorkload> NamedWorkloads();
// Null if there is none of that name.
const NamedWorkload* FindNamedWorkload(std::string_view name);

// The lengths of 10,000 ShareGPT turns (data/lengths/sharegpt.csv, part of the program).
std::shared_ptr<const std::vector<RequestLength>> ShareGptLengths();

}  // namespace headrace::workload
