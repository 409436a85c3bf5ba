#include <cstdint>
#include <utility>

#include "routing/policies.h"

namespace headrace::routing {
namespace {

// LMetric (Zhang et al., "Simple is Better: Multiplication May Be All You Need for LLM Request
// Scheduling", OSDI 2026, arXiv:2603.15202): the least P-token × BS. P-token are the prompt tokens
// that the endpoint would have to prefill, those of requests whose first token has not come
// included; BS the requests there; this request counts in both. A product has no weights to tune.
//
// The paper takes off what the endpoint's prefix cache holds of the prompt. No such state is known
// here, so a whole prompt counts everywhere. Where the first token is not seen (a response that is
// no stream) a prompt counts to the end of its request. Of equals, the one with the fewest
// requests, and of those the least recently used.
class LMetric final : public Policy {
 public:
  std::optional<fleet::EndpointId> Choose(const RoutingContext& context) override {
    const std::int64_t own = context.request.prompt_tokens;
    std::optional<fleet::EndpointId> best;
    std::pair<std::int64_t, fleet::EndpointOrder::Entry> least;
    for (const fleet::DeploymentId deployment : context.deployments) {
      context.fleet.ByInFlight(deployment).ForEachUp([&](const fleet::EndpointOrder::Entry& entry) {
        const auto [in_flight, last_used, id] = entry;
        const std::int64_t requests = in_flight + 1;
        // From here on none can be less, not even with nothing else to prefill.
        if (best && own * requests > least.first) return false;
        const std::pair product((context.fleet.endpoint(id).prefilling + own) * requests, entry);
        if (!best || product < least) {
          best = id;
          least = product;
        }
        return true;
      });
    }
    return best;
  }
};

}  // namespace

std::unique_ptr<Policy> MakeLMetric() { return std::make_unique<LMetric>(); }

}  // namespace headrace::routing
