#include "routing/policies.h"

namespace headrace::routing {
namespace {

class RandomChoice final : public Policy {
 public:
  std::optional<fleet::EndpointId> Choose(std::span<const Candidate>, const fleet::Fleet& fleet,
                                          const fleet::LoadModel&, Seconds, Rng& rng) override {
    const auto available = fleet.available();
    if (available.empty()) return std::nullopt;
    return available[rng.Below(available.size())];
  }
};

}  // namespace

std::unique_ptr<Policy> MakeRandom() { return std::make_unique<RandomChoice>(); }

}  // namespace headrace::routing
