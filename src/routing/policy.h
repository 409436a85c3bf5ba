// The small interface behind which every routing policy stands.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "base/random.h"
#include "base/units.h"
#include "fleet/fleet.h"
#include "fleet/load_model.h"

namespace headrace::routing {

// A deployment whose profile can say something about a request.
struct Candidate {
  fleet::DeploymentId deployment = 0;
  fleet::Load share = 0;  // What the request takes of one of its endpoints; 1 … kCapacity.
  // The request meets its SLO there if it starts by then: arrival + target − expected. Its urgency
  // there, AIBrix's rank, is now − latest_start: above 0 predicts a violation.
  Seconds latest_start = kNever;
};

// What a policy needs to know of a deployment before it can route there.
enum class PolicyNeeds {
  kNothing,  // Counts or latencies that the router sees itself.
  kLoad,     // A profile, for the share a request takes.
  kSlo,      // A profile and an SLO, for the latest start as well.
};

// Chooses among endpoints that can take a request. An instance belongs to one model's scheduler and
// may keep state between calls. Adding one: one file that implements this, one row in registry.cc;
// the shared policy test and benchmark then run it as they run every other.
class Policy {
 public:
  virtual ~Policy() = default;

  // The endpoint to send a request to, or nullopt: none takes it now, let it wait. `candidates` are
  // the request's usable deployments, the most relaxed (latest latest_start) first; empty for a
  // policy that needs nothing. Only available endpoints (see Fleet) may be chosen.
  virtual std::optional<fleet::EndpointId> Choose(std::span<const Candidate> candidates,
                                                  const fleet::Fleet& fleet,
                                                  const fleet::LoadModel& model, Seconds now,
                                                  Rng& rng) = 0;
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
// Null when there is no policy of that name.
const PolicyInfo* FindPolicy(std::string_view name);

}  // namespace headrace::routing
