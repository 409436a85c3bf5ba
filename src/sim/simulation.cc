#include "sim/simulation.h"

#include <algorithm>
#include <array>
#include <deque>
#include <span>
#include <tuple>

#include "base/hash.h"
#include "base/indexed_heap.h"
#include "engine/timed_engine.h"
#include "fleet/littles_law.h"
#include "replica/merger.h"
#include "replica/outbox.h"
#include "scheduler/scheduler.h"
#include "sim/clairvoyant.h"
#include "sim/run_record.h"

namespace headrace::sim {
namespace {

// Draws of a scheduler must not be those of the workload, nor of another one.
constexpr std::uint64_t kSchedulerSeed = 0x5851f42d4c957f2d;
constexpr std::uint64_t kDealSeed = 0x14057b7ef767814f;
constexpr double kProgressStep = 0.01;
// Of the clairvoyant's waiting requests, at each event of an engine.
constexpr int kMostTries = 8;

class Simulator {
 public:
  Simulator(const SimulationSpec& spec, SimulationObserver* observer,
            Clairvoyant::Order order = Clairvoyant::Order::kMostUrgent)
      : spec_(spec),
        observer_(observer),
        stream_(*spec.workload, spec.seed, spec.rate_scale),
        deal_(spec.seed ^ kDealSeed),
        record_(spec),
        order_(order) {
    for (int i = 0; i < spec.replicas; ++i) {
      replicas_.emplace_back(spec, i);
      schedulers_.push_back(&replicas_.back().scheduler);
    }
    faults_ = spec.faults;
    std::ranges::sort(faults_, {}, [](const EndpointFault& fault) {
      return std::tuple(fault.at, fault.deployment, fault.endpoint, fault.kind);
    });
    BuildFleet();
  }

  SimulationResult Run();

 private:
  // A router with what it takes to share its work with others.
  struct Replica {
    Replica(const SimulationSpec& spec, int index)
        : scheduler(spec.scheduler, std::make_unique<fleet::LittlesLaw>(),
                    (spec.seed ^ kSchedulerSeed) + static_cast<std::uint64_t>(index),
                    spec.experiment),
          outbox({std::to_string(index), 1}, {}),
          merger({std::to_string(index), 1}) {
      if (spec.replicas == 1) return;
      scheduler.KeepJournal(true);
      merger.SetTurnLength(replica::TurnLength(spec.replica_lag));
    }

    scheduler::Scheduler scheduler;
    replica::Outbox outbox;
    replica::Merger merger;
  };
  // From one replica to all.
  struct Message {
    Seconds at = 0;  // When it is heard.
    replica::Batch batch;
  };
  enum class Stage : std::uint8_t { kFree, kWaiting, kRunning };
  struct Request {
    Seconds arrived = 0;
    Seconds queued = 0;
    Seconds dispatched = 0;
    Seconds first_token = 0;
    scheduler::RequestId id = 0;
    engine::EngineModel::Handle handle = 0;
    fleet::EndpointId endpoint = 0;
    std::uint32_t replica = 0;
    std::uint32_t class_index = 0;
    Tokens prompt_tokens = 0;
    Tokens output_tokens = 0;
    Stage stage = Stage::kFree;
    bool has_first_token = false;
    std::optional<fleet::Outlook> outlook;  // When it was sent.

    Tokens context() const { return prompt_tokens + output_tokens; }
  };
  struct Endpoint {
    engine::TimedEngine engine;
    std::uint32_t deployment = 0;
    int index = 0;
    int in_engine = 0;
    bool up = true;
    bool failing = false;
  };
  // A first token, or an end.
  struct News {
    Seconds at = 0;  // When the request's scheduler hears of it.
    std::uint32_t replica = 0;
    scheduler::RequestId id = 0;
    std::optional<scheduler::Completion> completion;
  };

