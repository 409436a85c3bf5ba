// Which endpoint of a deployment: the choices that profile-based policies share.
#pragma once

#include <optional>

#include "routing/policy.h"

namespace headrace::routing {

// The least loaded available endpoint, whether there is room or not.
inline std::optional<fleet::EndpointId> LeastLoaded(const Candidate& candidate,
                                                    const fleet::Fleet& fleet,
                                                    const fleet::LoadModel&) {
  const fleet::EndpointOrder& order = fleet.ByLoad(candidate.deployment);
  if (order.empty()) return std::nullopt;
  return order.First();
}

// The least loaded endpoint, if the request fits there; where it does not, it fits nowhere.
inline std::optional<fleet::EndpointId> LeastLoadedWithRoom(const Candidate& candidate,
                                                            const fleet::Fleet& fleet,
                                                            const fleet::LoadModel& model) {
  const fleet::EndpointOrder& order = fleet.ByLoad(candidate.deployment);
  if (order.empty() || !model.Fits(order.FirstKey(), candidate.share)) return std::nullopt;
  return order.First();
}

// The most loaded endpoint that still has room.
inline std::optional<fleet::EndpointId> MostLoadedWithRoom(const Candidate& candidate,
                                                           const fleet::Fleet& fleet,
                                                           const fleet::LoadModel&) {
  return fleet.ByLoad(candidate.deployment).LastAtMost(fleet::kCapacity - candidate.share);
}

}  // namespace headrace::routing
