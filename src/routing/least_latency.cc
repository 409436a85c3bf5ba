#include "routing/policies.h"

namespace headrace {
namespace {

// Lowest observed latency, weighted by how many already share the endpoint.
class LeastLatency final : public Policy {
 public:
  std::optional<EndpointId> Choose(std::span<const Candidate>, const Fleet& fleet, const LoadModel&,
                                   Seconds, Rng&) override {
    const EndpointOrder& order = fleet.ByLatency();
    if (order.empty()) return std::nullopt;
    return order.First();
  }
};

}  // namespace

std::unique_ptr<Policy> MakeLeastLatency() { return std::make_unique<LeastLatency>(); }

}  // namespace headrace