  void BuildFleet();
  Clairvoyant::Request LookUp(std::uint64_t tag) const;
  // What the clairvoyant holds is offered to an engine of which something has changed.
  void ServeHeld(fleet::EndpointId engine, Seconds now);
  // To `only`, or to any engine.
  bool SendByClairvoyant(std::uint32_t slot, std::optional<fleet::EndpointId> only, Seconds now);
  void Send(std::uint32_t slot, fleet::EndpointId id, Seconds now);
  void Arrive(Seconds now);
  void WakeEngine(fleet::EndpointId id, Seconds now);
  void Deliver(fleet::EndpointId id, std::span<const engine::TimedEngine::TimedEvent> events);
  void Finish(fleet::EndpointId id, std::uint32_t slot, Seconds at);
  void Apply(const EndpointFault& fault, Seconds now);
  void LoseEndpoint(fleet::EndpointId id, Seconds now);
  // Tells the scheduler the news and carries out what it decides, until neither is left.
  void Settle(Seconds now);
  void CarryOut(const scheduler::Decision& decision, Seconds now);
  // What the replicas did goes on its way to the others.
  void Tell(Seconds now);
  void Hear(Seconds now);
  void SetUp(fleet::EndpointId id, bool up, Seconds now);
  scheduler::Scheduler& SchedulerOf(const Request& request) {
    return replicas_[request.replica].scheduler;
  }
  void End(std::uint32_t slot, RequestRecord::End end, Seconds e2e);
  void LeaveEngine(Endpoint& endpoint, Seconds now);
  void Reschedule(fleet::EndpointId id) { wakes_.Set(id, endpoints_[id].engine.NextWake()); }
  // Also without deadline wake-ups, an event that was cut short goes on (0).
  Seconds NextWakeup() const {
    Seconds next = kNever;
    for (const scheduler::Scheduler* scheduler : schedulers_) {
      next = std::min(next, scheduler->NextWakeup());
    }
    return spec_.deadline_wakeups || next == 0 ? next : kNever;
  }
  std::uint32_t NewSlot();

