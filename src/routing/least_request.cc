#include "routing/choice.h"
#include "routing/policies.h"

namespace headrace::routing {
namespace {

// Fewest requests in flight; the least recently used of equals.
class LeastRequest final : public Policy {
 public:
  std::optional<fleet::EndpointId> Choose(const RoutingContext& context) override {
    return FirstOf(context.fleet, context.deployments, &fleet::Fleet::ByInFlight);
  }
};

}  // namespace

std::unique_ptr<Policy> MakeLeastRequest() { return std::make_unique<LeastRequest>(); }

}  // namespace headrace::routing
