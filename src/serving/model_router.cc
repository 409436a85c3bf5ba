#include "serving/model_router.h"

#include <atomic>
#include <bit>
#include <cstdio>
#include <utility>

#include "slo/slo.h"
#include "system/clock.h"

namespace headrace::serving {
namespace {

std::string Milliseconds(Seconds seconds) {
  char text[32];
  std::snprintf(text, sizeof text, seconds < 10 ? "%.0f ms" : "%.3g s",
                seconds < 10 ? seconds * 1e3 : seconds);
  return text;
}

}  // namespace

// The part of a router that its timer thread may still hold when the router is gone.
struct ModelRouter::WakeLoop {
  explicit WakeLoop(net::IoThread& io_thread) : thread(io_thread), waker(io_thread) {}

  net::IoThread& thread;
  net::Waker waker;
  std::mutex mutex;  // Guards `router`: null once the router is being destroyed.
  ModelRouter* router = nullptr;
  std::atomic<Seconds> next{kNever};  // When to tick; written under the router's own lock.
};

// A decision on its way to the thread that waits for it.
struct ModelRouter::Delivery {
  RoutedRequest* request;  // Only to be compared: it may be gone once the lock is released.
  net::OneShot<RoutedRequest::Answer>::Setter setter;
  Route route;
};

RoutedRequest::RoutedRequest(ModelRouter& router, net::IoThread& thread,
                             const scheduler::Arrival& arrival)
    : router_(router), thread_(thread), arrival_(arrival), answer_(std::in_place, thread) {
  arrival_.tag = std::bit_cast<std::uint64_t>(this);
  router_.Apply(
      [this](scheduler::Scheduler& scheduler, Seconds now, scheduler::Decisions& decisions) {
        id_ = scheduler.Arrive(arrival_, now, decisions);
        expected_output_tokens_ = scheduler.ExpectedOutput(id_);
      },
      this);
}

RoutedRequest::~RoutedRequest() {
  if (!open_) return;
  router_.Apply([this](scheduler::Scheduler& scheduler, Seconds now,
                       scheduler::Decisions& decisions) { scheduler.Cancel(id_, now, decisions); });
}

net::Task<std::optional<Route>> RoutedRequest::Wait(Seconds deadline) {
  if (abandoned_) co_return std::nullopt;
  std::optional<Answer> answer = co_await answer_->Wait(deadline);
  // A decision that crossed with the client's leaving is not carried out: the destructor takes it
  // back.
  if (!answer || abandoned_) co_return std::nullopt;
  if (*answer && (*answer)->decision.refused) open_ = false;
  co_return std::move(*answer);
}

void RoutedRequest::Abandon() {
  abandoned_ = true;
  answer_->setter().SetHere(std::nullopt);
}

void RoutedRequest::Return() {
  router_.Apply(
      [this](scheduler::Scheduler& scheduler, Seconds now, scheduler::Decisions& decisions) {
        answer_.emplace(thread_);
        scheduler.Return(id_, now, decisions);
      },
      this);
}

void RoutedRequest::Complete(const scheduler::Completion& completion) {
  open_ = false;
  router_.Apply([&](scheduler::Scheduler& scheduler, Seconds now, scheduler::Decisions& decisions) {
    scheduler.Complete(id_, completion, now, decisions);
  });
}

ModelRouter::ModelRouter(std::string model, const scheduler::SchedulerOptions& options,
                         net::IoThreads& threads, std::uint64_t seed, RouterReports reports)
    : model_(std::move(model)),
      reports_(reports),
      scheduler_(options, std::make_unique<fleet::LittlesLawLoad>(), seed) {
  // Models share the threads' timers evenly.
  net::IoThread& thread =
      threads[static_cast<int>(seed % static_cast<std::uint64_t>(threads.size()))];
  wake_loop_ = std::make_shared<WakeLoop>(thread);
  wake_loop_->router = this;
  thread.Spawn([loop = wake_loop_]() -> net::Task<void> {
    for (;;) {
      co_await loop->waker.Wait(loop->next);
      const std::lock_guard lock(loop->mutex);
      if (loop->router == nullptr) co_return;
      if (system::MonotonicNow() < loop->next) continue;
      loop->router->Apply(
          [&](scheduler::Scheduler& scheduler, Seconds now, scheduler::Decisions& decisions) {
            loop->next = kNever;
            scheduler.Tick(now, decisions);
          });
    }
  });
}

ModelRouter::~ModelRouter() {
  {
    const std::lock_guard lock(wake_loop_->mutex);
    wake_loop_->router = nullptr;
  }
  wake_loop_->thread.Post([loop = wake_loop_] { loop->waker.Wake(); });
}

template <typename Event>
void ModelRouter::Apply(Event event, RoutedRequest* own) {
  std::vector<Delivery> deliveries;
  bool rearm = false;
  Seconds took = 0;
  {
    const std::lock_guard lock(mutex_);
    decisions_.clear();
    const Seconds now = system::MonotonicNow();
    event(scheduler_, now, decisions_);
    took = system::MonotonicNow() - now;
    Collect(deliveries);
    // A tick that comes too early does nothing but arm the timer again; only an earlier one
    // matters.
    const Seconds next = scheduler_.NextWakeup();
    rearm = next < wake_loop_->next;
    if (rearm) wake_loop_->next = next;
  }
  for (Delivery& delivery : deliveries) {
    if (delivery.route.decision.fallback != scheduler::FallbackCause::kNone)
      ReportFallback(delivery.route);
    if (delivery.request == own) {
      delivery.setter.SetHere(std::move(delivery.route));
    } else {
      delivery.setter.Set(std::move(delivery.route));
    }
  }
  if (rearm) wake_loop_->thread.Post([loop = wake_loop_] { loop->waker.Wake(); });
  reports_.decision_seconds.Observe(took);
}

void ModelRouter::Collect(std::vector<Delivery>& deliveries) {
  deliveries.reserve(decisions_.size());
  for (const scheduler::Decision& decision : decisions_) {
    auto& request = *std::bit_cast<RoutedRequest*>(decision.tag);
    Route route{.decision = decision};
    if (!decision.refused) route.endpoint = infos_[decision.endpoint];
    route.slo = SloFor(request.arrival_, decision);
    deliveries.push_back({&request, request.answer_->setter(), std::move(route)});
  }
}

void ModelRouter::ReportFallback(const Route& route) const {
  const scheduler::Decision& decision = route.decision;
  const std::string cause =
      "model " + model_ + ": fallback " + std::string(ToString(decision.fallback));
  reports_.faults.Raise(telemetry::LogLevel::kWarning, cause,
                        cause + ": requests are routed by " + std::string(decision.policy) +
                            "; /status shows every profile and its faults",
                        system::MonotonicNow());
}

slo::Slo ModelRouter::SloFor(const scheduler::Arrival& arrival,
                             const scheduler::Decision& decision) const {
  if (arrival.slo) return *arrival.slo;
  if (scheduler_.options().slo) return *scheduler_.options().slo;
  const fleet::Fleet& fleet = scheduler_.fleet();
  if (!decision.refused) {
    const auto& profile = fleet.deployment_of(decision.endpoint).profile;
    return profile ? profile->slo : slo::Slo{};
  }
  for (const fleet::Deployment& deployment : fleet.deployments()) {
    if (deployment.profile && deployment.profile->slo.HasLatency()) return deployment.profile->slo;
  }
  return {};
}

Result<void> ModelRouter::UpdateFleet(const std::vector<fleet::DeploymentSpec>& deployments) {
  std::vector<std::pair<std::string, system::SocketAddress>> resolved;
  for (const fleet::DeploymentSpec& deployment : deployments) {
    for (const std::string& address : deployment.endpoints) {
      auto host_port = system::ParseHostPort(address);
      if (!host_port) return tl::unexpected(host_port.error());
      auto socket = system::Resolve(*host_port);
      if (!socket) return tl::unexpected(socket.error());
      resolved.emplace_back(address, *socket);
    }
  }
  Apply([&](scheduler::Scheduler& scheduler, Seconds now, scheduler::Decisions& decisions) {
    scheduler.UpdateFleet(deployments, now, decisions);
    const auto endpoints = scheduler.fleet().endpoints();
    infos_.resize(endpoints.size());
    for (const auto& [address, socket] : resolved) {
      for (fleet::EndpointId id = 0; id < endpoints.size(); ++id) {
        if (endpoints[id].retired || endpoints[id].address != address) continue;
        infos_[id] = std::make_shared<EndpointInfo>(
            EndpointInfo{id, address, socket, scheduler.fleet().deployment_of(id).name});
      }
    }
  });
  return {};
}

void ModelRouter::SetProfile(const std::string& deployment,
                             std::shared_ptr<const profile::GpuProfile> profile) {
  Apply([&](scheduler::Scheduler& scheduler, Seconds now, scheduler::Decisions& decisions) {
    scheduler.SetProfile(deployment, profile, now, decisions);
  });
}

void ModelRouter::SetUp(const EndpointInfo& endpoint, bool up, std::string_view why) {
  bool changes = false;
  {
    const std::lock_guard lock(mutex_);
    changes = scheduler_.fleet().endpoint(endpoint.id).up != up;
  }
  if (changes) {
    Apply([&](scheduler::Scheduler& scheduler, Seconds now, scheduler::Decisions& decisions) {
      scheduler.SetUp(endpoint.id, up, now, decisions);
    });
  }
  const std::string name =
      "endpoint " + endpoint.address + " of " + model_ + "/" + endpoint.deployment;
  if (up) {
    reports_.faults.Clear(name, name + " is up", system::MonotonicNow());
  } else {
    reports_.faults.Raise(telemetry::LogLevel::kWarning, name,
                          name + " is down: " + std::string(why), system::MonotonicNow());
  }
}

std::vector<std::shared_ptr<const EndpointInfo>> ModelRouter::Endpoints() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<const EndpointInfo>> result;
  for (fleet::EndpointId id = 0; id < infos_.size(); ++id) {
    if (!scheduler_.fleet().endpoint(id).retired) result.push_back(infos_[id]);
  }
  return result;
}

