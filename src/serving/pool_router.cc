#include "serving/pool_router.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <iterator>
#include <utility>

#include "base/text.h"

namespace headrace::serving {
namespace {

RouterStatus::EjectionStatus EjectionStatusOf(const fleet::CircuitBreaker& breaker, Seconds now) {
  RouterStatus::EjectionStatus status{.state = ToString(breaker.state()),
                                      .out = breaker.IsOut(),
                                      .failures = breaker.failures(),
                                      .last_fault = breaker.last_fault()};
  if (breaker.IsOut() && breaker.until() != kNever) {
    status.returns_in = std::max(0.0, breaker.until() - now);
  }
  return status;
}

// A sub-queue of requests that can no longer be in time.
bool IsLate(scheduler::WaitQueue::Key size) {
  using scheduler::WaitQueue;
  const WaitQueue::Key first = WaitQueue::LimitedTo(0);
  return size == WaitQueue::kLate || (size >= first && (size - first) % 2 == 1);
}

}  // namespace

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
      router->Apply([this](State& state, Seconds now) {
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

// What a breaker did, to be told once the lock is released.
struct PoolRouter::BreakerReport {
  std::shared_ptr<const EndpointInfo> endpoint;
  fleet::BreakerChange change;
  std::optional<fleet::EngineFault> fault;  // The last one.
  Seconds away = 0;                         // If it was ejected.
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
      [&](PoolRouter::State& state, Seconds now) {
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
      [&](PoolRouter::State& state, Seconds now) {
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
  router_.Apply([&](PoolRouter::State& state, Seconds now) {
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
  router_.Apply([&](PoolRouter::State& state, Seconds now) {
    state.scheduler.Complete(id_, completion, now, state.decisions);
  });
}

void RoutedRequest::Cancel() {
  if (!open_) return;
  open_ = false;
  router_.Apply([this](PoolRouter::State& state, Seconds now) {
    state.scheduler.Cancel(id_, now, state.decisions);
  });
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
  for (const BreakerReport& breaker : breakers) ReportBreaker(breaker);
  for (Delivery& delivery : deliveries) {
    if (delivery.route.decision.fallback != scheduler::FallbackCause::kNone)
      ReportFallback(delivery.route);
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

std::vector<PoolRouter::Delivery> PoolRouter::Collect(const State& state) {
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

void PoolRouter::ReportFallback(const Route& route) const {
  const scheduler::Decision& decision = route.decision;
  // Requests may name policies that fall back on different ones: each is a cause of its own.
  const std::string cause = "model " + pool_ + ": fallback " +
                            std::string(ToString(decision.fallback)) + ": requests are routed by " +
                            std::string(decision.policy);
  reports_.faults.Raise(telemetry::LogLevel::kWarning, cause,
                        cause + "; /status shows every profile and its faults", executor_.Now());
}

void PoolRouter::ReportBreaker(const BreakerReport& report) const {
  using State = fleet::CircuitBreaker::State;
  const EndpointInfo& endpoint = *report.endpoint;
  const std::string name = NameOf(endpoint);
  const std::string cause = name + ": ejection";
  const State to = report.change.to;
  if (to == State::kEjected && report.fault) {
    const std::string fault(ToString(*report.fault));
    if (endpoint.metrics) endpoint.metrics->ejections[fault].Add();
    reports_.faults.Raise(
        telemetry::LogLevel::kWarning, cause,
        name + " is ejected for " + FormatFixed(report.away, 1) + " s: " +
            (report.change.from == State::kProbing ? "its probe failed" : "requests fail there") +
            ", the last one by `" + fault + "`; then one request shows how it is",
        executor_.Now());
  } else if (to == State::kSlowStart) {
    reports_.faults.Clear(cause, name + " is no longer ejected: its probe succeeded",
                          executor_.Now());
  } else if (to == State::kClosed) {
    // From slow start: said before. From a rest: never said.
    reports_.faults.Clear(cause, name + " is no longer ejected", executor_.Now());
  }
}

// --- PoolRouter: the fleet

void PoolRouter::State::SetEndpoints(std::span<const EndpointInfo> endpoints,
                                     std::span<const std::string> closed) {
  const fleet::Fleet& fleet = scheduler.fleet();
  std::map<std::pair<std::string_view, std::string_view>, fleet::EndpointId> ids;
  for (fleet::EndpointId id = 0; id < fleet.endpoints().size(); ++id) {
    const fleet::Endpoint& endpoint = fleet.endpoint(id);
    if (!endpoint.retired) ids[{fleet.deployment_of(id).name, endpoint.address}] = id;
  }
  FleetNames all;
  for (const fleet::Deployment& deployment : fleet.deployments()) {
    all.deployments.push_back(deployment.name);
  }
  for (const fleet::Endpoint& endpoint : fleet.endpoints()) {
    all.endpoints.push_back({endpoint.deployment, endpoint.address});
  }
  names = std::make_shared<const FleetNames>(std::move(all));
  EndpointList before(fleet.endpoints().size());
  std::ranges::move(infos, before.begin());
  infos.assign(before.size(), nullptr);
  why_down.resize(before.size());
  why_closed.assign(before.size(), "");
  for (std::size_t i = 0; i < endpoints.size(); ++i) {
    EndpointInfo info = endpoints[i];
    const fleet::EndpointId id = ids.at({info.deployment, info.address});
    info.id = id;
    why_closed[id] = closed[i];
    std::shared_ptr<const EndpointInfo>& known = before[id];
    // Of one that has left, whose id is given to another: nothing is known of that one.
    if (known != nullptr &&
        (known->address != info.address || known->deployment != info.deployment ||
         known->instance != info.instance)) {
      known = nullptr;
    }
    // What was reached once is not lost because it cannot be looked up now, nor the way there.
    if (known != nullptr && known->socket && !info.socket) {
      info.socket = known->socket;
      if (info.access == nullptr) info.access = known->access;
      info.fault.clear();
    }
    const bool stays = known != nullptr && *known == info;
    if (known == nullptr || !info.socket) why_down[id] = info.fault;
    infos[id] = stays ? std::move(known) : std::make_shared<const EndpointInfo>(std::move(info));
  }
  by_address.clear();
  for (const auto& info : infos) {
    if (info == nullptr) continue;
    std::set<std::string> addresses{info->address};
    if (info->socket) {
      addresses.insert(info->socket->ToString());
      const auto parts = system::ParseHostPort(info->socket->ToString());
      if (parts) addresses.insert(parts->host);
    }
    for (const std::string& address : addresses) by_address.emplace(address, info->id);
  }
}

void PoolRouter::State::ForgetDrains(std::span<const EndpointInfo> endpoints) {
  std::erase_if(drained, [&](const std::string& address) {
    const auto there = std::ranges::find(endpoints, address, &EndpointInfo::address);
    return there == endpoints.end() || std::ranges::any_of(infos, [&](const auto& info) {
             return info != nullptr && info->address == address &&
                    info->instance != there->instance;
           });
  });
}

std::vector<fleet::EndpointHandle> PoolRouter::State::Find(
    std::span<const std::string> addresses) const {
  std::vector<fleet::EndpointId> ids;
  for (const std::string& address : addresses) {
    const auto [first, last] = by_address.equal_range(address);
    for (auto found = first; found != last; ++found) ids.push_back(found->second);
  }
  std::ranges::sort(ids);
  const auto repeated = std::ranges::unique(ids);
  ids.erase(repeated.begin(), repeated.end());
  std::vector<fleet::EndpointHandle> handles;
  handles.reserve(ids.size());
  for (const fleet::EndpointId id : ids) handles.push_back(scheduler.fleet().HandleOf(id));
  return handles;
}

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
  Apply([&](State& state, Seconds now) {
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
    if (!endpoint->socket) ReportDown(*endpoint, endpoint->fault);
  }
}

std::shared_ptr<std::atomic<bool>> PoolRouter::StreamOptionsOf(
    const discovery::DiscoveredDeployment& deployment) {
  const system::MutexLock lock(mutex_);
  if (!deployment.stream_options) {
    stream_options_.erase(deployment.name);
    return nullptr;
  }
  auto& asked = stream_options_[deployment.name];
  if (asked == nullptr) asked = std::make_shared<std::atomic<bool>>(true);
  return asked;
}

void PoolRouter::RefusesStreamOptions(const EndpointInfo& endpoint) {
  if (endpoint.stream_options == nullptr || !endpoint.stream_options->exchange(false)) return;
  const std::string name = pool_ + "/" + endpoint.deployment;
  reports_.faults.Raise(
      telemetry::LogLevel::kWarning, "stream_options of " + name,
      name +
          " refuses `stream_options`: the tokens of its streams are counted by their events; "
          "set `stream_options: false` for it",
      executor_.Now());
}

void PoolRouter::SetOptions(const scheduler::SchedulerOptions& options) {
  Apply([&](State& state, Seconds now) {
    state.scheduler.SetOptions(options, now, state.decisions);
  });
}

void PoolRouter::SetProfile(const std::string& deployment,
                            std::shared_ptr<const profile::GpuProfile> profile) {
  Apply([&](State& state, Seconds now) {
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
    Apply([&](State& state, Seconds now) {
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
    const std::string name = NameOf(endpoint);
    reports_.faults.Clear(name, name + " is up", executor_.Now());
  } else {
    ReportDown(endpoint, why);
  }
}

std::string PoolRouter::NameOf(const EndpointInfo& endpoint) const {
  return "endpoint " + endpoint.address + " of " + pool_ + "/" + endpoint.deployment;
}

void PoolRouter::ReportDown(const EndpointInfo& endpoint, std::string_view why) const {
  const std::string name = NameOf(endpoint);
  reports_.faults.Raise(telemetry::LogLevel::kWarning, name, name + " is down: " + std::string(why),
                        executor_.Now());
}

std::optional<int> PoolRouter::SetDrained(std::string_view address, bool drained) {
  std::optional<int> running;
  Apply([&](State& state, Seconds now) {
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
  Apply([&](State& state, Seconds now) {
    if (!state.Has(endpoint)) return;
    state.scheduler.SetMaxModelLen(endpoint.id, max_model_len, now, state.decisions);
  });
}

void PoolRouter::SetKvTokens(const EndpointInfo& endpoint, Tokens kv_tokens) {
  Apply([&](State& state, Seconds now) {
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
    Apply([&](State& state, Seconds now) {
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
    Apply([&](State& state, Seconds now) {
      done = merger.Apply(batch, at, state.scheduler, now, state.decisions);
    });
  }
}

void PoolRouter::Age(replica::Merger& merger) {
  if (!merger.AnyGone(executor_.Now())) return;
  for (bool done = false; !done;) {
    Apply([&](State& state, Seconds now) {
      done = merger.Age(state.scheduler, now, state.decisions);
    });
  }
}

void PoolRouter::SetReplicas(int replicas) {
  Apply([&](State& state, Seconds now) {
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
  const scheduler::Scheduler& scheduler = state_.scheduler;
  RouterStatus status;
  const fleet::Fleet& fleet = scheduler.fleet();
  for (const fleet::Deployment& deployment : fleet.deployments()) {
    status.deployments.push_back({.name = deployment.name,
                                  .retired = deployment.retired,
                                  .max_model_len = deployment.max_model_len,
                                  .kv_tokens = static_cast<Tokens>(deployment.engine->kv_tokens),
                                  .profile = deployment.profile});
    using StreamOptions = RouterStatus::StreamOptions;
    const auto asked = stream_options_.find(deployment.name);
    status.deployments.back().stream_options = asked == stream_options_.end() ? StreamOptions::kOff
                                               : *asked->second ? StreamOptions::kAsked
                                                                : StreamOptions::kRefused;
    if (!fleet.keeps_forecasts()) continue;
    status.deployments.back().engine = {deployment.engine->steps.belief(),
                                        deployment.engine->steps.samples()};
  }
  for (const fleet::Endpoint& endpoint : fleet.endpoints()) {
    if (endpoint.retired && endpoint.in_flight == 0) continue;
    const auto id = static_cast<fleet::EndpointId>(&endpoint - fleet.endpoints().data());
    status.deployments[endpoint.deployment].endpoints.push_back(
        {.address = endpoint.address,
         .up = endpoint.retired ? endpoint.up : state_.why_down[id].empty(),
         .drained = !endpoint.retired && state_.IsDrained(*state_.infos[id]),
         .retired = endpoint.retired,
         .in_flight = endpoint.in_flight,
         .foreign_in_flight = endpoint.foreign_in_flight,
         .load = fleet::LoadFraction(endpoint.load->Order()),
         .normalized_latency = endpoint.normalized_latency,
         .ejection = EjectionStatusOf(endpoint.breaker, now)});
    if (!endpoint.retired) {
      const std::string& why_down = state_.why_down[id];
      status.deployments[endpoint.deployment].endpoints.back().fault =
          why_down.empty() ? state_.why_closed[id] : why_down;
    }
    if (!fleet.keeps_forecasts()) continue;
    const fleet::StepForecast& forecast = *endpoint.forecast;
    status.deployments[endpoint.deployment].endpoints.back().forecast = {
        forecast.scale(), forecast.residents(), forecast.prompts_in_line(), forecast.Backlog()};
  }
  std::erase_if(status.deployments, [&](const RouterStatus::DeploymentStatus& deployment) {
    return deployment.retired && deployment.endpoints.empty();
  });
  std::map<scheduler::WaitQueue::Key, std::size_t> lengths;
  std::size_t late = 0;
  for (const scheduler::WaitQueue::SubQueue& queue : scheduler.queue().SubQueues()) {
    const scheduler::WaitQueue::Key size = scheduler::WaitQueue::SizeOf(queue.key);
    if (IsLate(size)) {
      late += queue.length;
    } else {
      lengths[std::min(size, scheduler::WaitQueue::kUnranked)] += queue.length;
    }
  }
  for (const auto& [size, length] : lengths) {
    const bool ranked = size != scheduler::WaitQueue::kUnranked;
    const auto input = static_cast<int>(size % kLog2Buckets);
    const auto output = static_cast<int>(size / kLog2Buckets);
    status.sub_queues.push_back(
        {ranked ? Log2BucketCentre(input) : 0, ranked ? Log2BucketCentre(output) : 0, length});
  }
  if (late > 0) status.sub_queues.push_back({.length = late, .late = true});
  status.waiting = scheduler.waiting();
  status.queue_bytes = scheduler.queue_bytes();
  status.running = scheduler.running();
  status.learned_lengths = scheduler.length_predictor().samples();
  status.tenants = scheduler.tenant_shares().tenants() - 1;  // Without those that nobody names.
  for (const scheduler::TenantWeight& named : scheduler.options().tenant_weights) {
    status.tenant_shares.push_back(scheduler.tenant_shares().Share(named.tenant));
  }
  return status;
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

RefusalFacts PoolRouter::WhyRefused(const scheduler::Decision& decision,
                                    const scheduler::Arrival& arrival) const {
  RefusalFacts facts{.reason = *decision.refused,
                     .prompt_tokens = arrival.prompt_tokens,
                     .output_tokens = decision.length.tokens,
                     .context = arrival.context,
                     .queued = decision.queued,
                     .hold = decision.hold,
                     .held_cost = decision.held_cost};
  const system::MutexLock lock(mutex_);
  facts.waiting = state_.scheduler.waiting();
  facts.queue_timeout = state_.scheduler.options().queue_timeout;
  if (facts.reason == scheduler::RefusalReason::kQueueFull ||
      facts.reason == scheduler::RefusalReason::kQueueTimeout) {
    return facts;
  }
  for (const auto& info : state_.infos) {
    if (info == nullptr || !state_.IsDrained(*info)) continue;
    facts.drained += state_.why_down[info->id].empty() ? 1 : 0;
  }
  const auto deployments = state_.scheduler.fleet().deployments();
  const auto verdicts = state_.scheduler.Explain(arrival, decision.length.tokens, 0);
  std::set<fleet::DeploymentId> among;
  std::set<fleet::DeploymentId> among_up;
  if (arrival.among != nullptr) {
    const fleet::Fleet& fleet = state_.scheduler.fleet();
    for (const fleet::EndpointHandle handle : *arrival.among) {
      if (!fleet.Has(handle)) continue;
      const fleet::Endpoint& endpoint = fleet.endpoint(handle.id);
      among.insert(endpoint.deployment);
      if (endpoint.up) among_up.insert(endpoint.deployment);
    }
    facts.limit = among.empty() ? RefusalFacts::Limit::kNowhere : RefusalFacts::Limit::kSome;
  }
  for (fleet::DeploymentId id = 0; id < deployments.size(); ++id) {
    const fleet::Deployment& deployment = deployments[id];
    if (deployment.retired || (arrival.among != nullptr && !among.contains(id))) continue;
    const bool up = arrival.among != nullptr ? among_up.contains(id) : deployment.up > 0;
    facts.deployments.push_back({deployment.name, up, deployment.max_model_len, verdicts[id]});
  }
  return facts;
}

}  // namespace headrace::serving
