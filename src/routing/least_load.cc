#include "routing/placement.h"
#include "routing/policies.h"

namespace headrace {
namespace {

// The endpoint that would be least loaded with the request on it, of all deployments.
class LeastLoad final : public Policy {
 public:
  std::optional<EndpointId> Choose(std::span<const Candidate> candidates, const Fleet& fleet,
                                   const LoadModel& model, Seconds, Rng&) override {
    std::optional<EndpointId> best;
    Load best_load = 0;
    for (const Candidate& candidate : candidates) {
      const auto endpoint = LeastLoaded(candidate, fleet, model);
      if (!endpoint) continue;
      const Load load = fleet.endpoint(*endpoint).load + candidate.share;
      if (best && load >= best_load) continue;
      best = endpoint;
      best_load = load;
    }
    return best;
  }
};

}  // namespace

std::unique_ptr<Policy> MakeLeastLoad() { return std::make_unique<LeastLoad>(); }

}  // namespace headrace
