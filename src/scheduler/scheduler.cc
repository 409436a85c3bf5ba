#include "scheduler/scheduler.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <tuple>
#include <utility>

namespace headrace::scheduler {
namespace {

// A start at the deadline itself is still in time; a microsecond later it is not.
constexpr Seconds kPastDeadline = 1e-6;
// How many waiting requests one event reassesses on the way through all of them after a change, and
// how many it sends, refuses or reassesses because their turn has come: together well under 1 ms,
// which is the longest that the next event has to wait.
constexpr std::size_t kSweepSlice = 128;
constexpr int kTurn = 128;
constexpr double kGapWeight = 0.05;
constexpr Seconds kLeastRetry = 1;
constexpr Seconds kMostRetry = 300;
// When profiles or predictions may have changed.
constexpr Seconds kUnattainableRetry = 60;

}  // namespace

Scheduler::Scheduler(const SchedulerOptions& options, std::unique_ptr<fleet::LoadModel> model,
                     std::uint64_t seed)
    : options_(options),
      model_(std::move(model)),
      rng_(seed),
      predictor_(options.length),
      policies_(routing::Policies().size()) {
  assert(options_.policy != nullptr);
}

RequestId Scheduler::Arrive(const Arrival& arrival, Seconds now, Decisions& decisions) {
  int left = kTurn;
  Expire(now, left, decisions);
  SweepStale();
  const Slot slot = NewRecord();
  Record& record = records_[slot];
  const RequestId id = record.id;
  record.tag = arrival.tag;
  record.state = State::kWaiting;
  record.arrived = now;
  record.prompt_tokens = std::max(arrival.prompt_tokens, Tokens{1});
  record.length = arrival.output_tokens
                      ? predict::LengthEstimate{std::max(*arrival.output_tokens, Tokens{1}),
                                                predict::LengthSource::kObserved}
                      : predictor_.Predict(now, record.prompt_tokens, arrival.max_tokens,
                                           typical_output_, rng_);
  record.slo = arrival.slo;
  record.bytes = arrival.bytes;
  record.policy = arrival.policy != nullptr ? arrival.policy : options_.policy;

  if (fleet_.up() == 0) {
    Refuse(record, RefusalReason::kNoEndpoint, now, decisions);
    return id;
  }
  Reassess(record);
  if (now > record.slo_deadline) {
    Settle(record, now, decisions);
    return id;
  }
  const WaitQueue::Key key =
      NeedsFallback(record) || record.policy->needs == routing::PolicyNeeds::kNothing
          ? WaitQueue::kUnranked
          : WaitQueue::KeyOf(record.prompt_tokens, record.length.tokens);
  record.key = key;
  // Heads that wait already were tried when capacity was last freed, unless that is still going on:
  // only a new head can be served.
  if (!more_to_decide_ && !queue_.HasWaiting(key) && TryDispatch(record, now, decisions)) return id;
  if (queue_.size() >= options_.max_queue_length ||
      queue_bytes_ + record.bytes > options_.max_queue_bytes) {
    Refuse(record, RefusalReason::kQueueFull, now, decisions);
    return id;
  }
  Enqueue(slot, false);
  return id;
}

bool Scheduler::Complete(RequestId id, const Completion& completion, Seconds now,
                         Decisions& decisions) {
  Record* record = nullptr;
  if (!EndRunning(id, now, &record)) return false;
  if (completion.output_tokens > 0) {
    predictor_.Record(now, completion.prompt_tokens, completion.output_tokens);
    fleet_.ObserveLatency(record->endpoint, completion.e2e / completion.output_tokens);
  }
  Free(*record);
  Serve(now, decisions);
  return true;
}

bool Scheduler::Cancel(RequestId id, Seconds now, Decisions& decisions) {
  Record* record = Find(id, State::kWaiting);
  if (record != nullptr) {
    Dequeue(SlotOf(id));
  } else if (!EndRunning(id, now, &record)) {
    return false;
  }
  Free(*record);
  Serve(now, decisions);
  return true;
}

bool Scheduler::Return(RequestId id, Seconds now, Decisions& decisions) {
  Record* record = nullptr;
  if (!EndRunning(id, now, &record)) return false;
  record->state = State::kWaiting;
  Reassess(*record);
  Enqueue(SlotOf(id), true);
  Serve(now, decisions);
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
  // endpoints.
  if ((before == 0) != (after == 0)) {
    BeginEpoch(now, decisions);
  } else {
    Serve(now, decisions);
  }
}

void Scheduler::Tick(Seconds now, Decisions& decisions) { Serve(now, decisions); }

Seconds Scheduler::NextWakeup() const {
  if (queue_.empty()) return kNever;
  if (more_to_decide_ || sweep_at_ < sweep_end_) return 0;
  return queue_.next_deadline() + kPastDeadline;
}

std::vector<Verdict> Scheduler::Explain(const Arrival& arrival, Tokens output_tokens,
                                        Seconds now) const {
  Record record;
  record.arrived = now;
  record.prompt_tokens = arrival.prompt_tokens;
  record.length.tokens = output_tokens;
  record.slo = arrival.slo;
  record.policy = arrival.policy != nullptr ? arrival.policy : options_.policy;
  std::vector<Verdict> verdicts;
  const auto deployments = fleet_.deployments();
  for (fleet::DeploymentId id = 0; id < deployments.size(); ++id) {
    verdicts.push_back(Assess(DemandOf(record), deployments[id], id, *model_));
  }
  return verdicts;
}

// --- Requests

Scheduler::Record* Scheduler::Find(RequestId id, State state) {
  const Slot slot = SlotOf(id);
  if (slot >= records_.size()) return nullptr;
  Record& record = records_[slot];
  return record.id == id && record.state == state ? &record : nullptr;
}

Slot Scheduler::NewRecord() {
  if (free_.empty()) {
    free_.push_back(static_cast<Slot>(records_.size()));
    records_.emplace_back();
    records_.back().id = free_.back();
  }
  const Slot slot = free_.back();
  free_.pop_back();
  records_[slot].id += RequestId{1} << 32;  // A slot's next tenant has another name.
  return slot;
}

void Scheduler::Free(Record& record) {
  record.state = State::kFree;
  free_.push_back(SlotOf(record.id));
}

bool Scheduler::EndRunning(RequestId id, Seconds now, Record** record) {
  *record = Find(id, State::kRunning);
  if (*record == nullptr) return false;
  fleet_.Remove((*record)->endpoint, (*record)->share);
  if (last_end_ > 0) {
    const Seconds gap = now - last_end_;
    mean_gap_ = mean_gap_ == 0 ? gap : mean_gap_ + kGapWeight * (gap - mean_gap_);
  }
  last_end_ = now;
  return true;
}

void Scheduler::Enqueue(Slot slot, bool front) {
  const Record& record = records_[slot];
  const Seconds deadline = DeadlineOf(record);
  queue_bytes_ += record.bytes;
  if (front) {
    queue_.PushFront(slot, record.key, deadline);
  } else {
    queue_.PushBack(slot, record.key, deadline);
  }
}

std::size_t Scheduler::Dequeue(Slot slot) {
  queue_bytes_ -= records_[slot].bytes;
  return queue_.Remove(slot);
}

// --- What the profiles say

RequestDemand Scheduler::DemandOf(const Record& record) const {
  const slo::Slo* slo = nullptr;
  if (record.slo) {
    slo = &*record.slo;
  } else if (options_.slo) {
    slo = &*options_.slo;
  }
  return {.arrived = record.arrived,
          .prompt_tokens = record.prompt_tokens,
          .output_tokens = record.length.tokens,
          .slo = slo,
          .needs = record.policy->needs};
}

Seconds Scheduler::DeadlineOf(const Record& record) const {
  return std::min(record.slo_deadline, record.arrived + options_.queue_timeout);
}

void Scheduler::Reassess(Record& record) {
  record.epoch = epoch_;
  record.candidates.clear();
  record.unprofiled.clear();
  record.cause = FallbackCause::kNone;
  record.slo_deadline = kNever;
  if (record.policy->needs == routing::PolicyNeeds::kNothing) return;

  const RequestDemand demand = DemandOf(record);
  const auto deployments = fleet_.deployments();
  bool infeasible = false;
  FallbackCause cause = FallbackCause::kNone;
  for (fleet::DeploymentId id = 0; id < deployments.size(); ++id) {
    if (deployments[id].up == 0) continue;
    const Verdict verdict = Assess(demand, deployments[id], id, *model_);
    switch (verdict.kind) {
      case Verdict::Kind::kCandidate:
        record.candidates.push_back(verdict.candidate);
        break;
      case Verdict::Kind::kInfeasible:
        infeasible = true;
        break;
      case Verdict::Kind::kUnknown:
        record.unprofiled.push_back(id);
        if (cause == FallbackCause::kNone || verdict.cause < cause) cause = verdict.cause;
        break;
    }
  }
  if (record.candidates.empty()) {
    if (infeasible) {
      record.slo_deadline = -kNever;
    } else {
      record.cause = cause;
    }
    return;
  }
  std::ranges::sort(
      record.candidates, [](const routing::Candidate& a, const routing::Candidate& b) {
        return std::tie(b.latest_start, a.deployment) < std::tie(a.latest_start, b.deployment);
      });
  record.slo_deadline = record.candidates.front().latest_start;
}

void Scheduler::BeginEpoch(Seconds now, Decisions& decisions) {
  ++epoch_;
  sweep_at_ = 0;
  sweep_end_ = records_.size();
  // The upper quartile of the first usable profile's output buckets: an answer that is thought too
  // short overloads a GPU, one that is thought too long only waits for one.
  typical_output_ = 0;
  for (const fleet::Deployment& deployment : fleet_.deployments()) {
    if (deployment.retired || !deployment.profile) continue;
    const auto centres = deployment.profile->outputs.centres();
    typical_output_ = centres[centres.size() * 3 / 4];
    break;
  }
  Serve(now, decisions);
}

void Scheduler::RefuseAll(Seconds now, int& left, Decisions& decisions) {
  for (; !queue_.empty() && left > 0; --left) {
    const Slot slot = queue_.heads().front().slot;
    Dequeue(slot);
    Refuse(records_[slot], RefusalReason::kNoEndpoint, now, decisions);
  }
}

void Scheduler::SweepStale() {
  if (queue_.empty()) sweep_at_ = sweep_end_;
  for (std::size_t done = 0; done < kSweepSlice && sweep_at_ < sweep_end_; ++sweep_at_) {
    Record& record = records_[sweep_at_];
    if (record.state != State::kWaiting || record.epoch == epoch_) continue;
    Reassess(record);
    queue_.SetDeadline(static_cast<Slot>(sweep_at_), DeadlineOf(record));
    ++done;
  }
}

// --- Decisions

void Scheduler::Expire(Seconds now, int& left, Decisions& decisions) {
  for (; queue_.next_deadline() < now && left > 0; --left) {
    const Slot slot = queue_.next_deadline_slot();
    Record& record = records_[slot];
    if (record.epoch != epoch_) {
      Reassess(record);
      queue_.SetDeadline(slot, DeadlineOf(record));
      continue;
    }
    Dequeue(slot);
    Settle(record, now, decisions);
  }
}

void Scheduler::Serve(Seconds now, Decisions& decisions) {
  int left = kTurn;
  SweepStale();
  if (fleet_.up() == 0) {
    RefuseAll(now, left, decisions);
  } else {
    Expire(now, left, decisions);
    ServeHeads(now, left, decisions);
  }
  more_to_decide_ = left == 0 && !queue_.empty();
}

void Scheduler::ServeHeads(Seconds now, int& left, Decisions& decisions) {
  // The places of heads shift as requests leave and are reassessed; going on from the first place
  // that changed looks at every head at least once.
  for (std::size_t i = 0; i < queue_.heads().size() && !fleet_.available().empty() && left > 0;) {
    const Slot slot = queue_.heads()[i].slot;
    Record& record = records_[slot];
    if (record.epoch != epoch_) {
      Reassess(record);
      i = std::min(i, queue_.SetDeadline(slot, DeadlineOf(record)));
      --left;
      continue;
    }
    if (options_.redraw_lengths) {
      record.length =
          predictor_.Predict(now, record.prompt_tokens, std::nullopt, typical_output_, rng_);
      Reassess(record);
    }
    if (now > DeadlineOf(record)) {
      i = std::min(i, Dequeue(slot));
      Settle(record, now, decisions);
      --left;
    } else if (TryDispatch(record, now, decisions)) {
      i = std::min(i, Dequeue(slot));
      --left;
    } else {
      ++i;
    }
  }
}

bool Scheduler::TryDispatch(Record& record, Seconds now, Decisions& decisions) {
  const routing::PolicyInfo& fallback = *routing::FindPolicy(record.policy->fallback);
  if (NeedsFallback(record)) {
    const auto endpoint = PolicyOf(fallback).Choose({}, fleet_, *model_, now, rng_);
    if (!endpoint) return false;
    Dispatch(record, *endpoint, fallback, record.cause, now, decisions);
    return true;
  }
  const auto chosen =
      PolicyOf(*record.policy).Choose(record.candidates, fleet_, *model_, now, rng_);
  if (!record.unprofiled.empty()) {
    const bool has_room =
        chosen && model_->Fits(fleet_.endpoint(*chosen).load, ShareAt(record, *chosen));
    // What the profiled deployments have no room for goes where nothing is known, but only as the
    // fallback policy would send it there: an endpoint without a profile is not a place to dump on.
    if (!has_room) {
      const auto other = PolicyOf(fallback).Choose({}, fleet_, *model_, now, rng_);
      if (other && IsUnprofiled(record, fleet_.endpoint(*other).deployment)) {
        Dispatch(record, *other, fallback, FallbackCause::kUnprofiledDeployment, now, decisions);
        return true;
      }
    }
  }
  if (!chosen) return false;
  Dispatch(record, *chosen, *record.policy, FallbackCause::kNone, now, decisions);
  return true;
}

void Scheduler::Settle(Record& record, Seconds now, Decisions& decisions) {
  if (now > record.slo_deadline) {
    if (const auto endpoint = LeastRequestAmong(record.unprofiled)) {
      Dispatch(record, *endpoint, *routing::FindPolicy("least-request"),
               FallbackCause::kUnprofiledDeployment, now, decisions);
      return;
    }
    Refuse(record,
           record.slo_deadline < record.arrived ? RefusalReason::kSloUnattainable
                                                : RefusalReason::kSloDeadline,
           now, decisions);
    return;
  }
  Refuse(record, RefusalReason::kQueueTimeout, now, decisions);
}

fleet::Load Scheduler::ShareAt(const Record& record, fleet::EndpointId endpoint) const {
  const fleet::DeploymentId deployment = fleet_.endpoint(endpoint).deployment;
  for (const routing::Candidate& candidate : record.candidates) {
    if (candidate.deployment == deployment) return candidate.share;
  }
  // Sent there by a policy that does not look at profiles: it still takes what the profile says.
  RequestDemand demand = DemandOf(record);
  demand.needs = routing::PolicyNeeds::kLoad;
  const Verdict verdict = Assess(demand, fleet_.deployments()[deployment], deployment, *model_);
  return verdict.kind == Verdict::Kind::kCandidate ? verdict.candidate.share : 0;
}

bool Scheduler::IsUnprofiled(const Record& record, fleet::DeploymentId deployment) {
  return std::find(record.unprofiled.begin(), record.unprofiled.end(), deployment) !=
         record.unprofiled.end();
}

void Scheduler::Dispatch(Record& record, fleet::EndpointId endpoint,
                         const routing::PolicyInfo& policy, FallbackCause cause, Seconds now,
                         Decisions& decisions) {
  record.state = State::kRunning;
  record.endpoint = endpoint;
  record.share = ShareAt(record, endpoint);
  fleet_.Add(endpoint, record.share);
  Decision decision{.id = record.id,
                    .tag = record.tag,
                    .endpoint = endpoint,
                    .policy = policy.name,
                    .fallback = cause,
                    .length = record.length,
                    .queued = now - record.arrived};
  for (const routing::Candidate& candidate : record.candidates) {
    if (candidate.deployment == fleet_.endpoint(endpoint).deployment &&
        candidate.latest_start != kNever) {
      decision.rank = now - candidate.latest_start;
    }
  }
  decisions.push_back(decision);
}

void Scheduler::Refuse(Record& record, RefusalReason reason, Seconds now, Decisions& decisions) {
  decisions.push_back({.id = record.id,
                       .tag = record.tag,
                       .refused = reason,
                       .retry_after = RetryAfter(reason),
                       .length = record.length,
                       .queued = now - record.arrived});
  Free(record);
}

std::optional<fleet::EndpointId> Scheduler::LeastRequestAmong(
    std::span<const fleet::DeploymentId> deployments) const {
  std::optional<fleet::EndpointId> best;
  if (deployments.empty()) return best;
  for (const fleet::EndpointId id : fleet_.available()) {
    const fleet::Endpoint& endpoint = fleet_.endpoint(id);
    if (std::ranges::find(deployments, endpoint.deployment) == deployments.end()) continue;
    if (!best || endpoint.in_flight < fleet_.endpoint(*best).in_flight) best = id;
  }
  return best;
}

Seconds Scheduler::RetryAfter(RefusalReason reason) const {
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
  const Seconds drain = mean_gap_ * static_cast<double>(queue_.size() + 1);
  return std::clamp(std::ceil(drain), kLeastRetry, kMostRetry);
}

routing::Policy& Scheduler::PolicyOf(const routing::PolicyInfo& info) {
  auto& policy = policies_[static_cast<std::size_t>(&info - routing::Policies().data())];
  if (!policy) policy = info.make();
  return *policy;
}

}  // namespace headrace::scheduler
