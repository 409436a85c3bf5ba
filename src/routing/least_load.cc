#include "routing/placement.h"
#include "routing/policies.h"

namespace headrace::routing {
namespace {

// The endpoint that would be least loaded with the request on it, of all deployments.
class LeastLoad final : public Policy {
 public:
  std::optional<fleet::EndpointId> Choose(const RoutingContext& context) override {
    std::optional<fleet::EndpointId> best;
    fleet::Load best_load = 0;
    for (const Candidate& candidate : context.candidates) {
      const auto endpoint = LeastLoaded(context, candidate);
      if (!endpoint) continue;
      const fleet::Load load = context.fleet.endpoint(*endpoint).load->Order() + candidate.share;
      if (best && load >= best_load) continue;
      best = endpoint;
      best_load = load;
    }
    return best;
  }
};

}  // namespace

std::unique_ptr<Policy> MakeLeastLoad() { return std::make_unique<LeastLoad>(); }

}  // namespace headrace::routing
