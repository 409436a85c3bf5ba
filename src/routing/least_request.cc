#include "routing/policies.h"

namespace headrace {
namespace {

// Fewest requests in flight; the least recently used of equals.
class LeastRequest final : public Policy {
 public:
  std::optional<EndpointId> Choose(std::span<const Candidate>, const Fleet& fleet, const LoadModel&,
                                   Seconds, Rng&) override {
    const EndpointOrder& order = fleet.ByInFlight();
    if (order.empty()) return std::nullopt;
    return order.First();
  }
};

}  // namespace

std::unique_ptr<Policy> MakeLeastRequest() { return std::make_unique<LeastRequest>(); }

}  // namespace headrace
