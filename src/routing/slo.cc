// The SLO family: a request goes to the most relaxed GPU type that can still meet its SLO.
#include "routing/placement.h"
#include "routing/policies.h"

namespace headrace::routing {
namespace {

using Placement = std::optional<fleet::EndpointId> (*)(const RoutingContext&, const Candidate&);

// Tries deployments from the most relaxed on, as long as a start now would still meet the SLO
// there; `place` picks the endpoint inside one.
template <Placement place>
class SloPolicy final : public Policy {
 public:
  std::optional<fleet::EndpointId> Choose(const RoutingContext& context) override {
    for (const Candidate& candidate : context.candidates) {
      if (context.now > candidate.latest_start) break;
      if (const auto endpoint = place(context, candidate)) return endpoint;
    }
    return std::nullopt;
  }
};

}  // namespace

std::unique_ptr<Policy> MakeSloLeastLoadPulling() {
  return std::make_unique<SloPolicy<LeastLoadedWithRoom>>();
}

std::unique_ptr<Policy> MakeSloLeastLoad() { return std::make_unique<SloPolicy<LeastLoaded>>(); }

std::unique_ptr<Policy> MakeSloPackLoad() {
  return std::make_unique<SloPolicy<MostLoadedWithRoom>>();
}

}  // namespace headrace::routing
