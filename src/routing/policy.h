// The small interface of every routing policy.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "base/random.h"
#include "base/units.h"
#include "fleet/fleet.h"
#include "fleet/load_model.h"
#include "slo/slo.h"

namespace headrace::routing {

// A deployment whose profile can say something about a request.
struct Candidate {
  fleet::DeploymentId deployment = 0;
  fleet::Load share = 0;  // What the request takes of one of its endpoints; 1 … kCapacity.
  // No endpoint above this place in the load model's order takes the request now.
  fleet::Load highest_order = 0;
  // The request meets its SLO there if it starts by then: arrival + target − expected. Its urgency
  // there, AIBrix's rank, is now − latest_start: above 0 predicts a violation.
  Seconds latest_start = kNever;
};

// The request as the load model gets it on a candidate's deployment. `request`: without a share,
// and without a target where only the profile sets one.
inline fleet::Demand DemandAt(const fleet::Demand& request, const Candidate& candidate,
                              const fleet::Deployment& deployment) {
  fleet::Demand demand = request;
  demand.share = candidate.share;
  if (!demand.target && deployment.profile) {
    demand.target =
        slo::TargetOf(deployment.profile->slo, demand.prompt_tokens, demand.output_tokens);
  }
  return demand;
}

// What a policy needs to know of a deployment before it can route there.
enum class PolicyNeeds {
  kNothing,   // Counts or latencies that the router sees itself.
  kLoad,      // A profile, for the share a request takes.
  kSlo,       // A profile and an SLO, for the latest start as well.
  kForecast,  // What endpoints are predicted to do, which is always known.
};

// What a policy sees of one request and of the fleet. Constant and small: a policy decides, it
// changes nothing.
struct RoutingContext {
  const fleet::Fleet& fleet;
  // The request itself, without what only a deployment's profile tells (DemandAt).
  const fleet::Demand& request;
  // Where the request fits into the context and an endpoint is up, by id; nothing else may be
  // chosen.
  std::span<const fleet::DeploymentId> deployments;
  // Those of them that are usable by their profile, the most relaxed (latest latest_start) first;
  // empty for a policy that needs nothing.
  std::span<const Candidate> candidates;
  Seconds now = 0;
  // Requests that wait and may still be in time, those of other replicas too.
  std::size_t waiting = 0;
  bool late = false;          // The request can no longer meet its SLO.
  Seconds deadline = kNever;  // After this it is.
  // The request must not take from others the time that they need: its priority is below 0, or its
  // tenant is above its share.
  bool yields = false;
  Rng& rng;

  // What the load model says of one more request at an endpoint of the candidate's deployment.
  fleet::Fit Assess(const Candidate& candidate, fleet::EndpointId endpoint) const {
    const fleet::Demand demand =
        DemandAt(request, candidate, fleet.deployments()[candidate.deployment]);
    return fleet.endpoint(endpoint).load->Assess(demand, now);
  }
};

// An endpoint that a policy priced for a request, and what it expected there.
struct Option {
  fleet::EndpointId endpoint = 0;
  // What the policy compares; the least is the best. kNever: not worked out, as it could not be.
  double cost = kNever;
  fleet::Outlook outlook;
};

// Chooses among endpoints that can take a request. An instance belongs to one pool's scheduler and
// may keep state between calls. To add one: one file that implements this, one row in registry.cc;
// the shared policy test and benchmark then run it as they run every other.
class Policy {
 public:
  virtual ~Policy() = default;

  // The endpoint to send the request to, or nullopt: none takes it now, let it wait. Only available
  // endpoints (see Fleet) of the context's deployments may be chosen.
  virtual std::optional<fleet::EndpointId> Choose(const RoutingContext& context) = 0;
  // Whether the request that the last Choose let wait should make room for those behind it, because
  // it will hardly be in time.
  virtual bool GivesUp() const { return false; }
  // What the last Choose looked at, for explanations; none if the policy predicts nothing. Valid
  // until the next Choose.
  virtual std::span<const Option> Considered() const { return {}; }
};

struct PolicyInfo {
  std::string_view name;
  std::string_view summary;  // One line for --help and the documentation.
  PolicyNeeds needs;
  // Serves what this one cannot, where a profile or an SLO is missing; itself needs nothing.
  std::string_view fallback;
  std::unique_ptr<Policy> (*make)();
};

// All policies, in the order in which the documentation lists them.
std::span<const PolicyInfo> Policies();
// Null if there is no policy of that name.
const PolicyInfo* FindPolicy(std::string_view name);

// A routing strategy of AIBrix that is none of ours, with the policy that comes nearest to it.
struct ForeignPolicy {
  std::string_view name;
  std::string_view nearest;
};
std::span<const ForeignPolicy> ForeignPolicies();
// The policy that comes nearest to one of these, or to a weighted list ("least-request:2,
// throughput"): then to the heaviest of the list. Null where a name is not known.
const PolicyInfo* NearestPolicy(std::string_view strategy);

}  // namespace headrace::routing
