// What a router's lock protects: the scheduler, and what its ids stand for.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "base/units.h"
#include "fleet/fleet.h"
#include "profile/gpu_profile.h"
#include "scheduler/scheduler.h"
#include "serving/endpoint_info.h"
#include "serving/explanation.h"
#include "serving/refusal.h"
#include "serving/router_status.h"

namespace headrace::serving {

struct PoolState {
  scheduler::Scheduler scheduler;
  scheduler::Decisions decisions;  // Of the event under way.
  EndpointList infos;              // By endpoint id; null for those that have left.
  // The scheduler is told that an endpoint is up if nothing is known against it, and neither an
  // operator has drained it nor the place that lists it has closed it.
  std::vector<std::string> why_down;           // By endpoint id; empty: it is up.
  std::vector<std::string> why_closed;         // Likewise; empty: it gets new requests.
  std::set<std::string, std::less<>> drained;  // Addresses in the fleet.
  std::shared_ptr<const FleetNames> names;
  // By each of their addresses: as they are written, as numbers with the port, and without it.
  std::multimap<std::string, fleet::EndpointId, std::less<>> by_address;
  // By deployment, those that are not in the fleet included.
  std::map<std::string, std::shared_ptr<const profile::GpuProfile>> profiles;
  // By deployment, of those whose engines may be asked: whether they take `stream_options`.
  std::map<std::string, std::shared_ptr<std::atomic<bool>>> stream_options;

  // The endpoint is in the fleet: it has not left, no other one has its id, and it is not of
  // another pool.
  bool Has(const EndpointInfo& endpoint) const {
    return endpoint.id < infos.size() && infos[endpoint.id].get() == &endpoint;
  }
  bool TakesRequests(const EndpointInfo& endpoint) const {
    return why_down[endpoint.id].empty() && !IsDrained(endpoint);
  }
  bool IsDrained(const EndpointInfo& endpoint) const {
    return drained.contains(endpoint.address) || !why_closed[endpoint.id].empty();
  }
  // A drain ends with what was drained, whatever comes to its address.
  void ForgetDrains(std::span<const EndpointInfo> endpoints);
  // `closed`: why each is, or empty.
  void SetEndpoints(std::span<const EndpointInfo> endpoints, std::span<const std::string> closed);
  // Those in the fleet that have one of these addresses, by id, each once.
  std::vector<fleet::EndpointHandle> Find(std::span<const std::string> addresses) const;

  // --- What others see

  RouterStatus Status(Seconds now) const;
  RefusalFacts WhyRefused(const scheduler::Decision& decision,
                          const scheduler::Arrival& arrival) const;
};

}  // namespace headrace::serving
