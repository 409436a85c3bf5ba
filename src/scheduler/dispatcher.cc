#include "scheduler/dispatcher.h"

#include <algorithm>
#include <cmath>
#include <tuple>
#include <utility>

#include "routing/choice.h"

namespace headrace::scheduler {
namespace {

constexpr double kGapWeight = 0.05;
constexpr Seconds kLeastRetry = 1;
constexpr Seconds kMostRetry = 300;
// When profiles or predictions may have changed.
constexpr Seconds kUnattainableRetry = 60;

const routing::Candidate* CandidateFor(const Record& record, fleet::DeploymentId deployment) {
  for (const routing::Candidate& candidate : record.assessment.candidates) {
    if (candidate.deployment == deployment) return &candidate;
  }
  return nullptr;
}

// Whether an endpoint may serve requests: it is up, and not ejected.
bool Serves(const fleet::Endpoint& endpoint) {
  return endpoint.up && !endpoint.out && !endpoint.retired;
}

}  // namespace

class Dispatcher::Restricted {
 public:
  Restricted(Dispatcher& dispatcher, const Record& record) : fleet_(dispatcher.fleet_) {
    const bool bound = dispatcher.IsBound(record);
    if (bound || record.among != nullptr) {
      fleet_.ShowOnly(bound ? std::span(&*record.only, 1) : dispatcher.Allowed(record));
      few_ = true;
    } else if (!record.failed_at.empty() && dispatcher.HasAlternative(record)) {
      hidden_ = record.failed_at;
      Hide(true);
    }
  }
  ~Restricted() {
    if (few_) fleet_.ShowAll();
    Hide(false);
  }
  Restricted(const Restricted&) = delete;
  Restricted& operator=(const Restricted&) = delete;

 private:
  void Hide(bool hidden) {
    for (const fleet::EndpointId endpoint : hidden_) fleet_.SetHidden(endpoint, hidden);
  }

