// What goes into a scheduler and what comes out of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "base/units.h"
#include "fleet/fleet.h"
#include "fleet/headroom_constants.h"
#include "predict/length_predictor.h"
#include "routing/policy.h"
#include "scheduler/explanation.h"
#include "slo/slo.h"

namespace headrace::scheduler {

// Names a request while it waits or runs; never given out twice.
using RequestId = std::uint64_t;

// Whose request it is: the hash of a name. Requests that name nobody are one tenant.
using TenantId = std::uint64_t;
inline constexpr TenantId kNoTenant = 0;

// A request comes in.
struct Arrival {
  std::uint64_t tag = 0;  // The shell's own name for it, handed back with the decision.
  Tokens prompt_tokens = 1;
  std::optional<Tokens> max_tokens;
  // What it needs of an engine's context, prompt and response together: where that is shorter, it
  // is not sent. 0: it fits everywhere.
  Tokens context = 0;
  // The length of the response where it is known beforehand (a replay, an oracle experiment);
  // predicted otherwise.
  std::optional<Tokens> output_tokens;
  std::optional<slo::Slo> slo;       // The request's own; else the pool's, else each profile's.
  std::size_t bytes = 0;             // What it occupies while it waits.
  bool reports_first_token = false;  // FirstToken will be called for it.
  const routing::PolicyInfo* policy = nullptr;  // The request's own; null = the pool's.
  Detail detail = Detail::kNone;                // Of Decision::explanation.
  // For policies that forecast; others serve all alike.
  int priority = 0;  // Higher ones are served first.
  TenantId tenant = kNoTenant;
  // The endpoint that has what the request goes on from: no other one gets it while that one is up.
  std::optional<fleet::EndpointId> only;
  // The endpoints that may be chosen, at any time; those that have left the fleet count for
  // nothing. Null: all.
  std::shared_ptr<const std::vector<fleet::EndpointHandle>> among;
  std::size_t fallbacks = 0;  // How many Decision::fallbacks are wanted.
};

// What comes first where both wait: the higher priority, then the tenant that is within its share.
// 0 by default.
constexpr int StandingOf(int priority, bool above_share) {
  return 2 * priority - (above_share ? 1 : 0);
}

using Completion = fleet::Completion;

// Why the fallback serves a request instead of its policy; the first of several is reported.
enum class FallbackCause {
  kNone,
  kNoProfile,      // No deployment has a usable profile.
  kNoSlo,          // Neither the request, the pool nor a profile sets a latency.
  kMissingMatrix,  // The profile lacks the latency matrix that the SLO needs.
  kHole,           // The profile knows nothing about requests of this size.
  // Some deployments have no usable profile; the request could not be served by SLO on the others.
  kUnprofiledDeployment,
};
std::string_view ToString(FallbackCause cause);
inline constexpr int kFallbackCauses = 6;

enum class RefusalReason {
  kNoEndpoint,       // No endpoint is up where the request fits.
  kQueueFull,        // By number or by bytes.
  kSloUnattainable,  // No GPU type can meet its SLO, not even an idle one.
  kSloDeadline,      // It waited until no GPU type could meet its SLO any more.
  kQueueTimeout,     // It waited for as long as the pool's queue allows.
};
std::string_view ToString(RefusalReason reason);
inline constexpr int kRefusalReasons = 5;

// One request goes to an endpoint, or is refused. A request that gets neither waits.
struct Decision {
  RequestId id = 0;
  std::uint64_t tag = 0;
  std::optional<RefusalReason> refused;
  // If refused: the time after which another try may succeed.
  Seconds retry_after = 0;

  // If dispatched:
  fleet::EndpointId endpoint = 0;
  std::string_view policy;  // The one that chose.
  FallbackCause fallback = FallbackCause::kNone;
  // Other endpoints that would take it now, the best first, for a shell whose transport tries them
  // by itself; as many as its arrival asked for, if there are so many.
  std::vector<fleet::EndpointId> fallbacks;
  // What the policy expects of the request there; nullopt if it predicts nothing.
  std::optional<fleet::Outlook> outlook;
  // now − latest start on the chosen deployment, ≤ 0: minus the time that was left. 0 without an
  // SLO.
  Seconds rank = 0;

  predict::LengthEstimate length;
  // The SLO that holds for the request: its own, else the pool's, else the profile's of the
  // deployment that serves it (if refused: of any profile that has one). No latency set if there is
  // none.
  slo::Slo slo;
  Seconds queued = 0;  // From arrival to this decision.
  Hold hold = Hold::kNone;
  // Hold::kPromise: the broken promises that it was expected to cost at the best place, when that
  // first held it.
  double held_cost = 0;
  // If dispatched, and if its arrival asked for it.
  std::shared_ptr<const Explanation> explanation;
};
using Decisions = std::vector<Decision>;

// A tenant's part of the GPU time while there is not enough for all, beside the weights of others.
struct TenantWeight {
  TenantId tenant = kNoTenant;
  double weight = 1;
};

// What a pool's operator chooses.
struct SchedulerOptions {
  const routing::PolicyInfo* policy = nullptr;  // Required.
  std::optional<slo::Slo> slo;                  // For requests that bring none.
  std::size_t max_queue_length = 10'000;
  std::size_t max_queue_bytes = std::size_t{1} << 30;
  Seconds queue_timeout = 60;
  Seconds down_timeout = 0;  // Longest wait for an endpoint to come up; 0: refused at once.
  predict::LengthOptions length;
  std::vector<TenantWeight> tenant_weights;  // Of those whose weight is not 1.
  fleet::EjectionOptions ejection;
};

// When one of several replicas looks for gaps that it did not see open itself: each in its turn, so
// that they do not fill the same gap before they hear of each other.
struct Turns {
  int index = 0;  // Of `count` replicas.
  int count = 1;
  Seconds length = 0;  // Of each turn; > 0 if there are several replicas.
  Seconds offset = 0;  // Of the clock that they share, from this one's.

  // The begin of the next turn after this time.
  Seconds Next(Seconds now) const;
  bool operator==(const Turns&) const = default;
};

// Changes of behaviour for comparisons in the simulator.
struct Experiment {
  // Predicts a waiting request's length anew each time it is tried, instead of once, as AIBrix's
  // router does.
  bool redraw_lengths = false;
  // Forecasts know the length of a response as a distribution; else only as one number.
  bool length_distributions = true;
  fleet::HeadroomConstants constants;
};

}  // namespace headrace::scheduler
