#include "routing/choice.h"
#include "routing/policies.h"

namespace headrace::routing {
namespace {

class RoundRobin final : public Policy {
 public:
  std::optional<fleet::EndpointId> Choose(const RoutingContext& context) override {
    const AvailableEndpoints available(context);
    if (available.size() == 0) return std::nullopt;
    return available[next_++ % available.size()];
  }

 private:
  std::uint64_t next_ = 0;
};

}  // namespace

std::unique_ptr<Policy> MakeRoundRobin() { return std::make_unique<RoundRobin>(); }

}  // namespace headrace::routing
