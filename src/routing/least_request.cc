#include "routing/policies.h"

namespace headrace::routing {
namespace {

// Fewest requests in flight; the least recently used of equals.
class LeastRequest final : public Policy {
 public:
  std::optional<fleet::EndpointId> Choose(const RoutingContext& context) override {
    const fleet::EndpointOrder& order = context.fleet.ByInFlight();
    if (order.empty()) return std::nullopt;
    return order.First();
  }
};

}  // namespace

std::unique_ptr<Policy> MakeLeastRequest() { return std::make_unique<LeastRequest>(); }

}  // namespace headrace::routing
