#include "scheduler/assessment.h"

#include <algorithm>
#include <cmath>
#include <tuple>

namespace headrace::scheduler {
namespace {

// The profile's matrix that a target is compared with.
const std::optional<profile::BucketMatrix>& MatrixFor(const slo::Target& target,
                                                      const profile::GpuProfile& profile) {
  return target.measure == slo::Target::Measure::kTtft ? profile.ttft : profile.e2e;
}

// An engine may be so much faster than it is believed to be: no request is refused for that.
constexpr double kFaster = 0.8;

// What a response of so many tokens takes, in the terms of its target, on an engine that has
// nothing else to do.
Seconds OnIdle(const fleet::Deployment& deployment, slo::Target::Measure measure,
               Tokens prompt_tokens, Tokens output_tokens) {
  const fleet::Alone alone = fleet::AloneOn(deployment.Steps(), deployment.engine->constants.chunk,
                                            prompt_tokens, output_tokens);
  const bool ttft = measure == slo::Target::Measure::kTtft;
  return kFaster * (alone.first_token + (ttft ? 0 : alone.decode));
}

// What a forecast says instead of a profile: any deployment can serve any request, at some time.
Verdict Forecast(const SizedRequest& request, const fleet::Deployment& deployment,
                 fleet::DeploymentId id) {
  const slo::Slo* profile_slo = deployment.profile ? &deployment.profile->slo : nullptr;
  fleet::Demand demand = DemandOf(request, profile_slo);
  demand.slo = slo::EffectiveSlo(request.own_slo, request.pool_slo, profile_slo);
  Verdict verdict{.kind = Verdict::Kind::kCandidate, .target = demand.target};
  verdict.candidate = {
      .deployment = id,
      .latest_start = fleet::StepForecast::LatestStart(demand, *deployment.engine)};
  if (demand.target) {
    verdict.expected = request.arrived + demand.target->seconds - verdict.candidate.latest_start;
  }
  return verdict;
}

Verdict Unknown(FallbackCause cause) {
  Verdict verdict;
  verdict.cause = cause;
  return verdict;
}

}  // namespace

fleet::Demand DemandOf(const SizedRequest& request, const slo::Slo* profile_slo) {
  fleet::Demand demand{.arrived = request.arrived,
                       .prompt_tokens = request.prompt_tokens,
                       .output_tokens = request.output_tokens,
                       .lengths = request.lengths,
                       .most_tokens = request.most_tokens};
  const slo::Slo* slo = slo::EffectiveSlo(request.own_slo, request.pool_slo, profile_slo);
  if (slo != nullptr) {
    demand.target = slo::TargetOf(*slo, request.prompt_tokens, request.output_tokens);
  }
  return demand;
}

Verdict Assess(const SizedRequest& request, const fleet::Deployment& deployment,
               fleet::DeploymentId id, const fleet::LoadModel& model) {
  if (!deployment.Fits(request.context)) {
    Verdict too_long;
    too_long.kind = Verdict::Kind::kTooLong;
    return too_long;
  }
  if (request.needs == routing::PolicyNeeds::kForecast) return Forecast(request, deployment, id);
  if (!deployment.profile) return Unknown(FallbackCause::kNoProfile);
  const profile::GpuProfile& profile = *deployment.profile;
  const profile::ProfileCell cell = profile.Find(request.prompt_tokens, request.output_tokens);

  Verdict verdict;
  verdict.candidate.deployment = id;
  const slo::Slo& slo = *slo::EffectiveSlo(request.own_slo, request.pool_slo, &profile.slo);
  if (request.needs == routing::PolicyNeeds::kSlo) {
    verdict.target = slo::TargetOf(slo, request.prompt_tokens, request.output_tokens);
    if (!verdict.target) return Unknown(FallbackCause::kNoSlo);
    const auto& matrix = MatrixFor(*verdict.target, profile);
    if (!matrix) return Unknown(FallbackCause::kMissingMatrix);
    verdict.expected = matrix->at(cell.output, cell.input);
    if (std::isnan(verdict.expected)) return Unknown(FallbackCause::kHole);
  }

  const std::optional<fleet::Load> share = model.Share(profile, cell);
  if (!share) {
    return Unknown(profile.e2e ? FallbackCause::kHole : FallbackCause::kMissingMatrix);
  }
  verdict.candidate.share = *share > 0 ? *share : fleet::kCapacity;
  verdict.candidate.highest_order = model.HighestOrderWithRoom(verdict.candidate.share);
  verdict.kind = Verdict::Kind::kCandidate;
  // A policy that needs the load alone still has to place what no SLO can be met for.
  if (request.needs != routing::PolicyNeeds::kSlo) return verdict;

  // The profile was made for this very SLO: a cell with a tput keeps it, and one without does not
  // at the lowest rate.
  const bool certified = slo.SameLatencies(profile.slo);
  if (certified && *share == 0) {
    verdict.kind = Verdict::Kind::kInfeasible;
    return verdict;
  }
  const auto expect = [&](const slo::Target& target, Seconds expected) {
    verdict.target = target;
    verdict.expected = expected;
    verdict.candidate.latest_start = request.arrived + target.seconds - expected;
  };
  expect(*verdict.target, verdict.expected);
  const bool in_time = verdict.candidate.latest_start >= request.arrived;
  if (*share > 0 && (in_time || certified)) {
    // One that is shorter than the middle of its cell is in time if it starts at once.
    if (!in_time) verdict.candidate.latest_start = request.arrived;
    return verdict;
  }
  // Late where the GPU is full. On an idle one? Nobody knows how long the response will be: the
  // length that is best for it counts.
  Seconds most_slack = *share > 0 ? verdict.candidate.latest_start - request.arrived : -kNever;
  for (const Tokens tokens : {request.output_tokens, request.least_tokens}) {
    const slo::Target target = *slo::TargetOf(slo, request.prompt_tokens, tokens);
    const Seconds idle = OnIdle(deployment, target.measure, request.prompt_tokens, tokens);
    if (target.seconds - idle <= most_slack) continue;
    most_slack = target.seconds - idle;
    expect(target, idle);
  }
  return verdict;
}

FallbackCause WhyUnusable(const profile::GpuProfile& profile, routing::PolicyNeeds needs,
                          const std::optional<slo::Slo>& pool_slo) {
  if (needs == routing::PolicyNeeds::kNothing || needs == routing::PolicyNeeds::kForecast) {
    return FallbackCause::kNone;
  }
  if (needs == routing::PolicyNeeds::kSlo) {
    const slo::Slo& slo = *slo::EffectiveSlo(std::nullopt, pool_slo, &profile.slo);
    const auto target = slo::TargetOf(slo, 1, 1);
    if (!target) return FallbackCause::kNoSlo;
    if (!MatrixFor(*target, profile)) return FallbackCause::kMissingMatrix;
  }
  return profile.e2e ? FallbackCause::kNone : FallbackCause::kMissingMatrix;
}

namespace {

// Whether an endpoint is up in the deployment that the request may go to.
bool IsUpIn(fleet::DeploymentId id, const SizedRequest& request, const fleet::Fleet& fleet) {
  if (fleet.deployments()[id].up == 0 || request.among == nullptr) {
    return fleet.deployments()[id].up > 0;
  }
  return std::ranges::any_of(*request.among, [&](fleet::EndpointHandle handle) {
    return fleet.Has(handle) && fleet.endpoint(handle.id).deployment == id &&
           fleet.endpoint(handle.id).up;
  });
}

}  // namespace

void AssessAll(const SizedRequest& request, const fleet::Fleet& fleet, Assessment& assessment) {
  assessment.deployments.clear();
  assessment.too_long_for = 0;
  assessment.candidates.clear();
  assessment.unprofiled.clear();
  assessment.cause = FallbackCause::kNone;
  assessment.slo_deadline = kNever;
  assessment.request = DemandOf(request, nullptr);
  assessment.nowhere =
      request.among != nullptr &&
      std::ranges::none_of(*request.among, [&](auto handle) { return fleet.Has(handle); });

  const auto deployments = fleet.deployments();
  bool infeasible = false;
  FallbackCause cause = FallbackCause::kNone;
  for (fleet::DeploymentId id = 0; id < deployments.size(); ++id) {
    if (!deployments[id].Fits(request.context)) {
      assessment.too_long_for += deployments[id].retired ? 0 : 1;
      continue;
    }
    if (!IsUpIn(id, request, fleet)) continue;
    assessment.deployments.push_back(id);
    if (request.needs == routing::PolicyNeeds::kNothing) continue;
    const Verdict verdict = Assess(request, deployments[id], id, fleet.model());
    switch (verdict.kind) {
      case Verdict::Kind::kCandidate:
        assessment.candidates.push_back(verdict.candidate);
        break;
      case Verdict::Kind::kTooLong:
        break;  // Left out above.
      case Verdict::Kind::kInfeasible:
        infeasible = true;
        break;
      case Verdict::Kind::kUnknown:
        assessment.unprofiled.push_back(id);
        if (cause == FallbackCause::kNone || verdict.cause < cause) cause = verdict.cause;
        break;
    }
  }
  if (assessment.candidates.empty()) {
    if (infeasible || assessment.deployments.empty()) {
      assessment.slo_deadline = -kNever;
    } else {
      assessment.cause = cause;
    }
    return;
  }
  std::ranges::sort(
      assessment.candidates, [](const routing::Candidate& a, const routing::Candidate& b) {
        return std::tie(b.latest_start, a.deployment) < std::tie(a.latest_start, b.deployment);
      });
  assessment.slo_deadline = assessment.candidates.front().latest_start;
}

}  // namespace headrace::scheduler
