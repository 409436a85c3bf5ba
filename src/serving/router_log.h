// What a pool's router says in the log, once per cause.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/units.h"
#include "fleet/engine_fault.h"
#include "fleet/fleet.h"
#include "scheduler/events.h"
#include "serving/endpoint_info.h"
#include "telemetry/standing_faults.h"

namespace headrace::serving {

// What a breaker did, to be told once the lock is released.
struct BreakerReport {
  std::shared_ptr<const EndpointInfo> endpoint;
  fleet::BreakerChange change;
  std::optional<fleet::EngineFault> fault;  // The last one.
  Seconds away = 0;                         // If it was ejected.
};

class RouterLog {
 public:
  // `faults` must outlive it.
  RouterLog(std::string pool, telemetry::StandingFaults& faults)
      : pool_(std::move(pool)), faults_(faults) {}

  void Up(const EndpointInfo& endpoint, Seconds now) const;
  // Because of `why` (a phrase).
  void Down(const EndpointInfo& endpoint, std::string_view why, Seconds now) const;
  // Requests are not routed by the policy that was asked for.
  void Fallback(const scheduler::Decision& decision, Seconds now) const;
  // An endpoint was ejected, which is counted, too, or is back.
  void Breaker(const BreakerReport& report, Seconds now) const;
  // The engines of the endpoint's deployment do.
  void RefusesStreamOptions(const EndpointInfo& endpoint, Seconds now) const;

 private:
  std::string NameOf(const EndpointInfo& endpoint) const;

  const std::string pool_;
  telemetry::StandingFaults& faults_;
};

}  // namespace headrace::serving
