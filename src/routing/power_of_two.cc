#include "routing/choice.h"
#include "routing/policies.h"

namespace headrace::routing {
namespace {

// Two different endpoints drawn at random, the one with fewer requests in flight (Mitzenmacher
// 2001).
class PowerOfTwo final : public Policy {
 public:
  std::optional<fleet::EndpointId> Choose(const RoutingContext& context) override {
    const AvailableEndpoints available(context);
    if (available.size() == 0) return std::nullopt;
    if (available.size() == 1) return available[0];
    const std::size_t first = context.rng.Below(available.size());
    std::size_t second = context.rng.Below(available.size() - 1);
    if (second >= first) ++second;
    const fleet::EndpointId a = available[first];
    const fleet::EndpointId b = available[second];
    return context.fleet.endpoint(b).WeightedInFlight() <
                   context.fleet.endpoint(a).WeightedInFlight()
               ? b
               : a;
  }
};

}  // namespace

std::unique_ptr<Policy> MakePowerOfTwo() { return std::make_unique<PowerOfTwo>(); }

}  // namespace headrace::routing
