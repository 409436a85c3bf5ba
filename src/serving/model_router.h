// One model's scheduler, shared by all threads.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/units.h"
#include "fleet/fleet.h"
#include "net/io_threads.h"
#include "net/one_shot.h"
#include "scheduler/scheduler.h"
#include "system/address.h"
#include "telemetry/headrace_metrics.h"
#include "telemetry/standing_faults.h"

namespace headrace::serving {

// An endpoint as the data path needs it; immutable.
struct EndpointInfo {
  fleet::EndpointId id = 0;
  std::string address;  // As configured.
  system::SocketAddress socket;
  std::string deployment;
};

// A decision with what it takes to carry it out.
struct Route {
  scheduler::Decision decision;
  std::shared_ptr<const EndpointInfo> endpoint;  // Null when refused.
  slo::Slo slo;  // The promises that hold for the request: its own, the model's or the profile's.
};

class ModelRouter;

// One request's way through a router. Whatever happens to it, it is ended there exactly once, at
// the latest by the destructor. Used on one thread.
class RoutedRequest {
 public:
  // Arrives.
  RoutedRequest(ModelRouter& router, net::IoThread& thread, const scheduler::Arrival& arrival);
  // Cancels what has not ended.
  ~RoutedRequest();
  RoutedRequest(const RoutedRequest&) = delete;
  RoutedRequest& operator=(const RoutedRequest&) = delete;

  // Waits for the decision: dispatched or refused. Nothing when Abandon was called or `deadline`
  // passed first.
  net::Task<std::optional<Route>> Wait(Seconds deadline);
  // The client has gone: ends a Wait in progress, and every later one at once.
  void Abandon();

  // The endpoint did not take it: Wait again.
  void Return();
  // It has ended at its endpoint.
  void Complete(const scheduler::Completion& completion);

  const scheduler::Arrival& arrival() const { return arrival_; }
  // What was reckoned with when it arrived.
  Tokens expected_output_tokens() const { return expected_output_tokens_; }

 private:
  friend class ModelRouter;
  // Nothing: abandoned.
  using Answer = std::optional<Route>;

  ModelRouter& router_;
  net::IoThread& thread_;
  scheduler::Arrival arrival_;
  Tokens expected_output_tokens_ = 0;
  // Replaced under the router's lock; what it set before is gone by then.
  std::optional<net::OneShot<Answer>> answer_;
  scheduler::RequestId id_ = 0;
  bool open_ = true;
  bool abandoned_ = false;
};

// What a status page shows of a router: a copy, as of one moment.
struct RouterStatus {
  struct EndpointStatus {
    std::string address;
    bool up = false;
    bool retired = false;
    int in_flight = 0;
    double load = 0;  // 1 = full.
    double normalized_latency = 0;
  };
  struct DeploymentStatus {
    std::string name;
    std::shared_ptr<const profile::GpuProfile> profile;
    std::vector<EndpointStatus> endpoints;
  };
  struct SubQueueStatus {
    Tokens prompt_tokens = 0;  // The bucket's centre; both 0 for requests without an SLO.
    Tokens output_tokens = 0;
    std::size_t length = 0;
  };
  std::vector<DeploymentStatus> deployments;
  std::vector<SubQueueStatus> sub_queues;
  std::size_t waiting = 0;
  std::size_t queue_bytes = 0;
  std::size_t running = 0;
  std::int64_t learned_lengths = 0;
};

// Where a router says how it fares.
struct RouterReports {
  telemetry::HistogramMetric& decision_seconds;
  telemetry::StandingFaults& faults;  // Endpoints that are down, fallbacks in use.
};

// Feeds one scheduler from all threads and hands its decisions to the threads that wait for them.
// Thread-safe; the lock is held for the microseconds of one scheduler event. Must outlive its
// requests; `threads` and `reports` must outlive it.
class ModelRouter {
 public:
  ModelRouter(std::string model, const scheduler::SchedulerOptions& options,
              net::IoThreads& threads, std::uint64_t seed, RouterReports reports);
  // No request may be open any more.
  ~ModelRouter();

  const std::string& model() const { return model_; }

  // Resolves the endpoints' names (may block) and replaces the fleet.
  Result<void> UpdateFleet(const std::vector<fleet::DeploymentSpec>& deployments);
  // Null takes the profile away.
  void SetProfile(const std::string& deployment,
                  std::shared_ptr<const profile::GpuProfile> profile);
  // What a look at an endpoint has shown; `why` (a phrase) when it is down.
  void SetUp(const EndpointInfo& endpoint, bool up, std::string_view why = {});

  // Everything that is in the fleet now.
  std::vector<std::shared_ptr<const EndpointInfo>> Endpoints() const;
  bool AnyUp() const;
  RouterStatus Status() const;
  // Why the model's policy can route nothing by such a profile; kNone when it can.
  scheduler::FallbackCause WhyUnusable(const profile::GpuProfile& profile) const;
  // Why no GPU type takes such a request, as a sentence for the client.
  std::string ExplainRefusal(const scheduler::Decision& decision,
                             const scheduler::Arrival& arrival) const;

 private:
  friend class RoutedRequest;
  struct Delivery;
  struct WakeLoop;

  // Runs one scheduler event under the lock, then hands out its decisions: to `own`, a request of
  // the calling thread, at once, to others through their threads.
  template <typename Event>
  void Apply(Event event, RoutedRequest* own = nullptr);
  void Collect(std::vector<Delivery>& deliveries);
  // Says once per cause that requests are not routed by the policy that was asked for.
  void ReportFallback(const Route& route) const;
  // What holds for a request that brings no SLO: the model's, else the profile's of the deployment
  // that serves it, else, when refused, that of any profile that has one.
  slo::Slo SloFor(const scheduler::Arrival& arrival, const scheduler::Decision& decision) const;

  std::string model_;
  RouterReports reports_;
  std::shared_ptr<WakeLoop> wake_loop_;
  mutable std::mutex mutex_;
  scheduler::Scheduler scheduler_;
  scheduler::Decisions decisions_;                          // Of the event under way.
  std::vector<std::shared_ptr<const EndpointInfo>> infos_;  // By endpoint id.
};

}  // namespace headrace::serving
