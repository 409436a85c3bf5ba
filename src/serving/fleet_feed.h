// Keeps the pools' fleets as new as the places that know their endpoints.
#pragma once

#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "discovery/endpoint_source.h"
#include "serving/gateway_metrics.h"
#include "serving/pool.h"
#include "system/mutex.h"
#include "telemetry/standing_faults.h"

namespace headrace::serving {

// One for each pool, in the pools' order.
using EndpointSources = std::vector<std::unique_ptr<discovery::EndpointSource>>;

// Asks every source for changes once a second, on its own thread, and hands new snapshots to the
// pool's router, to the metrics and to a listener. A source's outage is logged once, and its end.
class FleetFeed {
 public:
  // Hears of each pool's endpoints: once at first, then after every change. One call at a time.
  using Listener = std::function<void(Pool&, const EndpointList&)>;

  // What is passed in must outlive the feed. `sources` are in force when this returns, as of their
  // last Refresh.
  FleetFeed(const Pools& pools, EndpointSources sources, PoolObserver& metrics,
            telemetry::StandingFaults& faults, Listener listener);
  // The listener is not called any more when this returns.
  ~FleetFeed();

  // Follows other sources from now on. Thread-safe; waits for a Refresh in progress.
  void Follow(EndpointSources sources);

 private:
  void Run();
  // What is new in the source of a pool.
  void TakeOver(std::size_t index) HEADRACE_REQUIRES(mutex_);

  const Pools& pools_;
  PoolObserver& metrics_;
  telemetry::StandingFaults& faults_;
  const Listener listener_;
  system::Mutex mutex_;
  system::ConditionVariable stop_;
  bool stopping_ HEADRACE_GUARDED_BY(mutex_) = false;
  EndpointSources sources_ HEADRACE_GUARDED_BY(mutex_);
  // By pool: the snapshots in force.
  std::vector<std::shared_ptr<const discovery::EndpointSnapshot>> in_force_
      HEADRACE_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace headrace::serving
