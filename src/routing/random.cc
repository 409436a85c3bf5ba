#include "routing/policies.h"

namespace headrace::routing {
namespace {

class RandomChoice final : public Policy {
 public:
  std::optional<fleet::EndpointId> Choose(const RoutingContext& context) override {
    const auto available = context.fleet.available();
    if (available.empty()) return std::nullopt;
    return available[context.rng.Below(available.size())];
  }
};

}  // namespace

std::unique_ptr<Policy> MakeRandom() { return std::make_unique<RandomChoice>(); }

}  // namespace headrace::routing
