#include "serving/fleet_feed.h"

#include <algorithm>
#include <string>
#include <utility>

#include "system/clock.h"

namespace headrace::serving {
namespace {

// How often a source is asked whether anything is new; most of the time it does not have to check.
constexpr Seconds kInterval = 1;

}  // namespace

FleetFeed::FleetFeed(std::vector<FollowedPool> pools, PoolObserver& metrics,
                     telemetry::StandingFaults& faults, Listener listener)
    : metrics_(metrics), faults_(faults), listener_(std::move(listener)) {
  Follow(std::move(pools));
  thread_ = std::thread([this] { Run(); });
}

FleetFeed::~FleetFeed() {
  {
    const system::MutexLock lock(mutex_);
    stopping_ = true;
  }
  stop_.NotifyAll();
  thread_.join();
}

void FleetFeed::Follow(std::vector<FollowedPool> pools) {
  const system::MutexLock lock(mutex_);
  const std::vector<Follower> before = std::exchange(followers_, {});
  for (FollowedPool& followed : pools) {
    const auto known = std::ranges::find(
        before, followed.pool, [](const Follower& follower) { return follower.followed.pool; });
    followers_.push_back({std::move(followed), known == before.end() ? nullptr : known->in_force});
    TakeOver(followers_.back());
  }
}

void FleetFeed::Run() {
  const system::MutexLock lock(mutex_);
  while (!stopping_) {
    if (stop_.WaitFor(mutex_, kInterval)) continue;
    for (Follower& follower : followers_) {
      follower.followed.source->Refresh(system::MonotonicNow());
      TakeOver(follower);
    }
  }
}

void FleetFeed::TakeOver(Follower& follower) {
  Pool& pool = *follower.followed.pool;
  const discovery::EndpointSource& source = *follower.followed.source;
  pool.SetSourceFault(source.outage());
  metrics_.SetSourceUp(pool.name(), source.outage().empty());
  const std::string cause = "endpoints of " + pool.name();
  if (source.outage().empty()) {
    faults_.Clear(cause, cause + ": in order again", system::MonotonicNow());
  } else {
    faults_.Raise(telemetry::LogLevel::kError, cause, source.outage(), system::MonotonicNow());
  }
  const auto before = std::exchange(follower.in_force, source.snapshot());
  if (before == source.snapshot() || (before != nullptr && *before == *source.snapshot())) return;
  pool.router().UpdateFleet(*source.snapshot());
  metrics_.SetFleet(pool.name(), *source.snapshot());
  listener_(pool, pool.router().Endpoints());
}

}  // namespace headrace::serving