bool ModelRouter::AnyUp() const {
  const std::lock_guard lock(mutex_);
  return scheduler_.fleet().up() > 0;
}

RouterStatus ModelRouter::Status() const {
  const std::lock_guard lock(mutex_);
  RouterStatus status;
  const fleet::Fleet& fleet = scheduler_.fleet();
  for (const fleet::Deployment& deployment : fleet.deployments()) {
    status.deployments.push_back({deployment.name, deployment.profile, {}});
  }
  for (const fleet::Endpoint& endpoint : fleet.endpoints()) {
    if (endpoint.retired && endpoint.in_flight == 0) continue;
    status.deployments[endpoint.deployment].endpoints.push_back(
        {endpoint.address, endpoint.up, endpoint.retired, endpoint.in_flight,
         fleet::LoadFraction(endpoint.load), endpoint.normalized_latency});
  }
  for (const scheduler::WaitQueue::SubQueue& queue : scheduler_.queue().SubQueues()) {
    const bool ranked = queue.key != scheduler::WaitQueue::kUnranked;
    const auto input = static_cast<int>(queue.key % kLog2Buckets);
    const auto output = static_cast<int>(queue.key / kLog2Buckets);
    status.sub_queues.push_back({ranked ? Log2BucketCentre(input) : 0,
                                 ranked ? Log2BucketCentre(output) : 0, queue.length});
  }
  status.waiting = scheduler_.waiting();
  status.queue_bytes = scheduler_.queue_bytes();
  status.running = scheduler_.running();
  status.learned_lengths = scheduler_.length_predictor().samples();
  return status;
}