  fleet::Fleet& fleet_;
  bool few_ = false;
  std::span<const fleet::EndpointId> hidden_;  // Endpoints that failed the request.
};

Dispatcher::Dispatcher(const SchedulerOptions& options, fleet::Fleet& fleet, RecordTable& records,
                       TenantShares& shares, std::uint64_t seed)
    : options_(options),
      fleet_(fleet),
      records_(records),
      shares_(shares),
      rng_(seed),
      policies_(routing::Policies().size()) {}

bool Dispatcher::TryDispatch(Record& record, std::size_t waiting, Seconds now,
                             Decisions& decisions) {
  if (record.assessment.deployments.empty()) return false;
  const Restricted restricted(*this, record);
  const routing::PolicyInfo& fallback = *EntryOf(*record.policy).fallback;
  if (record.NeedsFallback()) {
    const auto endpoint = Choose(fallback, record, {}, waiting, now);
    if (!endpoint) {
      NoteHold(record);
      return false;
    }
    Dispatch(record, *endpoint, fallback, record.assessment.cause, now, decisions);
    return true;
  }
  const auto chosen = Choose(*record.policy, record, record.assessment.candidates, waiting, now);
  const auto& unprofiled = record.assessment.unprofiled;
  if (!unprofiled.empty()) {
    const bool has_room =
        chosen && fleet_.endpoint(*chosen)
                      .load->Assess(DemandAt(record, fleet_.endpoint(*chosen).deployment), now)
                      .now;
    // What the profiled deployments have no room for goes where nothing is known, but only as the
    // fallback policy would send it there: an endpoint without a profile must not get all overflow.
    if (!has_room) {
      const auto other = Choose(fallback, record, {}, waiting, now);
      if (other &&
          std::ranges::find(unprofiled, fleet_.endpoint(*other).deployment) != unprofiled.end()) {
        Dispatch(record, *other, fallback, FallbackCause::kUnprofiledDeployment, now, decisions);
        return true;
      }
    }
  }
  if (!chosen) {
    NoteHold(record);
    return false;
  }
  Dispatch(record, *chosen, *record.policy, FallbackCause::kNone, now, decisions);
  return true;
}

bool Dispatcher::HasAlternative(const Record& record,
                                std::optional<fleet::EndpointId> besides) const {
  const auto deployments = fleet_.deployments();
  const Tokens context = std::min(record.context, fleet_.LongestContext());
  const auto counts = [&](fleet::EndpointId id) {
    return Serves(fleet_.endpoint(id)) && deployments[fleet_.endpoint(id).deployment].Fits(context);
  };
  if (record.among != nullptr) {
    return std::ranges::any_of(*record.among, [&](fleet::EndpointHandle handle) {
      return fleet_.Has(handle) && counts(handle.id) && besides != handle.id &&
             std::ranges::find(record.failed_at, handle.id) == record.failed_at.end();
    });
  }
  std::ptrdiff_t up = 0;
  for (const fleet::Deployment& deployment : deployments) {
    if (deployment.Fits(context)) up += deployment.up - deployment.out;
  }
  up -= std::ranges::count_if(record.failed_at, counts);
  if (besides && std::ranges::find(record.failed_at, *besides) == record.failed_at.end()) {
    up -= counts(*besides) ? 1 : 0;
  }
  return up > 0;
}

bool Dispatcher::IsBound(const Record& record) const {
  return record.only && record.failed_at.empty() && Serves(fleet_.endpoint(*record.only)) &&
         (record.among == nullptr ||
          std::ranges::find(*record.among, *record.only, &fleet::EndpointHandle::id) !=
              record.among->end());
}

std::span<const fleet::EndpointId> Dispatcher::Allowed(const Record& record) {
  allowed_.clear();
  for (const fleet::EndpointHandle handle : *record.among) {
    if (fleet_.Has(handle)) allowed_.push_back(handle.id);
  }
  if (!record.failed_at.empty() && HasAlternative(record)) {
    std::erase_if(allowed_, [&](fleet::EndpointId id) {
      return std::ranges::find(record.failed_at, id) != record.failed_at.end();
    });
  }
  return allowed_;
}

std::vector<fleet::EndpointId> Dispatcher::Fallbacks(const Record& record, fleet::EndpointId chosen,
                                                     const routing::PolicyInfo& policy) {
  const auto considered = EntryOf(policy).policy->Considered();
  std::vector<std::tuple<double, std::size_t>> options;  // By cost, equal ones as they are.
  for (std::size_t i = 0; i < considered.size(); ++i) options.emplace_back(considered[i].cost, i);
  std::ranges::sort(options);
  std::vector<fleet::EndpointOrder::Entry> emptiest;
  for (const fleet::DeploymentId deployment : record.assessment.deployments) {
    std::size_t seen = 0;
    fleet_.ByInFlight(deployment).ForEachUp([&](const fleet::EndpointOrder::Entry& entry) {
      emptiest.push_back(entry);
      return ++seen <= record.fallbacks + options.size();
    });
  }
  std::ranges::sort(emptiest);
  std::vector<fleet::EndpointId> fallbacks;
  const auto add = [&](fleet::EndpointId id) {
    if (fallbacks.size() == record.fallbacks || id == chosen || !fleet_.IsAvailable(id)) return;
    if (std::ranges::find(fallbacks, id) == fallbacks.end()) fallbacks.push_back(id);
  };
  for (const auto& [cost, place] : options) add(considered[place].endpoint);
  for (const auto& [in_flight, last_used, id] : emptiest) add(id);
  return fallbacks;
}

bool Dispatcher::GivesUp(const Record& record) {
  return record.MayBeLate() && !record.late && EntryOf(*record.policy).policy->GivesUp();
}

void Dispatcher::NoteHold(Record& record) {
  if (record.late) return;
  const auto options = EntryOf(*record.policy).policy->Considered();
  const auto least = std::ranges::min_element(options, {}, &routing::Option::cost);
  if (least == options.end() || !least->outlook.fits) {
    record.hold = Hold::kNoRoom;
  } else if (record.hold != Hold::kPromise) {
    record.hold = Hold::kPromise;
    record.held_cost = least->cost;
  }
}

void Dispatcher::Settle(Record& record, std::size_t waiting, Seconds now, Decisions& decisions) {
  if (record.assessment.deployments.empty()) {
    Refuse(record, RefusalReason::kNoEndpoint, waiting, now, decisions);
    return;
  }
  if (now <= record.assessment.slo_deadline) {
    Refuse(record, RefusalReason::kQueueTimeout, waiting, now, decisions);
    return;
  }
  const Restricted restricted(*this, record);
  if (const auto endpoint =
          routing::FirstOf(fleet_, record.assessment.unprofiled, &fleet::Fleet::ByInFlight)) {
    Dispatch(record, *endpoint, *EntryOf(*record.policy).fallback,
             FallbackCause::kUnprofiledDeployment, now, decisions);
    return;
  }
  Refuse(record,
         record.assessment.slo_deadline < record.arrived ? RefusalReason::kSloUnattainable
                                                         : RefusalReason::kSloDeadline,
         waiting, now, decisions);
}

void Dispatcher::Dispatch(Record& record, fleet::EndpointId endpoint,
                          const routing::PolicyInfo& policy, FallbackCause cause, Seconds now,
                          Decisions& decisions) {
  const fleet::DeploymentId deployment = fleet_.endpoint(endpoint).deployment;
  Decision& decision = Decide(record, now, decisions);
  if (record.detail != Detail::kNone) decision.explanation = Explain(record, policy, now);
  if (record.fallbacks > 0) decision.fallbacks = Fallbacks(record, endpoint, policy);
  decision.endpoint = endpoint;
  decision.policy = policy.name;
  decision.fallback = cause;
  for (const routing::Option& option : EntryOf(policy).policy->Considered()) {
    if (option.endpoint == endpoint) decision.outlook = option.outlook;
  }
  if (const slo::Slo* slo = EffectiveSlo(record, &fleet_.deployments()[deployment])) {
    decision.slo = *slo;
  }
  const routing::Candidate* candidate = CandidateFor(record, deployment);
  if (candidate != nullptr && candidate->latest_start != kNever) {
    decision.rank = now - candidate->latest_start;
  }
  Place(record, endpoint, now);
}

void Dispatcher::Place(Record& record, fleet::EndpointId endpoint, Seconds now) {
  const fleet::DeploymentId deployment = fleet_.endpoint(endpoint).deployment;
  record.state = Record::State::kRunning;
  record.endpoint = endpoint;
  record.prefilled = record.moved = false;
  fleet::Demand demand = DemandAt(record, deployment);
  if (fleet_.keeps_forecasts()) {
    demand.slo = EffectiveSlo(record, &fleet_.deployments()[deployment]);
    demand.reports_first_token = record.reports_first_token;
    demand.standing = record.lane.standing;
    record.started = now;
    record.charged = fleet_.endpoint(endpoint).forecast->EngineTime(demand);
    shares_.Charge(record.tenant, record.charged, now);
    demand.tag = record.tag;
  }
  record.resident = fleet_.Start(endpoint, demand, now);
  records_.ReleaseAssessment(record);
}

void Dispatcher::Refuse(Record& record, RefusalReason reason, std::size_t waiting, Seconds now,
                        Decisions& decisions) {
  Decision& decision = Decide(record, now, decisions);
  decision.refused = reason;
  decision.retry_after = RetryAfter(reason, waiting);
  if (const slo::Slo* slo = EffectiveSlo(record, nullptr)) decision.slo = *slo;
  records_.Free(record);
}

Decision& Dispatcher::Decide(const Record& record, Seconds now, Decisions& decisions) {
  Decision& decision = decisions.emplace_back();
  decision.id = record.id;
  decision.tag = record.tag;
  decision.length = record.length;
  decision.queued = now - record.arrived;
  decision.hold = record.hold;
  decision.held_cost = record.held_cost;
  return decision;
}

std::shared_ptr<const Explanation> Dispatcher::Explain(const Record& record,
                                                       const routing::PolicyInfo& policy,
                                                       Seconds now) {
  auto explanation = std::make_shared<Explanation>();
  const auto options = EntryOf(policy).policy->Considered();
  explanation->options.assign(options.begin(), options.end());
  if (record.detail == Detail::kHarmed && !options.empty()) {
    const fleet::Demand demand = ForecastDemand(record);
    std::vector<fleet::Harmed> harmed;
    for (routing::Option& option : explanation->options) {
      harmed.clear();
      option.outlook.harm = fleet_.endpoint(option.endpoint).forecast->Harm(demand, now, &harmed);
      for (const fleet::Harmed& one : harmed) explanation->harms.push_back({option.endpoint, one});
    }
  }
  if (policy.needs == routing::PolicyNeeds::kLoad || policy.needs == routing::PolicyNeeds::kSlo) {
    for (const routing::Candidate& candidate : record.assessment.candidates) {
      const fleet::EndpointOrder& order = fleet_.ByLoad(candidate.deployment);
      explanation->deployments.push_back({candidate, order.empty() ? 0 : order.FirstKey()});
    }
  }
  return explanation;
}

void Dispatcher::ObserveEnd(Record& record, const Completion& completion, Seconds now) {
  if (record.charged > 0) {
    // Of one that was cancelled or failed nobody knows how far it came, but not for how long.
    Seconds took = std::min(record.charged, now - record.started);
    if (completion.output_tokens > 0) {
      took = fleet_.endpoint(record.endpoint)
                 .forecast->EngineTime({.prompt_tokens = completion.prompt_tokens,
                                        .output_tokens = completion.output_tokens});
    }
    shares_.Charge(record.tenant, took - record.charged, now);
    record.charged = 0;
  }
  if (last_end_ > 0) {
    const Seconds gap = now - last_end_;
    mean_gap_ = mean_gap_ == 0 ? gap : mean_gap_ + kGapWeight * (gap - mean_gap_);
  }
  last_end_ = now;
}

void Dispatcher::Refund(Record& record, Seconds now) {
  if (record.charged > 0) shares_.Charge(record.tenant, -record.charged, now);
  record.charged = 0;
}

Dispatcher::Entry& Dispatcher::EntryOf(const routing::PolicyInfo& info) {
  Entry& entry = policies_[static_cast<std::size_t>(&info - routing::Policies().data())];
  if (!entry.policy) entry = {info.make(), routing::FindPolicy(info.fallback)};
  return entry;
}

std::optional<fleet::EndpointId> Dispatcher::Choose(const routing::PolicyInfo& info,
                                                    const Record& record,
                                                    std::span<const routing::Candidate> candidates,
                                                    std::size_t waiting, Seconds now) {
  std::optional<fleet::Demand> demand;  // A copy only where one is needed.
  if (info.needs == routing::PolicyNeeds::kForecast) demand = ForecastDemand(record);
  return EntryOf(info).policy->Choose({.fleet = fleet_,
                                       .request = demand ? *demand : record.assessment.request,
                                       .deployments = record.assessment.deployments,
                                       .candidates = candidates,
                                       .now = now,
                                       .waiting = waiting,
                                       .late = record.late,
                                       .deadline = record.assessment.slo_deadline,
                                       .yields = record.yields,
                                       .rng = rng_});
}

fleet::Demand Dispatcher::ForecastDemand(const Record& record) const {
  fleet::Demand demand = record.assessment.request;
  demand.slo = EffectiveSlo(record, nullptr);
  demand.standing = record.lane.standing;
  return demand;
}

fleet::Demand Dispatcher::DemandAt(const Record& record, fleet::DeploymentId deployment) const {
  const fleet::Deployment& at = fleet_.deployments()[deployment];
  const routing::Candidate* candidate = CandidateFor(record, deployment);
  if (candidate != nullptr && candidate->share > 0) {
    return routing::DemandAt(record.assessment.request, *candidate, at);
  }
  // Sent there by a policy that does not read profiles: it still takes what the profile says.
  const SizedRequest request{.arrived = record.arrived,
                             .prompt_tokens = record.prompt_tokens,
                             .output_tokens = record.length.tokens,
                             .lengths = record.lengths,
                             .most_tokens = record.most_tokens,
                             .own_slo = record.slo,
                             .pool_slo = options_.slo,
                             .needs = routing::PolicyNeeds::kLoad};
  const Verdict verdict = Assess(request, at, deployment, fleet_.model());
  if (verdict.kind == Verdict::Kind::kCandidate) {
    return routing::DemandAt(record.assessment.request, verdict.candidate, at);
  }
  return DemandOf(request, at.profile ? &at.profile->slo : nullptr);
}

const slo::Slo* Dispatcher::EffectiveSlo(const Record& record,
                                         const fleet::Deployment* deployment) const {
  const slo::Slo* profile = nullptr;
  if (deployment != nullptr) {
    if (deployment->profile) profile = &deployment->profile->slo;
  } else {
    for (const fleet::Deployment& any : fleet_.deployments()) {
      if (any.profile && any.profile->slo.HasLatency()) {
        profile = &any.profile->slo;
        break;
      }
    }
  }
  return slo::EffectiveSlo(record.slo, options_.slo, profile);
}

Seconds Dispatcher::RetryAfter(RefusalReason reason, std::size_t waiting) const {
  switch (reason) {
    case RefusalReason::kSloUnattainable:
      return kUnattainableRetry;
    case RefusalReason::kNoEndpoint:
      return kLeastRetry;
    case RefusalReason::kQueueFull:
    case RefusalReason::kSloDeadline:
    case RefusalReason::kQueueTimeout:
      break;
  }
  // The time in which the queue drains at the pace at which requests have been ending.
  const Seconds drain = mean_gap_ * static_cast<double>(waiting + 1);
  return std::clamp(std::ceil(drain), kLeastRetry, kMostRetry);
}

}  // namespace headrace::scheduler
