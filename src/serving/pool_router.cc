#include "serving/pool_router.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <iterator>
#include <utility>

namespace headrace::serving {

// The part of a router that its executor may still hold when the router is gone.
struct PoolRouter::WakeLoop : std::enable_shared_from_this<WakeLoop> {
  WakeLoop(Executor& on, PoolRouter& wakes) : executor(on), router(&wakes) {}

  // Any thread: `next` is earlier than it was, or the router is gone.
  void Wake() {
    executor.Post([loop = shared_from_this()] { loop->Run(); });
  }

  // On the executor's thread: ticks the scheduler if it is time to, else sets the alarm.
  void Run() {
    const system::MutexLock lock(mutex);
    if (router == nullptr) {
      alarm.reset();
    } else if (executor.Now() < next) {
      if (alarm == nullptr) alarm = executor.MakeAlarm([this] { Run(); });
      alarm->Set(next);
    } else {
      router->Apply([this](PoolState& state, Seconds now) {
        next = kNever;
        state.scheduler.Tick(now, state.decisions);
      });
    }
  }

  Executor& executor;
  system::Mutex mutex;
  PoolRouter* router HEADRACE_GUARDED_BY(mutex);  // Null once it is being destroyed.
  std::unique_ptr<Alarm> alarm;                   // Belongs to the executor's thread.
  std::atomic<Seconds> next{kNever};  // When to tick; written under the router's own lock.
};

// A decision on its way to the thread that waits for it.
struct PoolRouter::Delivery {
  RoutedRequest* request;  // Only to be compared: it may be gone once the lock is released.
  std::shared_ptr<RoutedRequest::Ticket> ticket;
  Route route;
};

// --- RoutedRequest

RoutedRequest::RoutedRequest(PoolRouter& router, Executor& executor, OnRoute on_route,
                             std::string_view request_id)
    : router_(router),
      on_route_(std::move(on_route)),
      request_id_(request_id),
      ticket_(std::make_shared<Ticket>(executor, this)) {}

RoutedRequest::~RoutedRequest() {
  Cancel();
  ticket_->request = nullptr;
}

void RoutedRequest::Arrive(const scheduler::Arrival& arrival, const Destinations& destinations) {
  arrival_ = arrival;
  arrival_.tag = std::bit_cast<std::uint64_t>(this);
  open_ = true;
  router_.Apply(
      [&](PoolState& state, Seconds now) {
        const auto& [only, among] = destinations;
        if (only != nullptr && state.Has(*only)) arrival_.only = only->id;
        if (among != nullptr) {
          arrival_.among = std::make_shared<std::vector<fleet::EndpointHandle>>(state.Find(*among));
        }
        id_ = state.scheduler.Arrive(arrival_, now, state.decisions);
        expected_output_tokens_ = state.scheduler.ExpectedOutput(id_);
      },
      this);
}

void RoutedRequest::Return(std::optional<fleet::EngineFault> fault, Seconds retry_after) {
  router_.Apply(
      [&](PoolState& state, Seconds now) {
        state.scheduler.Return(id_, fault, now, state.decisions, retry_after);
      },
      this);
}

bool RoutedRequest::HasAlternative() const {
  const system::MutexLock lock(router_.mutex_);
  return router_.state_.scheduler.HasAlternative(id_);
}

bool RoutedRequest::AnyUp() const {
  const system::MutexLock lock(router_.mutex_);
  const fleet::Fleet& fleet = router_.state_.scheduler.fleet();
  if (arrival_.among == nullptr) return fleet.up() > 0;
  return std::ranges::any_of(*arrival_.among, [&](fleet::EndpointHandle handle) {
    return fleet.Has(handle) && fleet.endpoint(handle.id).up;
  });
}

std::shared_ptr<const EndpointInfo> RoutedRequest::Move(std::string_view address,
                                                        fleet::EngineFault fault) {
  std::shared_ptr<const EndpointInfo> endpoint;
  router_.Apply([&](PoolState& state, Seconds now) {
    const auto found = state.by_address.find(address);
    if (found != state.by_address.end()) endpoint = state.infos[found->second];
    const auto to = endpoint ? std::optional(endpoint->id) : std::nullopt;
    state.scheduler.Move(id_, to, fault, now, state.decisions);
  });
  if (endpoint == nullptr) open_ = false;
  return endpoint;
}

void RoutedRequest::Complete(const scheduler::Completion& completion) {
  open_ = false;
  router_.Apply([&](PoolState& state, Seconds now) {
    state.scheduler.Complete(id_, completion, now, state.decisions);
  });
}

void RoutedRequest::Cancel() {
  if (!open_) return;
  open_ = false;
  router_.Apply(
      [this](PoolState& state, Seconds now) { state.scheduler.Cancel(id_, now, state.decisions); });
}

void RoutedRequest::Deliver(Route route) {
  if (!open_) return;  // Cancelled meanwhile: the scheduler has taken the decision back.
  if (route.decision.refused) open_ = false;
  on_route_(std::move(route));
}

// --- PoolRouter: events

PoolRouter::PoolRouter(std::string pool, const scheduler::SchedulerOptions& options,
                       std::unique_ptr<fleet::LoadModel> load_model, Executor& executor,
                       std::uint64_t seed, RouterReports reports)
    : pool_(std::move(pool)),
      executor_(executor),
      reports_(std::move(reports)),
      log_(pool_, reports_.faults),
      wake_loop_(std::make_shared<WakeLoop>(executor, *this)),
      state_{.scheduler = scheduler::Scheduler(options, std::move(load_model), seed)} {}

PoolRouter::~PoolRouter() {
  {
    const system::MutexLock lock(wake_loop_->mutex);
    wake_loop_->router = nullptr;
  }
  wake_loop_->Wake();
}

template <typename Event>
void PoolRouter::Apply(Event event, RoutedRequest* own) {
  std::vector<Delivery> deliveries;
  std::vector<BreakerReport> breakers;
  bool wake = false;
  Seconds took = 0;
  {
    const system::MutexLock lock(mutex_);
    state_.decisions.clear();
    const Seconds now = executor_.Now();
    event(state_, now);
    took = executor_.Now() - now;
    deliveries = Collect(state_);
    for (const fleet::BreakerChange& change : state_.scheduler.TakeBreakerChanges()) {
      const fleet::CircuitBreaker& breaker =
          state_.scheduler.fleet().endpoint(change.endpoint).breaker;
      if (state_.infos.size() <= change.endpoint || !state_.infos[change.endpoint]) continue;
      breakers.push_back({.endpoint = state_.infos[change.endpoint],
                          .change = change,
                          .fault = breaker.last_fault(),
                          .away = breaker.until() - now});
    }
    // A tick that comes too early does nothing but set the alarm again; only an earlier one
    // matters.
    const Seconds next = state_.scheduler.NextWakeup();
    wake = next < wake_loop_->next;
    if (wake) wake_loop_->next = next;
  }
  // First: a request that is delivered to may end the caller's own object.
  if (wake) wake_loop_->Wake();
  reports_.decision_seconds->Observe(took);
  for (const BreakerReport& breaker : breakers) log_.Breaker(breaker, executor_.Now());
  for (Delivery& delivery : deliveries) {
    const scheduler::Decision& decision = delivery.route.decision;
    if (decision.fallback != scheduler::FallbackCause::kNone) {
      log_.Fallback(decision, executor_.Now());
    }
    if (delivery.request == own) continue;
    Executor& executor = delivery.ticket->executor;
    executor.Post(
        [ticket = std::move(delivery.ticket), route = std::move(delivery.route)]() mutable {
          if (ticket->request != nullptr) ticket->request->Deliver(std::move(route));
        });
  }
  if (own == nullptr) return;
  for (Delivery& delivery : deliveries) {
    if (delivery.request == own) {
      own->Deliver(std::move(delivery.route));
      return;
    }
  }
}

std::vector<PoolRouter::Delivery> PoolRouter::Collect(const PoolState& state) {
  std::vector<Delivery> deliveries;
  deliveries.reserve(state.decisions.size());
  for (const scheduler::Decision& decision : state.decisions) {
    auto& request = *std::bit_cast<RoutedRequest*>(decision.tag);
    Route route{.decision = decision};
    if (!decision.refused) {
      const fleet::Fleet& fleet = state.scheduler.fleet();
      const Tokens own = fleet.endpoint(decision.endpoint).max_model_len;
      route.endpoint = state.infos[decision.endpoint];
      for (const fleet::EndpointId other : decision.fallbacks) {
        route.fallbacks.push_back(state.infos[other]);
      }
      route.max_model_len = own > 0 ? own : fleet.deployment_of(decision.endpoint).max_model_len;
    }
    if (decision.explanation) {
      route.considered = {decision.explanation, state.names, {}};
      // They run: their own objects are there for as long as the lock is held.
      for (const scheduler::Explanation::Harm& harm : decision.explanation->harms) {
        route.considered.harmed.emplace_back(
            std::bit_cast<RoutedRequest*>(harm.harmed.tag)->request_id_);
      }
    }
    deliveries.push_back({&request, request.ticket_, std::move(route)});
  }
  return deliveries;
}

// --- PoolRouter: the fleet

void PoolRouter::UpdateFleet(const discovery::EndpointSnapshot& snapshot) {
  std::vector<fleet::DeploymentSpec> specs;
  std::vector<EndpointInfo> endpoints;
  std::vector<std::string> closed;
  for (const discovery::DiscoveredDeployment& deployment : snapshot) {
    fleet::DeploymentSpec& spec = specs.emplace_back();
    spec.name = deployment.name;
    spec.max_in_flight = deployment.max_in_flight;
    spec.max_model_len = deployment.max_model_len;
    spec.kv_tokens = deployment.kv_tokens;
    const auto stream_options = StreamOptionsOf(deployment);
    const auto metrics =
        reports_.deployment_metrics ? reports_.deployment_metrics(deployment.name) : nullptr;
    for (const discovery::DiscoveredEndpoint& endpoint : deployment.endpoints) {
      fleet::EndpointSpec& declared = spec.endpoints.emplace_back(endpoint.address);
      declared.max_in_flight = endpoint.max_in_flight;
      declared.weight = endpoint.weight;
      declared.instance = endpoint.instance;
      declared.up = endpoint.resolved.has_value() && endpoint.closed.empty();
      endpoints.push_back({.address = endpoint.address,
                           .socket = endpoint.resolved,
                           .fault = endpoint.fault,
                           .instance = endpoint.instance,
                           .deployment = deployment.name,
                           .metrics = metrics,
                           .stream_options = stream_options,
                           .access = endpoint.access});
      closed.push_back(endpoint.closed);
    }
  }
  Apply([&](PoolState& state, Seconds now) {
    state.ForgetDrains(endpoints);
    for (fleet::DeploymentSpec& spec : specs) {
      for (fleet::EndpointSpec& endpoint : spec.endpoints) {
        if (state.drained.contains(endpoint.address)) endpoint.up = false;
      }
    }
    state.scheduler.UpdateFleet(specs, now, state.decisions);
    state.SetEndpoints(endpoints, closed);
    for (const auto& info : state.infos) {
      if (info == nullptr) continue;
      const bool up = state.TakesRequests(*info);
      if (state.scheduler.fleet().endpoint(info->id).up == up) continue;
      state.scheduler.SetUp(info->id, up, now, state.decisions);
    }
    for (const fleet::DeploymentSpec& spec : specs) {
      const auto profile = state.profiles.find(spec.name);
      if (profile == state.profiles.end()) continue;
      state.scheduler.SetProfile(spec.name, profile->second, now, state.decisions);
    }
  });
  for (const auto& endpoint : Endpoints()) {
    if (!endpoint->socket) log_.Down(*endpoint, endpoint->fault, executor_.Now());
  }
}

std::shared_ptr<std::atomic<bool>> PoolRouter::StreamOptionsOf(
    const discovery::DiscoveredDeployment& deployment) {
  const system::MutexLock lock(mutex_);
  if (!deployment.stream_options) {
    state_.stream_options.erase(deployment.name);
    return nullptr;
  }
  auto& asked = state_.stream_options[deployment.name];
  if (asked == nullptr) asked = std::make_shared<std::atomic<bool>>(true);
  return asked;
}

void PoolRouter::RefusesStreamOptions(const EndpointInfo& endpoint) {
  if (endpoint.stream_options == nullptr || !endpoint.stream_options->exchange(false)) return;
  log_.RefusesStreamOptions(endpoint, executor_.Now());
}

void PoolRouter::SetOptions(const scheduler::SchedulerOptions& options) {
  Apply([&](PoolState& state, Seconds now) {
    state.scheduler.SetOptions(options, now, state.decisions);
  });
}

void PoolRouter::SetProfile(const std::string& deployment,
                            std::shared_ptr<const profile::GpuProfile> profile) {
  Apply([&](PoolState& state, Seconds now) {
    state.profiles[deployment] = profile;
    state.scheduler.SetProfile(deployment, profile, now, state.decisions);
  });
}

void PoolRouter::SetUp(const EndpointInfo& endpoint, bool up, std::string_view why) {
  ChangeUp(endpoint, up, why, /*tell=*/!up);
}

void PoolRouter::ConnectFailed(const EndpointInfo& endpoint, std::string_view why) {
  ChangeUp(endpoint, false, why, /*tell=*/false);
}

void PoolRouter::ChangeUp(const EndpointInfo& endpoint, bool up, std::string_view why, bool tell) {
  bool changes = false;
  {
    const system::MutexLock lock(mutex_);
    if (!state_.Has(endpoint)) return;
    changes = state_.why_down[endpoint.id].empty() != up;
    state_.why_down[endpoint.id] = up ? "" : why.empty() ? "not known why" : why;
  }
  if (changes) {
    std::shared_ptr<const EndpointInfo> down;
    std::vector<std::shared_ptr<RoutedRequest::Ticket>> running;
    Apply([&](PoolState& state, Seconds now) {
      if (!state.Has(endpoint)) return;
      if (tell) {
        down = state.infos[endpoint.id];
        for (const std::uint64_t tag : state.scheduler.RunningAt(endpoint.id)) {
          running.push_back(std::bit_cast<RoutedRequest*>(tag)->ticket_);
        }
      }
      state.scheduler.SetUp(endpoint.id, state.TakesRequests(endpoint), now, state.decisions);
    });
    for (auto& ticket : running) {
      Executor& executor = ticket->executor;
      executor.Post([ticket = std::move(ticket), down] {
        RoutedRequest* request = ticket->request;
        if (request != nullptr && request->on_endpoint_down_) request->on_endpoint_down_(*down);
      });
    }
  }
  if (up) {
    log_.Up(endpoint, executor_.Now());
  } else {
    log_.Down(endpoint, why, executor_.Now());
  }
}

std::optional<int> PoolRouter::SetDrained(std::string_view address, bool drained) {
  std::optional<int> running;
  Apply([&](PoolState& state, Seconds now) {
    for (const auto& info : state.infos) {
      if (info == nullptr || info->address != address) continue;
      if (drained) {
        state.drained.emplace(address);
      } else {
        state.drained.erase(info->address);
      }
      state.scheduler.SetUp(info->id, state.TakesRequests(*info), now, state.decisions);
      running = running.value_or(0) + state.scheduler.fleet().endpoint(info->id).in_flight;
    }
  });
  return running;
}

void PoolRouter::SetMaxModelLen(const EndpointInfo& endpoint, Tokens max_model_len) {
  Apply([&](PoolState& state, Seconds now) {
    if (!state.Has(endpoint)) return;
    state.scheduler.SetMaxModelLen(endpoint.id, max_model_len, now, state.decisions);
  });
}

void PoolRouter::SetKvTokens(const EndpointInfo& endpoint, Tokens kv_tokens) {
  Apply([&](PoolState& state, Seconds now) {
    if (!state.Has(endpoint)) return;
    state.scheduler.SetKvTokens(endpoint.id, kv_tokens, now, state.decisions);
  });
}

EndpointList PoolRouter::Endpoints() const {
  const system::MutexLock lock(mutex_);
  EndpointList result;
  std::ranges::copy_if(state_.infos, std::back_inserter(result),
                       [](const auto& endpoint) { return endpoint != nullptr; });
  return result;
}

void PoolRouter::Report(std::span<const Progress> progress) {
  while (!progress.empty()) {
    const auto slice = progress.first(std::min(progress.size(), kMostReports));
    progress = progress.subspan(slice.size());
    Apply([&](PoolState& state, Seconds now) {
      for (const Progress& report : slice) {
        if (report.first_token) state.scheduler.FirstToken(report.id, now);
        state.scheduler.Progress(report.id, report.generated, now);
      }
    });
  }
}

// --- PoolRouter: other replicas

void PoolRouter::KeepJournal(bool keep) {
  const system::MutexLock lock(mutex_);
  state_.scheduler.KeepJournal(keep);
}

std::pair<fleet::Journal, scheduler::QueueState> PoolRouter::TakeJournal() {
  const system::MutexLock lock(mutex_);
  return {state_.scheduler.TakeJournal(), state_.scheduler.queue_state()};
}

void PoolRouter::Merge(replica::Merger& merger, const replica::Batch& batch) {
  std::size_t at = 0;
  for (bool done = false; !done;) {
    Apply([&](PoolState& state, Seconds now) {
      done = merger.Apply(batch, at, state.scheduler, now, state.decisions);
    });
  }
}

void PoolRouter::Age(replica::Merger& merger) {
  if (!merger.AnyGone(executor_.Now())) return;
  for (bool done = false; !done;) {
    Apply([&](PoolState& state, Seconds now) {
      done = merger.Age(state.scheduler, now, state.decisions);
    });
  }
}

void PoolRouter::SetReplicas(int replicas) {
  Apply([&](PoolState& state, Seconds now) {
    state.scheduler.SetReplicas(replicas, now, state.decisions);
  });
}

// --- PoolRouter: what others see

bool PoolRouter::AnyUp() const {
  const system::MutexLock lock(mutex_);
  return state_.scheduler.fleet().up() > 0;
}

RouterStatus PoolRouter::Status() const {
  const Seconds now = executor_.Now();
  const system::MutexLock lock(mutex_);
  return state_.Status(now);
}

RefusalFacts PoolRouter::WhyRefused(const scheduler::Decision& decision,
                                    const scheduler::Arrival& arrival) const {
  const system::MutexLock lock(mutex_);
  return state_.WhyRefused(decision, arrival);
}

bool PoolRouter::NeedsProfiles() const {
  const system::MutexLock lock(mutex_);
  const routing::PolicyNeeds needs = state_.scheduler.options().policy->needs;
  return needs == routing::PolicyNeeds::kLoad || needs == routing::PolicyNeeds::kSlo;
}

scheduler::FallbackCause PoolRouter::WhyUnusable(const profile::GpuProfile& profile) const {
  const system::MutexLock lock(mutex_);
  const scheduler::SchedulerOptions& options = state_.scheduler.options();
  return scheduler::WhyUnusable(profile, options.policy->needs, options.slo);
}

}  // namespace headrace::serving
