#include "serving/fleet_feed.h"

#include <string>
#include <utility>

#include "system/clock.h"

namespace headrace::serving {
namespace {

// How often a source is asked whether anything is new; most of the time it does not have to check.
constexpr Seconds kInterval = 1;

}  // namespace

FleetFeed::FleetFeed(const Pools& pools, EndpointSources sources, PoolObserver& metrics,
                     telemetry::StandingFaults& faults, Listener listener)
    : pools_(pools),
      metrics_(metrics),
      faults_(faults),
      listener_(std::move(listener)),
      in_force_(pools.size()) {
  Follow(std::move(sources));
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

void FleetFeed::Follow(EndpointSources sources) {
  const system::MutexLock lock(mutex_);
  sources_ = std::move(sources);
  for (std::size_t i = 0; i < sources_.size(); ++i) TakeOver(i);
}

void FleetFeed::Run() {
  const system::MutexLock lock(mutex_);
  while (!stopping_) {
    if (stop_.WaitFor(mutex_, kInterval)) continue;
    for (std::size_t i = 0; i < sources_.size(); ++i) {
      sources_[i]->Refresh(system::MonotonicNow());
      TakeOver(i);
    }
  }
}

void FleetFeed::TakeOver(std::size_t index) {
  Pool& pool = pools_[index];
  const discovery::EndpointSource& source = *sources_[index];
  const std::string cause = "endpoints of " + pool.name();
  if (source.outage().empty()) {
    faults_.Clear(cause, cause + ": in order again", system::MonotonicNow());
  } else {
    faults_.Raise(telemetry::LogLevel::kError, cause, source.outage(), system::MonotonicNow());
  }
  const auto before = std::exchange(in_force_[index], source.snapshot());
  if (before == source.snapshot() || (before != nullptr && *before == *source.snapshot())) return;
  pool.router().UpdateFleet(*source.snapshot());
  metrics_.SetFleet(pool.name(), *source.snapshot());
  listener_(pool, pool.router().Endpoints());
}

}  // namespace headrace::serving
