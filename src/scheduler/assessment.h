// What each deployment could do for one request, from its profile alone.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/units.h"
#include "fleet/fleet.h"
#include "fleet/load_model.h"
#include "routing/policy.h"
#include "scheduler/events.h"
#include "slo/slo.h"

namespace headrace::scheduler {

// A request by the sizes and SLOs that it is assessed by.
struct SizedRequest {
  Seconds arrived = 0;
  Tokens prompt_tokens = 1;
  Tokens output_tokens = 1;  // Expected.
  Tokens least_tokens = 1;   // The shortest that the response may be.
  Tokens context = 0;        // What it needs of an engine's context; 0: fits everywhere.
  // Null if output_tokens is exact.
  std::shared_ptr<const predict::LengthDistribution> lengths;
  Tokens most_tokens = fleet::kNoLimit;
  const std::optional<slo::Slo>& own_slo;
  const std::optional<slo::Slo>& pool_slo;
  routing::PolicyNeeds needs = routing::PolicyNeeds::kNothing;
  const std::vector<fleet::EndpointHandle>* among = nullptr;  // Arrival::among.
};

// The request as a load model gets it where no profile tells its share. `profile_slo`: of the
// deployment; null if it has no profile, or before there is a deployment.
fleet::Demand DemandOf(const SizedRequest& request, const slo::Slo* profile_slo);

// One deployment's result for a request.
struct Verdict {
  enum class Kind {
    kCandidate,   // It can serve the request; `candidate` says how.
    kTooLong,     // It does not fit into the context there.
    kInfeasible,  // Its profile, made for this SLO, says that it cannot be met (tput 0).
    kUnknown,     // Nothing can be said, because of `cause`.
  };
  Kind kind = Kind::kUnknown;
  FallbackCause cause = FallbackCause::kNone;
  routing::Candidate candidate;
  // For explanations: the target, and what the profile expects, in the same terms; nullopt
  // and 0 where nothing is set or known.
  std::optional<slo::Target> target;
  Seconds expected = 0;
};

// Rank and load of a request on a deployment, by AIBrix's rules: slo::TargetOf gives the target,
// the profile's cell of the request's size the expected latency of the same kind (ttft or e2e), and
// the request is in time if it starts by arrived + target − expected. Where the SLO is the one that
// the profile was made for, a cell with a tput above 0 says itself that a start at once is in time.
// Where it is another one, and the profile, made on a full GPU, expects too much, what an idle
// engine takes is expected instead.
Verdict Assess(const SizedRequest& request, const fleet::Deployment& deployment,
               fleet::DeploymentId id, const fleet::LoadModel& model);

// Why a policy with these needs can route no request at all by the profile, under the pool's SLO
// (else the profile's own); kNone if it can.
FallbackCause WhyUnusable(const profile::GpuProfile& profile, routing::PolicyNeeds needs,
                          const std::optional<slo::Slo>& pool_slo);

// The verdicts of all deployments that are up, as decisions need them.
struct Assessment {
  std::uint64_t epoch = 0;                       // When it was made; see AssessmentCache.
  fleet::Demand request;                         // Before there is a deployment.
  std::vector<fleet::DeploymentId> deployments;  // Where it fits and an endpoint is up, by id.
  bool nowhere = false;  // None of the endpoints that it is limited to is in the fleet.
  int too_long_for = 0;  // Deployments, up or not, where it does not fit.
  std::vector<routing::Candidate> candidates;   // Most relaxed first.
  std::vector<fleet::DeploymentId> unprofiled;  // Nothing is known about the request there.
  // Why the policy's fallback has to serve the request; kNone if the policy itself can.
  FallbackCause cause = FallbackCause::kNone;
  // The latest start on the most relaxed deployment; −kNever if its SLO is infeasible everywhere,
  // or nothing is up where it fits.
  Seconds slo_deadline = kNever;
};

// Makes `assessment` anew (its epoch is the caller's), reusing its memory.
void AssessAll(const SizedRequest& request, const fleet::Fleet& fleet, Assessment& assessment);

}  // namespace headrace::scheduler
