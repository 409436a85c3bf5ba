// Which endpoint of all deployments where a request fits: the choices that policies share which
// need no profile.
#pragma once

#include <cstddef>
#include <optional>
#include <span>

#include "fleet/fleet.h"
#include "routing/policy.h"

namespace headrace::routing {

using OrderOf = const fleet::EndpointOrder& (fleet::Fleet::*)(fleet::DeploymentId) const;

// The available endpoint that comes first in an order, over several deployments.
inline std::optional<fleet::EndpointId> FirstOf(const fleet::Fleet& fleet,
                                                std::span<const fleet::DeploymentId> deployments,
                                                OrderOf order_of) {
  const fleet::EndpointOrder* first = nullptr;
  for (const fleet::DeploymentId deployment : deployments) {
    const fleet::EndpointOrder& order = (fleet.*order_of)(deployment);
    if (order.empty()) continue;
    if (first == nullptr || order.FirstEntry() < first->FirstEntry()) first = &order;
  }
  if (first == nullptr) return std::nullopt;
  return first->First();
}

// The available endpoints of several deployments as one list, in no particular order.
class AvailableEndpoints {
 public:
  explicit AvailableEndpoints(const RoutingContext& context) : context_(context) {
    for (const fleet::DeploymentId deployment : context.deployments) {
      size_ += context.fleet.Available(deployment).size();
    }
  }

  std::size_t size() const { return size_; }
  fleet::EndpointId operator[](std::size_t index) const {
    for (const fleet::DeploymentId deployment : context_.deployments) {
      const auto available = context_.fleet.Available(deployment);
      if (index < available.size()) return available[index];
      index -= available.size();
    }
    return 0;  // Not reached: `index` is below size().
  }

 private:
  const RoutingContext& context_;
  std::size_t size_ = 0;
};

}  // namespace headrace::routing
