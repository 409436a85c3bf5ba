#include "routing/placement.h"
#include "routing/policies.h"

namespace headrace::routing {
namespace {

// The endpoint that would be fullest with the request on it, of all deployments.
class PackLoad final : public Policy {
 public:
  std::optional<fleet::EndpointId> Choose(std::span<const Candidate> candidates,
                                          const fleet::Fleet& fleet, const fleet::LoadModel& model,
                                          Seconds, Rng&) override {
    std::optional<fleet::EndpointId> best;
    fleet::Load best_load = 0;
    for (const Candidate& candidate : candidates) {
      const auto endpoint = MostLoadedWithRoom(candidate, fleet, model);
      if (!endpoint) continue;
      const fleet::Load load = fleet.endpoint(*endpoint).load + candidate.share;
      if (best && load <= best_load) continue;
      best = endpoint;
      best_load = load;
    }
    return best;
  }
};

}  // namespace

std::unique_ptr<Policy> MakePackLoad() { return std::make_unique<PackLoad>(); }

}  // namespace headrace::routing
