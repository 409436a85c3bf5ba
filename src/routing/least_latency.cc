#include "routing/choice.h"
#include "routing/policies.h"

namespace headrace::routing {
namespace {

// Lowest observed latency, weighted by how many already share the endpoint.
class LeastLatency final : public Policy {
 public:
  std::optional<fleet::EndpointId> Choose(const RoutingContext& context) override {
    return FirstOf(context.fleet, context.deployments, &fleet::Fleet::ByLatency);
  }
};

}  // namespace

std::unique_ptr<Policy> MakeLeastLatency() { return std::make_unique<LeastLatency>(); }

}  // namespace headrace::routing
