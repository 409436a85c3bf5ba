#include "routing/policies.h"

namespace headrace::routing {
namespace {

// Two different endpoints drawn at random, the one with fewer requests in flight (Mitzenmacher
// 2001).
class PowerOfTwo final : public Policy {
 public:
  std::optional<fleet::EndpointId> Choose(std::span<const Candidate>, const fleet::Fleet& fleet,
                                          const fleet::LoadModel&, Seconds, Rng& rng) override {
    const auto available = fleet.available();
    if (available.empty()) return std::nullopt;
    if (available.size() == 1) return available.front();
    const std::size_t first = rng.Below(available.size());
    std::size_t second = rng.Below(available.size() - 1);
    if (second >= first) ++second;
    const fleet::EndpointId a = available[first];
    const fleet::EndpointId b = available[second];
    return fleet.endpoint(b).in_flight < fleet.endpoint(a).in_flight ? b : a;
  }
};

}  // namespace

std::unique_ptr<Policy> MakePowerOfTwo() { return std::make_unique<PowerOfTwo>(); }

}  // namespace headrace::routing