  const SimulationSpec& spec_;
  SimulationObserver* observer_;
  workload::WorkloadStream stream_;
  std::deque<Replica> replicas_;
  std::vector<const scheduler::Scheduler*> schedulers_;  // Theirs.
  Rng deal_;                                             // Which of them gets a request.
  std::deque<Message> messages_;                         // By time.
  RunRecord record_;
  std::vector<EndpointFault> faults_;
  std::size_t next_fault_ = 0;
  std::vector<Endpoint> endpoints_;       // By the scheduler's ids.
  std::vector<fleet::EndpointId> first_;  // By deployment.
  IndexedHeap<Seconds> wakes_;
  std::vector<Request> requests_;
  std::vector<std::uint32_t> free_slots_;
  std::deque<News> news_;
  std::optional<Clairvoyant> clairvoyant_;
  std::vector<const engine::TimedEngine*> engines_;  // For it: those that are up.
  std::vector<std::uint32_t> held_;                  // By it, in its order.
  Clairvoyant::Order order_;
  scheduler::Decisions decisions_;
  Tokens context_ = 0;  // Where responses are cut.
  Tokens longest_ = 0;  // What fits on an engine that takes requests.
  std::uint64_t simulated_ = 0;
};

void Simulator::BuildFleet() {
  std::vector<fleet::DeploymentSpec> specs;
  for (const SimDeployment& deployment : spec_.fleet) {
    fleet::DeploymentSpec& spec = specs.emplace_back();
    spec.name = deployment.name;
    spec.max_in_flight = deployment.max_in_flight;
    if (spec_.kv_room) {
      spec.kv_tokens = static_cast<Tokens>(deployment.engine.kv_blocks * engine::kKvBlockTokens);
    }
    for (int i = 0; i < deployment.endpoints; ++i) spec.endpoints.push_back(std::to_string(i));
    spec.max_model_len = deployment.engine.max_model_len;
    context_ = std::max(context_, spec.max_model_len);
    if (spec_.only_deployment.value_or(specs.size() - 1) == specs.size() - 1) {
      longest_ = std::max(longest_, spec.max_model_len);
    }
  }
  if (spec_.context > 0) context_ = spec_.context;
  for (Replica& replica : replicas_) replica.scheduler.UpdateFleet(specs, 0, decisions_);
  // The ids of a fleet that starts empty are given out in order.
  for (std::uint32_t d = 0; d < spec_.fleet.size(); ++d) {
    first_.push_back(static_cast<fleet::EndpointId>(endpoints_.size()));
    for (int i = 0; i < spec_.fleet[d].endpoints; ++i) {
      endpoints_.push_back({engine::TimedEngine(spec_.fleet[d].engine), d, i});
    }
    if (!spec_.fleet[d].profile) continue;
    for (Replica& replica : replicas_) {
      replica.scheduler.SetProfile(specs[d].name, spec_.fleet[d].profile, 0, decisions_);
    }
  }
  for (fleet::EndpointId id = 0; id < endpoints_.size(); ++id) {
    if (spec_.only_deployment.value_or(endpoints_[id].deployment) == endpoints_[id].deployment) {
      continue;
    }
    endpoints_[id].up = false;
    SetUp(id, false, 0);
  }
  if (spec_.clairvoyant) {
    clairvoyant_.emplace(spec_.fleet, endpoints_.size(),
                         [this](std::uint64_t tag) { return LookUp(tag); });
    engines_.resize(endpoints_.size());
  }
}

SimulationResult Simulator::Run() {
  const Seconds end = spec_.warm_up + spec_.duration;
  const Seconds last = end + spec_.drain;
  double progress = 0;
  for (;;) {
    const Seconds arrival = stream_.NextAt();
    const Seconds engine = wakes_.empty() ? kNever : wakes_.top_key();
    const Seconds fault = next_fault_ < faults_.size() ? faults_[next_fault_].at : kNever;
    const Seconds news = news_.empty() ? kNever : news_.front().at;
    const Seconds message = messages_.empty() ? kNever : messages_.front().at;
    const Seconds wakeup = std::max(NextWakeup(), record_.now());
    const Seconds sample = record_.NextSample();
    const Seconds now = std::min({arrival, engine, fault, news, message, wakeup, sample});
    if (now > last || (now > end && record_.open() == 0)) break;
    record_.set_now(now);

    if (sample == now) {
      record_.Sample(schedulers_);
    } else if (fault == now) {
      Apply(faults_[next_fault_++], now);
    } else if (engine == now) {
      WakeEngine(wakes_.top(), now);
    } else if (news == now) {
      Settle(now);
    } else if (message == now) {
      Hear(now);
    } else if (wakeup == now) {
      for (Replica& replica : replicas_) {
        if (replica.scheduler.NextWakeup() <= now) replica.scheduler.Tick(now, decisions_);
      }
      Settle(now);
    } else {
      Arrive(now);
    }
    if (observer_ != nullptr && now / last >= progress) {
      observer_->OnProgress(now / last);
      progress = now / last + kProgressStep;
    }
  }
  for (std::uint32_t slot = 0; slot < requests_.size(); ++slot) {
    if (requests_[slot].stage != Stage::kFree) End(slot, RequestRecord::End::kTimedOut, 0);
  }
  std::vector<std::uint64_t> preemptions(spec_.fleet.size());
  for (const Endpoint& endpoint : endpoints_) {
    preemptions[endpoint.deployment] += endpoint.engine.model().preemptions();
    if (endpoint.in_engine > 0) record_.EngineIdles(endpoint.deployment);
  }
  return record_.Finish(preemptions, simulated_);
}

std::uint32_t Simulator::NewSlot() {
  if (free_slots_.empty()) {
    requests_.emplace_back();
    return static_cast<std::uint32_t>(requests_.size() - 1);
  }
  const std::uint32_t slot = free_slots_.back();
  free_slots_.pop_back();
  return slot;
}

void Simulator::Arrive(Seconds now) {
  const workload::WorkloadRequest arrived = *stream_.Next();
  ++simulated_;
  record_.Offer(arrived.class_index, now);
  const std::uint32_t slot = NewSlot();
  Request& request = requests_[slot];
  request =
      Request{.arrived = now,
              .class_index = arrived.class_index,
              .prompt_tokens = arrived.prompt_tokens,
              .output_tokens = std::min(arrived.output_tokens, context_ - arrived.prompt_tokens),
              .stage = Stage::kWaiting};
  if (request.output_tokens < 1 || request.context() > longest_) {
    request.output_tokens = arrived.output_tokens;
    End(slot, RequestRecord::End::kTooLong, 0);
    return;
  }
  if (request.output_tokens < arrived.output_tokens) record_.Cut(arrived.class_index, now);
  if (clairvoyant_) {
    if (SendByClairvoyant(slot, std::nullopt, now)) return;
    const auto later = [&](std::uint32_t a, std::uint32_t b) {
      return clairvoyant_->Place(a, order_) < clairvoyant_->Place(b, order_);
    };
    held_.insert(std::ranges::upper_bound(held_, slot, later), slot);
    return;
  }
  scheduler::Arrival arrival;
  arrival.tag = slot;
  arrival.prompt_tokens = request.prompt_tokens;
  arrival.context = request.context();
  arrival.reports_first_token = spec_.first_tokens;
  if (spec_.exact_lengths) arrival.output_tokens = request.output_tokens;
  const workload::WorkloadClass& spec = spec_.workload->classes[arrived.class_index];
  if (spec_.per_request_slo) arrival.slo = spec.slo;
  arrival.priority = spec.priority;
  if (!spec.tenant.empty()) arrival.tenant = HashOf(spec.tenant);
  if (spec_.replicas > 1)
    request.replica = static_cast<std::uint32_t>(deal_.Below(replicas_.size()));
  request.id = SchedulerOf(request).Arrive(arrival, now, decisions_);
  Settle(now);
}

Clairvoyant::Request Simulator::LookUp(std::uint64_t tag) const {
  const Request& request = requests_[tag];
  Clairvoyant::Request known{.arrived = request.arrived,
                             .prompt_tokens = request.prompt_tokens,
                             .output_tokens = request.output_tokens};
  known.cached_tokens =
      workload::CachedTokens(spec_.workload->classes[request.class_index], request.prompt_tokens);
  if (request.has_first_token) known.first_token = request.first_token;
  const std::optional<slo::Slo>& own = spec_.workload->classes[request.class_index].slo;
  if (own) {
    known.slo = &*own;
  } else if (spec_.scheduler.slo) {
    known.slo = &*spec_.scheduler.slo;
  }
  return known;
}

bool Simulator::SendByClairvoyant(std::uint32_t slot, std::optional<fleet::EndpointId> only,
                                  Seconds now) {
  for (fleet::EndpointId id = 0; id < endpoints_.size(); ++id) {
    const bool fits =
        requests_[slot].context() <= spec_.fleet[endpoints_[id].deployment].engine.max_model_len;
    const bool serves = endpoints_[id].up && !endpoints_[id].failing;
    const bool asked = serves && fits && only.value_or(id) == id;
    engines_[id] = asked ? &endpoints_[id].engine : nullptr;
    if (!asked) continue;
    Deliver(id, endpoints_[id].engine.Advance(now));
    Reschedule(id);
  }
  const auto chosen = clairvoyant_->Choose(engines_, slot, now);
  if (chosen) Send(slot, static_cast<fleet::EndpointId>(*chosen), now);
  return chosen.has_value();
}

void Simulator::ServeHeld(fleet::EndpointId engine, Seconds now) {
  int tries = 0;
  // An idle engine has no later event.
  for (std::size_t i = 0;
       i < held_.size() && (tries < kMostTries || endpoints_[engine].in_engine == 0);) {
    const std::uint32_t slot = held_[i];
    if (now > clairvoyant_->LatestStart(slot)) {
      End(slot, RequestRecord::End::kRefused, 0);
    } else if (++tries; !SendByClairvoyant(slot, engine, now)) {
      ++i;
      continue;
    }
    held_.erase(held_.begin() + static_cast<long>(i));
  }
}

void Simulator::WakeEngine(fleet::EndpointId id, Seconds now) {
  const auto events = endpoints_[id].engine.Advance(now);
  Deliver(id, events);
  Reschedule(id);
  if (clairvoyant_ && !events.empty()) ServeHeld(id, now);
  Settle(now);
}

void Simulator::Deliver(fleet::EndpointId id,
                        std::span<const engine::TimedEngine::TimedEvent> events) {
  for (const auto& [at, event] : events) {
    const auto slot = static_cast<std::uint32_t>(event.tag);
    switch (event.kind) {
      case engine::EngineModel::Event::Kind::kFirstToken:
        requests_[slot].first_token = at;
        requests_[slot].has_first_token = true;
        if (!clairvoyant_ && spec_.first_tokens) {
          const Request& request = requests_[slot];
          news_.push_back({at + spec_.state_lag, request.replica, request.id, {}});
        }
        break;
      case engine::EngineModel::Event::Kind::kFinished:
        Finish(id, slot, at);
        break;
      case engine::EngineModel::Event::Kind::kPreempted:
        break;
    }
  }
}

void Simulator::Finish(fleet::EndpointId id, std::uint32_t slot, Seconds at) {
  const Request& request = requests_[slot];
  news_.push_back({at + spec_.state_lag, request.replica, request.id,
                   scheduler::Completion{request.prompt_tokens, request.output_tokens,
                                         at - request.dispatched}});
  LeaveEngine(endpoints_[id], at);
  End(slot, RequestRecord::End::kCompleted, at - request.arrived);
}

void Simulator::LeaveEngine(Endpoint& endpoint, Seconds now) {
  if (--endpoint.in_engine == 0) record_.EngineIdles(endpoint.deployment, now);
}

void Simulator::End(std::uint32_t slot, RequestRecord::End end, Seconds e2e) {
  Request& request = requests_[slot];
  if (record_.Counts(request.arrived)) {
    RequestRecord record{.arrived = request.arrived,
                         .class_index = request.class_index,
                         .prompt_tokens = request.prompt_tokens,
                         .output_tokens = request.output_tokens,
                         .end = end,
                         .queued = request.queued,
                         .e2e = e2e};
    if (request.stage == Stage::kRunning) {
      record.deployment = endpoints_[request.endpoint].deployment;
      record.endpoint = endpoints_[request.endpoint].index;
    }
    if (request.has_first_token) record.ttft = request.first_token - request.arrived;
    if (request.outlook) {
      record.predicted = {.ttft = request.outlook->first_token - request.arrived,
                          .e2e = request.outlook->EndOf(request.output_tokens) - request.arrived,
                          .miss = request.outlook->miss};
    }
    record_.End(record);
    if (observer_ != nullptr) observer_->OnEnd(record);
  }
  request.stage = Stage::kFree;
  free_slots_.push_back(slot);
}

void Simulator::Apply(const EndpointFault& fault, Seconds now) {
  const fleet::EndpointId id =
      first_[fault.deployment] + static_cast<fleet::EndpointId>(fault.endpoint);
  switch (fault.kind) {
    case EndpointFault::Kind::kSpeed:
      endpoints_[id].engine.set_step_model(
          spec_.fleet[fault.deployment].engine.step.SlowedBy(fault.factor));
      if (clairvoyant_) clairvoyant_->Changed(id);
      Reschedule(id);
      break;
    case EndpointFault::Kind::kLost:
      LoseEndpoint(id, now);
      break;
    case EndpointFault::Kind::kFailing:
      endpoints_[id].failing = true;
      break;
    case EndpointFault::Kind::kReturn:
      endpoints_[id].up = true;
      endpoints_[id].failing = false;
      SetUp(id, true, now);
      if (clairvoyant_) ServeHeld(id, now);
      break;
  }
  Settle(now);
}

void Simulator::LoseEndpoint(fleet::EndpointId id, Seconds now) {
  endpoints_[id].up = false;
  SetUp(id, false, now);
  Settle(now);
  for (std::uint32_t slot = 0; slot < requests_.size(); ++slot) {
    Request& request = requests_[slot];
    if (request.stage != Stage::kRunning || request.endpoint != id) continue;
    endpoints_[id].engine.Cancel(request.handle);
    LeaveEngine(endpoints_[id], now);
    if (request.has_first_token) {
      if (!clairvoyant_) {
        news_.push_back({now, request.replica, request.id,
                         scheduler::Completion{.fault = fleet::EngineFault::kCut}});
      }
      End(slot, RequestRecord::End::kFailed, 0);
    } else if (clairvoyant_) {
      request.stage = Stage::kWaiting;
      held_.insert(held_.begin(), slot);
    } else {
      request.stage = Stage::kWaiting;
      SchedulerOf(request).Return(request.id, fleet::EngineFault::kClosed, now, decisions_);
    }
  }
  if (clairvoyant_) clairvoyant_->Changed(id);
  Reschedule(id);
}

void Simulator::Settle(Seconds now) {
  for (std::size_t i = 0;;) {
    if (i < decisions_.size()) {
      const scheduler::Decision decision = decisions_[i++];
      CarryOut(decision, now);
    } else if (!news_.empty() && news_.front().at <= now) {
      const News news = news_.front();
      news_.pop_front();
      scheduler::Scheduler& scheduler = replicas_[news.replica].scheduler;
      if (news.completion) {
        scheduler.Complete(news.id, *news.completion, now, decisions_);
      } else {
        scheduler.FirstToken(news.id, now);
      }
    } else {
      break;
    }
  }
  decisions_.clear();
  if (spec_.replicas > 1) Tell(now);
}

void Simulator::Tell(Seconds now) {
  for (Replica& replica : replicas_) {
    replica.outbox.Add(replica.scheduler.TakeJournal(), replica.scheduler.queue_state());
    auto batch = replica.outbox.Next(now);
    if (batch) messages_.push_back({now + spec_.replica_lag, std::move(*batch)});
  }
}

void Simulator::Hear(Seconds now) {
  const replica::Batch batch = std::move(messages_.front().batch);
  messages_.pop_front();
  for (Replica& replica : replicas_) {
    for (std::size_t at = 0;
         !replica.merger.Apply(batch, at, replica.scheduler, now, decisions_);) {
    }
  }
  Settle(now);
}

void Simulator::SetUp(fleet::EndpointId id, bool up, Seconds now) {
  for (Replica& replica : replicas_) replica.scheduler.SetUp(id, up, now, decisions_);
}

void Simulator::CarryOut(const scheduler::Decision& decision, Seconds now) {
  const auto slot = static_cast<std::uint32_t>(decision.tag);
  Request& request = requests_[slot];
  request.queued = decision.queued;
  if (decision.refused) {
    End(slot,
        *decision.refused == scheduler::RefusalReason::kQueueTimeout ? RequestRecord::End::kTimedOut
                                                                     : RequestRecord::End::kRefused,
        0);
    return;
  }
  request.id = decision.id;
  request.outlook = decision.outlook;
  Send(slot, decision.endpoint, now);
}

void Simulator::Send(std::uint32_t slot, fleet::EndpointId id, Seconds now) {
  Request& request = requests_[slot];
  request.stage = Stage::kRunning;
  request.dispatched = now;
  request.endpoint = id;
  Endpoint& endpoint = endpoints_[id];
  if (record_.Counts(request.arrived)) record_.Sent(endpoint.deployment, request.class_index);
  if (endpoint.failing) {
    news_.push_back({now + spec_.state_lag, request.replica, request.id,
                     scheduler::Completion{.fault = fleet::EngineFault::kStatus}});
    End(slot, RequestRecord::End::kFailed, 0);
    return;
  }
  Deliver(id, endpoint.engine.Advance(now));
  if (endpoint.in_engine++ == 0) record_.EngineWorks(endpoint.deployment, now);
  request.handle = endpoint.engine.Add(
      now, slot, request.prompt_tokens, request.output_tokens,
      workload::CachedTokens(spec_.workload->classes[request.class_index], request.prompt_tokens));
  Reschedule(id);
}

}  // namespace

std::string_view ToString(RequestRecord::End end) {
  constexpr std::array<std::string_view, 5> kNames{"completed", "refused", "too_long", "timed_out",
                                                   "failed"};
  return kNames[static_cast<std::size_t>(end)];
}

SimulationResult Simulate(const SimulationSpec& spec, SimulationObserver* observer) {
  if (!spec.clairvoyant) return Simulator(spec, observer).Run();
  // The better of its orders, in hindsight.
  using Order = Clairvoyant::Order;
  SimulationResult urgent = Simulator(spec, nullptr, Order::kMostUrgent).Run();
  SimulationResult cheapest = Simulator(spec, nullptr, Order::kCheapest).Run();
  const bool by_cost = cheapest.statistics.Total().attained > urgent.statistics.Total().attained;
  if (observer != nullptr) {
    Simulator(spec, observer, by_cost ? Order::kCheapest : Order::kMostUrgent).Run();
  }
  return by_cost ? cheapest : urgent;
}

}  // namespace headrace::sim
