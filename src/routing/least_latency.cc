#include "routing/policies.h"

namespace headrace::routing {
namespace {

// Lowest observed latency, weighted by how many already share the endpoint.
class LeastLatency final : public Policy {
 public:
  std::optional<fleet::EndpointId> Choose(const RoutingContext& context) override {
    const fleet::EndpointOrder& order = context.fleet.ByLatency();
    if (order.empty()) return std::nullopt;
    return order.First();
  }
};

}  // namespace

std::unique_ptr<Policy> MakeLeastLatency() { return std::make_unique<LeastLatency>(); }

}  // namespace headrace::routing
