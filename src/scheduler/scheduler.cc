#include "scheduler/scheduler.h"

#include <algorithm>
#include <cassert>
#include <utility>

namespace headrace::scheduler {

Scheduler::Scheduler(const SchedulerOptions& options, std::unique_ptr<fleet::LoadModel> model,
                     std::uint64_t seed, const Experiment& experiment)
    : options_(options),
      length_distributions_(experiment.length_distributions),
      fleet_(std::move(model), experiment.constants),
      predictor_(options.length),
      assessments_(fleet_, options_.slo),
      dispatcher_(options_, fleet_, records_, shares_, seed),
      backlog_(options_, fleet_, records_, assessments_, dispatcher_) {
  assert(options_.policy != nullptr);
  fleet_.SetEjection(options_.ejection);
  shares_.SetWeights(options_.tenant_weights);
  if (experiment.redraw_lengths) {
    backlog_.SetBeforeTry([this](Record& record, Seconds now) {
      record.length = predictor_.Predict(now, record.prompt_tokens, std::nullopt,
                                         assessments_.typical_output(), dispatcher_.rng());
      assessments_.Refresh(record);
    });
  }
}

RequestId Scheduler::Arrive(const Arrival& arrival, Seconds now, Decisions& decisions) {
  backlog_.Expire(now, decisions);
  Record& record = records_.New();
  const RequestId id = record.id;
  record.tag = arrival.tag;
  record.state = Record::State::kWaiting;
  record.arrived = record.waits_since = now;
  record.prompt_tokens = std::max(arrival.prompt_tokens, Tokens{1});
  record.length = arrival.output_tokens
                      ? predict::LengthEstimate{std::max(*arrival.output_tokens, Tokens{1}),
                                                predict::LengthSource::kObserved}
                      : predictor_.Predict(now, record.prompt_tokens, arrival.max_tokens,
                                           assessments_.typical_output(), dispatcher_.rng());
  record.context = arrival.context;
  record.policy = arrival.policy != nullptr ? arrival.policy : options_.policy;
  if (record.ByForecast()) fleet_.KeepForecasts();
  if (fleet_.keeps_forecasts() && length_distributions_ && !arrival.output_tokens) {
    record.lengths =
        predictor_.Distribution(now, record.prompt_tokens, assessments_.typical_output());
  }
  record.least_tokens = arrival.output_tokens.value_or(1);
  record.most_tokens = arrival.max_tokens.value_or(fleet::kNoLimit);
  record.reports_first_token = arrival.reports_first_token;
  record.late = false;
  record.detail = arrival.detail;
  record.hold = Hold::kNone;
  record.slo = arrival.slo;
  record.bytes = arrival.bytes;
  record.tenant = arrival.tenant;
  record.only = arrival.only;
  record.among = arrival.among;
  record.fallbacks = arrival.fallbacks;

  assessments_.Refresh(record);
  record.yields = arrival.priority < 0 || shares_.IsAboveShare(record.tenant);
  record.lane = LaneOf(record, arrival.priority);
  if (now > backlog_.DeadlineOf(record) && !record.MayBeLate()) {
    dispatcher_.Settle(record, backlog_.WaitingBefore(record), now, decisions);
    return id;
  }
  // Heads that wait already were tried when capacity was last freed: only a new head can be served.
  if (backlog_.MayPass(record) &&
      dispatcher_.TryDispatch(record, backlog_.in_time(), now, decisions)) {
    return id;
  }
  if (!backlog_.MakeRoomFor(record, now, decisions)) {
    dispatcher_.Refuse(record, RefusalReason::kQueueFull, backlog_.WaitingBefore(record), now,
                       decisions);
    return id;
  }
  if (record.assessment.deployments.empty()) record.hold = Hold::kDown;
  if (record.hold == Hold::kNone) record.hold = Hold::kTurn;
  backlog_.PushBack(record);
  return id;
}

bool Scheduler::Complete(RequestId id, const Completion& completion, Seconds now,
                         Decisions& decisions) {
  Completion learned = completion;
  // A fast failure must not look like a fast response.
  if (completion.fault) learned.output_tokens = 0;
  Record* record = EndRunning(id, learned, now, true);
  if (record == nullptr) return false;
  if (learned.output_tokens > 0) {
    predictor_.Record(now, completion.prompt_tokens, completion.output_tokens);
  }
  records_.Free(*record);
  Drain(now, decisions);
  return true;
}

bool Scheduler::Cancel(RequestId id, Seconds now, Decisions& decisions) {
  Record* record = records_.Find(id, Record::State::kWaiting);
  if (record != nullptr) {
    backlog_.Remove(*record);
  } else {
    record = EndRunning(id, {}, now, false);
    if (record == nullptr) return false;
  }
  records_.Free(*record);
  Drain(now, decisions);
  return true;
}

bool Scheduler::Return(RequestId id, std::optional<fleet::EngineFault> fault, Seconds now,
                       Decisions& decisions, Seconds retry_after) {
  Record* record =
      LeaveEndpoint(id, {.fault = fault, .retry_after = retry_after}, now, fault.has_value());
  if (record == nullptr) return false;
  dispatcher_.Refund(*record, now);
  record->state = Record::State::kWaiting;
  record->waits_since = now;
  if (fault && std::ranges::find(record->failed_at, record->endpoint) == record->failed_at.end()) {
    record->failed_at.push_back(record->endpoint);
  }
  assessments_.Refresh(*record);
  backlog_.PushFront(*record);
  Drain(now, decisions);
  return true;
}

bool Scheduler::Move(RequestId id, std::optional<fleet::EndpointId> to, fleet::EngineFault fault,
                     Seconds now, Decisions& decisions) {
  Record* record = records_.Find(id, Record::State::kRunning);
  if (record == nullptr) return false;
  if (to == record->endpoint) return true;
  LeaveEndpoint(id, {.fault = fault}, now, true);
  dispatcher_.Refund(*record, now);
  if (to && *to < fleet_.endpoints().size() && !fleet_.endpoint(*to).retired) {
    record->failed_at.push_back(record->endpoint);
    assessments_.Refresh(*record);
    dispatcher_.Place(*record, *to, now);
    record->moved = true;
  } else {
    records_.Free(*record);
  }
  Drain(now, decisions);
  return true;
}

void Scheduler::UpdateFleet(std::span<const fleet::DeploymentSpec> deployments, Seconds now,
                            Decisions& decisions) {
  fleet_.Update(deployments);
  BeginEpoch(now, decisions);
}

bool Scheduler::SetProfile(const std::string& deployment,
                           std::shared_ptr<const profile::GpuProfile> profile, Seconds now,
                           Decisions& decisions) {
  if (!fleet_.SetProfile(deployment, std::move(profile))) return false;
  BeginEpoch(now, decisions);
  return true;
}

void Scheduler::SetUp(fleet::EndpointId endpoint, bool up, Seconds now, Decisions& decisions) {
  if (endpoint >= fleet_.endpoints().size()) return;
  const int before = fleet_.deployment_of(endpoint).up;
  fleet_.SetUp(endpoint, up);
  const int after = fleet_.deployment_of(endpoint).up;
  // What deployments can do for a request changes only with the first or the last of their
  // endpoints; for one that may go to some of them only, with each.
  if ((before == 0) != (after == 0) || backlog_.AnyAmong()) {
    BeginEpoch(now, decisions);
  } else {
    Drain(now, decisions);
  }
}

void Scheduler::SetMaxModelLen(fleet::EndpointId endpoint, Tokens max_model_len, Seconds now,
                               Decisions& decisions) {
  if (fleet_.SetMaxModelLen(endpoint, max_model_len)) BeginEpoch(now, decisions);
}

void Scheduler::SetKvTokens(fleet::EndpointId endpoint, Tokens kv_tokens, Seconds now,
                            Decisions& decisions) {
  if (fleet_.SetKvTokens(endpoint, kv_tokens)) Drain(now, decisions);
}

void Scheduler::SetOptions(const SchedulerOptions& options, Seconds now, Decisions& decisions) {
  assert(options.policy != nullptr);
  options_ = options;
  fleet_.SetEjection(options.ejection);
  predictor_.SetOptions(options.length);
  shares_.SetWeights(options.tenant_weights);
  BeginEpoch(now, decisions);
}

void Scheduler::Tick(Seconds now, Decisions& decisions) { Drain(now, decisions); }

void Scheduler::FirstToken(RequestId id, Seconds now) {
  Record* record = records_.Find(id, Record::State::kRunning);
  if (record == nullptr || record->prefilled) return;
  record->prefilled = true;
  fleet_.Prefilled(record->endpoint, record->prompt_tokens);
  fleet_.FirstToken(record->endpoint, record->resident, now);
}

void Scheduler::Progress(RequestId id, Tokens generated, Seconds now) {
  const Record* record = records_.Find(id, Record::State::kRunning);
  if (record != nullptr) fleet_.Progress(record->endpoint, record->resident, generated, now);
}

Scheduler::ForeignRequest Scheduler::StartForeign(fleet::EndpointId endpoint, fleet::Demand demand,
                                                  bool exact, Seconds now) {
  if (options_.policy->needs == routing::PolicyNeeds::kForecast) fleet_.KeepForecasts();
  if (fleet_.keeps_forecasts() && length_distributions_ && !exact) {
    demand.lengths =
        predictor_.Distribution(now, demand.prompt_tokens, assessments_.typical_output());
  }
  demand.tag = fleet::kNobodys;
  return {.endpoint = endpoint,
          .residence = fleet_.StartForeign(endpoint, demand, now),
          .prompt_tokens = demand.prompt_tokens};
}

void Scheduler::FirstTokenOfForeign(ForeignRequest& request, Seconds at) {
  if (request.prefilled) return;
  request.prefilled = true;
  fleet_.Prefilled(request.endpoint, request.prompt_tokens);
  fleet_.FirstToken(request.endpoint, request.residence, at);
}

void Scheduler::ProgressOfForeign(const ForeignRequest& request, Tokens generated, Seconds now) {
  fleet_.Progress(request.endpoint, request.residence, generated, now);
}

void Scheduler::EndForeign(const ForeignRequest& request, const Completion& completion,
                           Seconds now) {
  if (!request.prefilled) fleet_.Prefilled(request.endpoint, request.prompt_tokens);
  Completion seen = completion;
  if (request.late) seen.output_tokens = 0;
  fleet_.End(request.endpoint, request.residence, seen, now);
  if (completion.output_tokens > 0) {
    predictor_.Record(now, completion.prompt_tokens, completion.output_tokens);
  }
}

void Scheduler::HeardOfOthers(Seconds now, Decisions& decisions) {
  if (!backlog_.WaitsForTurn(now)) Drain(now, decisions);
}

void Scheduler::SetReplicas(int replicas, Seconds now, Decisions& decisions) {
  fleet_.SetReplicas(replicas);
  Drain(now, decisions);
}

std::vector<std::uint64_t> Scheduler::RunningAt(fleet::EndpointId endpoint) const {
  std::vector<std::uint64_t> tags;
  records_.ForEachRunningAt(endpoint, [&](const Record& record) { tags.push_back(record.tag); });
  return tags;
}

bool Scheduler::HasAlternative(RequestId id) const {
  const Record* record = records_.Find(id, Record::State::kRunning);
  return record != nullptr && dispatcher_.HasAlternative(*record, record->endpoint);
}

std::vector<Verdict> Scheduler::Explain(const Arrival& arrival, Tokens output_tokens,
                                        Seconds now) const {
  const SizedRequest request{
      .arrived = now,
      .prompt_tokens = arrival.prompt_tokens,
      .output_tokens = output_tokens,
      .least_tokens = arrival.output_tokens.value_or(1),
      .context = assessments_.HeldToLongest(arrival.context),
      .own_slo = arrival.slo,
      .pool_slo = options_.slo,
      .needs = (arrival.policy != nullptr ? arrival.policy : options_.policy)->needs};
  std::vector<Verdict> verdicts;
  const auto deployments = fleet_.deployments();
  for (fleet::DeploymentId id = 0; id < deployments.size(); ++id) {
    verdicts.push_back(Assess(request, deployments[id], id, fleet_.model()));
  }
  return verdicts;
}

WaitQueue::Lane Scheduler::LaneOf(const Record& record, int priority) const {
  WaitQueue::Lane lane{.key = WaitQueue::TooLongFor(record.assessment.too_long_for, KeyOf(record))};
  // There is no more than enough for all while nothing waits.
  if (record.ByForecast()) {
    lane.standing =
        StandingOf(priority, backlog_.in_time() > 0 && shares_.IsAboveShare(record.tenant));
  }
  return lane;
}

WaitQueue::Key Scheduler::KeyOf(const Record& record) {
  if (record.IsLimited()) return record.LimitedKey();
  if (record.NeedsFallback()) return WaitQueue::kUnranked;
  switch (record.policy->needs) {
    case routing::PolicyNeeds::kNothing:
      return WaitQueue::kUnranked;
    case routing::PolicyNeeds::kForecast: {
      // Requests of one size with one promise wait in line; those with another one may pass.
      const Seconds slack = record.assessment.slo_deadline - record.arrived;
      if (slack == kNever) return WaitQueue::kBestEffort;
      return WaitQueue::KeyOf(record.prompt_tokens,
                              static_cast<Tokens>(std::clamp(slack * 10, 1.0, 1e6)));
    }
    case routing::PolicyNeeds::kLoad:
    case routing::PolicyNeeds::kSlo:
      break;
  }
  return WaitQueue::KeyOf(record.prompt_tokens, record.length.tokens);
}

Record* Scheduler::LeaveEndpoint(RequestId id, const Completion& completion, Seconds now,
                                 bool judged) {
  Record* record = records_.Find(id, Record::State::kRunning);
  if (record == nullptr) return nullptr;
  if (!record->prefilled) fleet_.Prefilled(record->endpoint, record->prompt_tokens);
  Completion learned = completion;
  if (record->moved) learned.output_tokens = 0;
  fleet_.End(record->endpoint, record->resident, learned, now, judged);
  return record;
}

Record* Scheduler::EndRunning(RequestId id, const Completion& completion, Seconds now,
                              bool judged) {
  Record* record = LeaveEndpoint(id, completion, now, judged);
  if (record != nullptr) dispatcher_.ObserveEnd(*record, completion, now);
  return record;
}

void Scheduler::Drain(Seconds now, Decisions& decisions) {
  fleet_.Advance(now);
  backlog_.Drain(now, decisions);
}

void Scheduler::BeginEpoch(Seconds now, Decisions& decisions) {
  assessments_.BeginEpoch(records_.size());
  backlog_.NoticeUp(now);
  Drain(now, decisions);
}

}  // namespace headrace::scheduler
