// Which endpoint of a deployment: the choices that profile-based policies share.
#pragma once

#include <optional>

#include "routing/policy.h"

namespace headrace::routing {

// How many of the fullest endpoints are assessed for one request before the search gives up. A load
// model whose HighestOrderWithRoom is exact needs one.
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
  const auto endpoint = LeastLoaded(context, candidate);
  if (!endpoint || !context.Assess(candidate, *endpoint).now) return std::nullopt;
  return endpoint;
}

// The most loaded endpoint that takes the request now.
inline std::optional<fleet::EndpointId> MostLoadedWithRoom(const RoutingContext& context,
                                                           const Candidate& candidate) {
  const fleet::Load most = context.fleet.model().HighestOrderWithRoom(candidate.demand);
  return context.fleet.ByLoad(candidate.deployment)
      .FindDownFrom(most, kShortList, [&](fleet::EndpointId endpoint) {
        return context.Assess(candidate, endpoint).now;
      });
}

}  // namespace headrace::routing
