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

// A pool, and where its endpoints come from.
struct FollowedPool {
  std::shared_ptr<Pool> pool;
  std::unique_ptr<discovery::EndpointSource> source;
};

// Asks every source for changes once a second, on its own thread, and hands new snapshots to the
// pool's router, to the metrics and to a listener. A source's outage is logged once, and its end.
class FleetFeed {
 public:
  // Hears of each pool's endpoints: once at first, then after every change. One call at a time.
  using Listener = std::function<void(Pool&, const EndpointList&)>;

  // What is passed in must outlive the feed. The sources' endpoints, as of their last Refresh, are
  // in force when this returns.
  FleetFeed(std::vector<FollowedPool> pools, PoolObserver& metrics,
            telemetry::StandingFaults& faults, Listener listener);
  // The listener is not called any more when this returns.
  ~FleetFeed();

  // Follows these from now on; a pool that is not among them keeps the endpoints that it has.
  // Thread-safe; waits for a Refresh in progress.
  void Follow(std::vector<FollowedPool> pools);

 private:
  // A pool with the snapshot that is in force for it.
  struct Follower {
    FollowedPool followed;
    std::shared_ptr<const discovery::EndpointSnapshot> in_force;
  };

  void Run();
  // What is new in the source of a pool.
  void TakeOver(Follower& follower) HEADRACE_REQUIRES(mutex_);

  PoolObserver& metrics_;
  telemetry::StandingFaults& faults_;
  const Listener listener_;
  system::Mutex mutex_;
  system::ConditionVariable stop_;
  bool stopping_ HEADRACE_GUARDED_BY(mutex_) = false;
  std::vector<Follower> followers_ HEADRACE_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace headrace::serving
