// One pool's scheduler, shared by all threads.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/units.h"
#include "discovery/endpoint_source.h"
#include "fleet/engine_fault.h"
#include "fleet/fleet.h"
#include "replica/batch.h"
#include "replica/merger.h"
#include "scheduler/scheduler.h"
#include "serving/endpoint_info.h"
#include "serving/executor.h"
#include "serving/explanation.h"
#include "serving/pool_state.h"
#include "serving/refusal.h"
#include "serving/router_log.h"
#include "serving/router_status.h"
#include "system/mutex.h"
#include "telemetry/headrace_metrics.h"
#include "telemetry/standing_faults.h"

namespace headrace::serving {

// A decision with what it takes to carry it out.
struct Route {
  scheduler::Decision decision;
  std::shared_ptr<const EndpointInfo> endpoint;  // Null when refused.
  EndpointList fallbacks;                        // Decision::fallbacks.
  Tokens max_model_len = 0;                      // Of the endpoint; 0: not known.
  Considered considered;                         // decision.explanation, with names.
};

// Where a request may go, beside what its arrival says.
struct Destinations {
  // The endpoint that has what it goes on from (scheduler::Arrival::only); may be null, or have
  // left the fleet.
  const EndpointInfo* only = nullptr;
  // The addresses that may be chosen (scheduler::Arrival::among); null: all.
  const std::vector<std::string>* among = nullptr;
};

// How far the response to a running request is.
struct Progress {
  scheduler::RequestId id = 0;
  Tokens generated = 0;      // So far.
  bool first_token = false;  // It has begun since the last report.
};

class PoolRouter;

// One request's way through a router. Whatever happens to it, it is ended there exactly once, at
// the latest by the destructor. Used on its executor's thread.
class RoutedRequest {
 public:
  // Called once for each Arrive and Return that is not followed by Cancel, on the executor's
  // thread; from within Arrive or Return when the decision is made at once.
  using OnRoute = std::function<void(Route)>;

  // `request_id`: the client's name for it, for explanations; must outlive it.
  RoutedRequest(PoolRouter& router, Executor& executor, OnRoute on_route,
                std::string_view request_id = {});
  // Cancels what has not ended.
  ~RoutedRequest();
  // A probe has found that the endpoint where it runs is down. On the executor's thread.
  void OnEndpointDown(std::function<void(const EndpointInfo&)> on_down) {
    on_endpoint_down_ = std::move(on_down);
  }
  RoutedRequest(const RoutedRequest&) = delete;
  RoutedRequest& operator=(const RoutedRequest&) = delete;

  void Arrive(const scheduler::Arrival& arrival, const Destinations& destinations = {});
  // The endpoint did not serve it, because of `fault`, and no answer has begun: it waits again, for
  // another one while there is one. `retry_after`: how long a busy endpoint asks to be left alone.
  void Return(std::optional<fleet::EngineFault> fault, Seconds retry_after = 0);
  // Whether another endpoint is up for it, which has not failed it.
  bool HasAlternative() const;
  // Whether any endpoint is up where it may go.
  bool AnyUp() const;
  // The endpoint of this address serves it, not the one that it was sent to, which failed it by
  // `fault` (scheduler::Scheduler::Move). Null if the fleet has none: it has ended here.
  std::shared_ptr<const EndpointInfo> Move(std::string_view address, fleet::EngineFault fault);
  // It has ended at its endpoint.
  void Complete(const scheduler::Completion& completion);
  // The client has gone, or does not want to wait any longer. A decision that is on its way is
  // taken back.
  void Cancel();

  // It waits or runs there.
  bool open() const { return open_; }
  PoolRouter& router() const { return router_; }
  scheduler::RequestId id() const { return id_; }
  const scheduler::Arrival& arrival() const { return arrival_; }
  // The length that was predicted for the response when the request arrived.
  Tokens expected_output_tokens() const { return expected_output_tokens_; }

 private:
  friend class PoolRouter;
  // What a decision on its way holds; the request may be gone when it arrives.
  struct Ticket {
    Executor& executor;
    RoutedRequest* request;  // Null once it has ended. Belongs to the executor's thread.
  };

  void Deliver(Route route);

  PoolRouter& router_;
  OnRoute on_route_;
  std::function<void(const EndpointInfo&)> on_endpoint_down_;
  const std::string_view request_id_;
  std::shared_ptr<Ticket> ticket_;
  scheduler::Arrival arrival_;
  Tokens expected_output_tokens_ = 0;
  scheduler::RequestId id_ = 0;
  bool open_ = false;  // The scheduler has it.
};

// Where a router reports what it does.
struct RouterReports {
  std::shared_ptr<telemetry::HistogramMetric> decision_seconds;
  telemetry::StandingFaults& faults;  // Endpoints that are down, fallbacks in use.
  // The series of a deployment of the pool, for its EndpointInfos; may be empty.
  std::function<std::shared_ptr<telemetry::DeploymentMetrics>(const std::string& deployment)>
      deployment_metrics = {};
};

// Feeds one scheduler from all threads and hands its decisions to the threads that wait for them.
// Thread-safe; the lock is held for the microseconds of one scheduler event. Must outlive its
// requests; the executor and `reports` must outlive it.
class PoolRouter {
 public:
  // So that the lock is held for microseconds, however many streams there are.
  static constexpr std::size_t kMostReports = 256;

