#include "routing/choice.h"
#include "routing/policies.h"

namespace headrace::routing {
namespace {

class RandomChoice final : public Policy {
 public:
  std::optional<fleet::EndpointId> Choose(const RoutingContext& context) override {
    const AvailableEndpoints available(context);
    if (available.size() == 0) return std::nullopt;
    return available[context.rng.Below(available.size())];
  }
};

}  // namespace

std::unique_ptr<Policy> MakeRandom() { return std::make_unique<RandomChoice>(); }

}  // namespace headrace::routing
