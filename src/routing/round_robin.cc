#include "routing/policies.h"

namespace headrace::routing {
namespace {

class RoundRobin final : public Policy {
 public:
  std::optional<fleet::EndpointId> Choose(const RoutingContext& context) override {
    const auto available = context.fleet.available();
    if (available.empty()) return std::nullopt;
    return available[next_++ % available.size()];
  }

 private:
  std::uint64_t next_ = 0;
};

}  // namespace

std::unique_ptr<Policy> MakeRoundRobin() { return std::make_unique<RoundRobin>(); }

}  // namespace headrace::routing