scheduler::FallbackCause ModelRouter::WhyUnusable(const profile::GpuProfile& profile) const {
  const scheduler::SchedulerOptions& options = scheduler_.options();  // They do not change.
  return headrace::scheduler::WhyUnusable(profile, options.policy->needs,
                                          options.slo ? &*options.slo : nullptr);
}

std::string ModelRouter::ExplainRefusal(const scheduler::Decision& decision,
                                        const scheduler::Arrival& arrival) const {
  const std::lock_guard lock(mutex_);
  const std::string size = "a request of about " + std::to_string(arrival.prompt_tokens) +
                           " prompt and " + std::to_string(decision.length.tokens) +
                           " output tokens";
  switch (*decision.refused) {
    case scheduler::RefusalReason::kNoEndpoint:
      return "No endpoint of model '" + model_ + "' is up.";
    case scheduler::RefusalReason::kQueueFull:
      return "The queue of model '" + model_ + "' is full (" +
             std::to_string(scheduler_.waiting()) + " requests wait).";
    case scheduler::RefusalReason::kQueueTimeout:
      return "No endpoint became free for " + size + " within " +
             Milliseconds(scheduler_.options().queue_timeout) + ".";
    case scheduler::RefusalReason::kSloDeadline:
    case scheduler::RefusalReason::kSloUnattainable:
      break;
  }
  std::string reasons;
  const auto deployments = scheduler_.fleet().deployments();
  const auto verdicts = scheduler_.Explain(arrival, decision.length.tokens, 0);
  for (fleet::DeploymentId id = 0; id < deployments.size(); ++id) {
    if (deployments[id].retired) continue;
    if (!reasons.empty()) reasons += ", ";
    reasons += deployments[id].name + ": ";
    const scheduler::Verdict& verdict = verdicts[id];
    if (deployments[id].up == 0) {
      reasons += "down";
    } else if (verdict.kind == scheduler::Verdict::Kind::kInfeasible) {
      reasons += "no rate meets the SLO";
    } else if (verdict.kind == scheduler::Verdict::Kind::kUnknown) {
      reasons += ToString(verdict.cause);
    } else {
      reasons += "expects " + Milliseconds(verdict.expected) + " of " +
                 Milliseconds(verdict.target) + " promised";
    }
  }
  const std::string waited = *decision.refused == scheduler::RefusalReason::kSloDeadline
                                 ? " any more after waiting " + Milliseconds(decision.queued)
                                 : "";
  return "No GPU type can meet the SLO of " + size + waited + " (" + reasons + ").";
}

}  // namespace headrace::serving
