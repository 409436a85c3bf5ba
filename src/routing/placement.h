// Which endpoint of a deployment: the choices that profile-based policies share.
#pragma once

#include <optional>

#include "routing/policy.h"

namespace headrace {

// The least loaded available endpoint, whether there is room or not.
inline std::optional<EndpointId> LeastLoaded(const Candidate& candidate, const Fleet& fleet,
                                             const LoadModel&) {
  const EndpointOrder& order = fleet.ByLoad(candidate.deployment);
  if (order.empty()) return std::nullopt;
  return order.First();
}

// The least loaded endpoint, if the request fits there; where it does not, it fits nowhere.
inline std::optional<EndpointId> LeastLoadedWithRoom(const Candidate& candidate, const Fleet& fleet,
                                                     const LoadModel& model) {
  const EndpointOrder& order = fleet.ByLoad(candidate.deployment);
  if (order.empty() || !model.Fits(order.FirstKey(), candidate.share)) return std::nullopt;
  return order.First();
}

// The most loaded endpoint that still has room.
inline std::optional<EndpointId> MostLoadedWithRoom(const Candidate& candidate, const Fleet& fleet,
                                                    const LoadModel&) {
  return fleet.ByLoad(candidate.deployment).LastAtMost(kCapacity - candidate.share);
}

}  // namespace headrace
