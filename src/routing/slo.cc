// The SLO family: a request goes to the most relaxed GPU type that can still meet its SLO.
#include "routing/placement.h"
#include "routing/policies.h"

namespace headrace::routing {
namespace {

using Placement = std::optional<fleet::EndpointId> (*)(const Candidate&, const fleet::Fleet&,
                                                       const fleet::LoadModel&);

// Tries deployments from the most relaxed on, as long as a start now would still meet the SLO
// there; `place` picks the endpoint inside one.
template <Placement place>
class SloPolicy final : public Policy {
 public:
  std::optional<fleet::EndpointId> Choose(std::span<const Candidate> candidates,
                                          const fleet::Fleet& fleet, const fleet::LoadModel& model,
                                          Seconds now, Rng&) override {
    for (const Candidate& candidate : candidates) {
      if (now > candidate.latest_start) break;
      if (const auto endpoint = place(candidate, fleet, model)) return endpoint;
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