  // `executor` gives the time, and wakes the scheduler at its deadlines.
  PoolRouter(std::string pool, const scheduler::SchedulerOptions& options,
             std::unique_ptr<fleet::LoadModel> load_model, Executor& executor, std::uint64_t seed,
             RouterReports reports);
  // No request may be open any more.
  ~PoolRouter();

  const std::string& pool() const { return pool_; }

  // Replaces the fleet. What stays keeps its load and its EndpointInfo.
  void UpdateFleet(const discovery::EndpointSnapshot& snapshot);
  // Requests that wait keep their places.
  void SetOptions(const scheduler::SchedulerOptions& options);
  // Null takes the profile away. A profile for a deployment that is not in the fleet is kept until
  // it is.
  void SetProfile(const std::string& deployment,
                  std::shared_ptr<const profile::GpuProfile> profile);
  // What probes have found at an endpoint; `why` (a phrase) when it is down: then the requests that
  // run there are told. Ignored for an endpoint that has left the fleet.
  void SetUp(const EndpointInfo& endpoint, bool up, std::string_view why = {});
  // Whether the endpoint of this address gets new requests; what runs there goes on to its end.
  // Stays so for as long as the endpoint is in the fleet, healthy or not. How many requests run
  // there; nullopt if the fleet has no such endpoint.
  std::optional<int> SetDrained(std::string_view address, bool drained);
  // No connection to it could be made. What runs there may run on: it may just have no place for
  // more connections.
  void ConnectFailed(const EndpointInfo& endpoint, std::string_view why);

  // The context that an endpoint says it has (fleet::Fleet::SetMaxModelLen). Ignored for an
  // endpoint that has left the fleet.
  void SetMaxModelLen(const EndpointInfo& endpoint, Tokens max_model_len);
  // The same of its KV cache, in tokens.
  void SetKvTokens(const EndpointInfo& endpoint, Tokens kv_tokens);

  // The engines of the endpoint's deployment refuse `stream_options`: from now on requests go there
  // without.
  void RefusesStreamOptions(const EndpointInfo& endpoint);

  // All of them in one scheduler event per kMostReports.
  void Report(std::span<const Progress> progress);

  // --- Other replicas of the router (ReplicaFeed)

  // From now on what happens to this router's requests is written down.
  void KeepJournal(bool keep);
  // What was written down since, and what waits.
  std::pair<fleet::Journal, scheduler::QueueState> TakeJournal();
  // Takes over what another one tells. `merger` is the caller's own.
  void Merge(replica::Merger& merger, const replica::Batch& batch);
  // Drops what belongs to those that are gone.
  void Age(replica::Merger& merger);
  // So many share the engines, and what the others send is not known; 1 while it is.
  void SetReplicas(int replicas);

  // Everything that is in the fleet now.
  EndpointList Endpoints() const;
  bool AnyUp() const;
  RouterStatus Status() const;
  // Whether the pool's policy routes by profiles.
  bool NeedsProfiles() const;
  // Why the pool's policy can route nothing by such a profile; kNone when it can.
  scheduler::FallbackCause WhyUnusable(const profile::GpuProfile& profile) const;
  RefusalFacts WhyRefused(const scheduler::Decision& decision,
                          const scheduler::Arrival& arrival) const;

 private:
  friend class RoutedRequest;
  struct Delivery;
  struct WakeLoop;

  // Runs one scheduler event under the lock, `event(PoolState&, now)`, then hands out its
  // decisions: to `own`, a request of the calling thread, at once, to others through their threads.
  template <typename Event>
  void Apply(Event event, RoutedRequest* own = nullptr);
  static std::vector<Delivery> Collect(const PoolState& state);
  // `tell`: the requests that run there.
  void ChangeUp(const EndpointInfo& endpoint, bool up, std::string_view why, bool tell);
  std::shared_ptr<std::atomic<bool>> StreamOptionsOf(
      const discovery::DiscoveredDeployment& deployment);

  const std::string pool_;
  Executor& executor_;
  RouterReports reports_;
  const RouterLog log_;
  std::shared_ptr<WakeLoop> wake_loop_;
  mutable system::Mutex mutex_;
  PoolState state_ HEADRACE_GUARDED_BY(mutex_);
};

}  // namespace headrace::serving
