// What each deployment could do for one request, from its profile alone.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/units.h"
#include "fleet/fleet.h"
#include "fleet/load_model.h"
#include "routing/policy.h"
#include "scheduler/events.h"
#include "slo/slo.h"

namespace headrace::scheduler {

// The sizes and promises by which a request is judged.
struct RequestDemand {
  Seconds arrived = 0;
  Tokens prompt_tokens = 1;
  Tokens output_tokens = 1;
  const slo::Slo* slo = nullptr;  // The request's or the model's; null = each profile's own.
  routing::PolicyNeeds needs = routing::PolicyNeeds::kNothing;
};

// One deployment's answer to a demand.
struct Verdict {
  enum class Kind {
    kCandidate,   // It can serve the request; `candidate` says how.
    kInfeasible,  // Its profile says that the SLO cannot be met there (tput 0 in the bucket).
    kUnknown,     // Nothing can be said, because of `cause`.
  };
  Kind kind = Kind::kUnknown;
  FallbackCause cause = FallbackCause::kNone;
  routing::Candidate candidate;
  // For explanations: 0 where the profile does not say.
  double tput = 0;       // Of the request's cell, req/s.
  Seconds expected = 0;  // What the profile expects: TTFT for a TTFT SLO, else E2E.
  Seconds target = 0;    // What was promised, in the same terms.
};

// Rank and load of a request on a deployment, by AIBrix's rules: the first SLO that is set wins,
//   tpot: target = tpot · out + ttft   expected = e2e[cell]
//   ttft: target = ttft                expected = ttft[cell]
//   tpat: target = tpat · (in + out)   expected = e2e[cell]
//   e2e:  target = e2e                 expected = e2e[cell]
// and the request is in time if it starts by arrived + target − expected. Where the SLO is the one
// that the profile was made for, a cell with a tput above 0 says itself that a start at once is in
// time.
Verdict Assess(const RequestDemand& demand, const fleet::Deployment& deployment,
               fleet::DeploymentId id, const fleet::LoadModel& model);

// Why a policy with these needs can route no request whatever by the profile, under the model's SLO
// (null = the profile's own); kNone when it can.
FallbackCause WhyUnusable(const profile::GpuProfile& profile, routing::PolicyNeeds needs,
                          const slo::Slo* slo);

}  // namespace headrace::scheduler
