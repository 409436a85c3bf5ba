#include "scheduler/assessment.h"

#include <algorithm>
#include <cmath>

namespace headrace::scheduler {
namespace {

struct Promise {
  Seconds target = 0;
  const std::optional<profile::BucketMatrix>* expected = nullptr;  // Null: no latency is promised.
};

Promise FindPromise(const slo::Slo& slo, const profile::GpuProfile& profile,
                    const RequestDemand& demand) {
  if (slo.tpot) {
    return {*slo.tpot * demand.output_tokens + slo.ttft.value_or(0), &profile.e2e};
  }
  if (slo.ttft) return {*slo.ttft, &profile.ttft};
  if (slo.tpat) {
    return {*slo.tpat * (static_cast<double>(demand.prompt_tokens) + demand.output_tokens),
            &profile.e2e};
  }
  if (slo.e2e) return {*slo.e2e, &profile.e2e};
  return {};
}

Verdict Unknown(FallbackCause cause) {
  Verdict verdict;
  verdict.cause = cause;
  return verdict;
}

}  // namespace

Verdict Assess(const RequestDemand& demand, const fleet::Deployment& deployment,
               fleet::DeploymentId id, const fleet::LoadModel& model) {
  if (!deployment.profile) return Unknown(FallbackCause::kNoProfile);
  const profile::GpuProfile& profile = *deployment.profile;
  const profile::ProfileCell cell = profile.Find(demand.prompt_tokens, demand.output_tokens);

  Verdict verdict;
  verdict.candidate.deployment = id;
  if (demand.needs == routing::PolicyNeeds::kSlo) {
    const slo::Slo& slo = demand.slo != nullptr ? *demand.slo : profile.slo;
    const Promise promise = FindPromise(slo, profile, demand);
    if (promise.expected == nullptr) return Unknown(FallbackCause::kNoSlo);
    if (!promise.expected->has_value()) return Unknown(FallbackCause::kMissingMatrix);
    verdict.target = promise.target;
    verdict.expected = promise.expected->value().at(cell.output, cell.input);
    if (std::isnan(verdict.expected)) return Unknown(FallbackCause::kHole);
    const Seconds slack = verdict.target - verdict.expected;
    // The profile was made for this very SLO: a cell with a tput keeps it. `slack` can still be
    // negative, for a request that is shorter than the middle of its cell; it is in time if it
    // starts at once.
    const bool certified = slo.SameLatencies(profile.slo);
    verdict.candidate.latest_start = demand.arrived + (certified ? std::max(slack, 0.0) : slack);
  }

  const std::optional<fleet::Load> share = model.Share(profile, cell);
  if (!share) {
    return Unknown(profile.e2e ? FallbackCause::kHole : FallbackCause::kMissingMatrix);
  }
  verdict.tput = profile.tput.at(cell.output, cell.input);
  verdict.candidate.share = *share > 0 ? *share : fleet::kCapacity;
  // A policy that minds load alone still has to place what no SLO can be met for.
  verdict.kind = *share == 0 && demand.needs == routing::PolicyNeeds::kSlo
                     ? Verdict::Kind::kInfeasible
                     : Verdict::Kind::kCandidate;
  return verdict;
}

FallbackCause WhyUnusable(const profile::GpuProfile& profile, routing::PolicyNeeds needs,
                          const slo::Slo* slo) {
  if (needs == routing::PolicyNeeds::kNothing) return FallbackCause::kNone;
  if (needs == routing::PolicyNeeds::kSlo) {
    const Promise promise = FindPromise(slo != nullptr ? *slo : profile.slo, profile, {});
    if (promise.expected == nullptr) return FallbackCause::kNoSlo;
    if (!promise.expected->has_value()) return FallbackCause::kMissingMatrix;
  }
  return profile.e2e ? FallbackCause::kNone : FallbackCause::kMissingMatrix;
}

}  // namespace headrace::scheduler
