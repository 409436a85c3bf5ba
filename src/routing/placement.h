// Which endpoint of a deployment: the choices that profile-based policies share.
#pragma once

#include <optional>

#include "routing/policy.h"

namespace headrace::routing {

// How many of the fullest endpoints are assessed for one request before the search gives up. One is
// enough where the load model's HighestOrderWithRoom is exact.
inline constexpr int kShortList = 8;

// The least loaded available endpoint, whether it has room or not.
inline std::optional<fleet::EndpointId> LeastLoaded(const RoutingContext& context,
                                                    const Candidate& candidate) {
  const fleet::EndpointOrder& order = context.fleet.ByLoad(candidate.deployment);
  if (order.empty()) return std::nullopt;
  return order.First();
}

// The least loaded endpoint, if it takes the request now; where it does not, no other does.
inline std::optional<fleet::EndpointId> LeastLoadedWithRoom(const RoutingContext& context,
                                                            const Candidate& candidate) {
  const fleet::EndpointOrder& order = context.fleet.ByLoad(candidate.deployment);
  // The quick answer first: in a full fleet, each waiting head asks this of each deployment.
  if (order.empty() || order.FirstKey() > candidate.highest_order) return std::nullopt;
  if (!context.Assess(candidate, order.First()).now) return std::nullopt;
  return order.First();
}

// The most loaded endpoint that takes the request now.
inline std::optional<fleet::EndpointId> MostLoadedWithRoom(const RoutingContext& context,
                                                           const Candidate& candidate) {
  return context.fleet.ByLoad(candidate.deployment)
      .FindDownFrom(candidate.highest_order, kShortList, [&](fleet::EndpointId endpoint) {
        return context.Assess(candidate, endpoint).now;
      });
}

}  // namespace headrace::routing
