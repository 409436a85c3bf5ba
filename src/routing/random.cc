#include "routing/choice.h"
#include "routing/policies.h"

namespace headrace::routing {
namespace {

constexpr int kMostTries = 1000;

class RandomChoice final : public Policy {
 public:
  std::optional<fleet::EndpointId> Choose(const RoutingContext& context) override {
    const AvailableEndpoints available(context);
    if (available.size() == 0) return std::nullopt;
    // One of less weight than another may have is drawn as often, and taken less often.
    const double largest = context.fleet.largest_weight();
    for (int tries = 0;; ++tries) {
      const fleet::EndpointId drawn = available[context.rng.Below(available.size())];
      const double weight = context.fleet.endpoint(drawn).weight;
      if (weight == largest || tries == kMostTries) return drawn;
      if (context.rng.Uniform() * largest < weight) return drawn;
    }
  }
};

}  // namespace

std::unique_ptr<Policy> MakeRandom() { return std::make_unique<RandomChoice>(); }

}  // namespace headrace::routing
