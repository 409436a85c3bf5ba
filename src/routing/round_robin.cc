#include "routing/choice.h"
#include "routing/policies.h"

namespace headrace::routing {
namespace {

class RoundRobin final : public Policy {
 public:
  std::optional<fleet::EndpointId> Choose(const RoutingContext& context) override {
    const AvailableEndpoints available(context);
    if (available.size() == 0) return std::nullopt;
    // An endpoint whose weight is half of the largest takes every other one of its turns.
    const double largest = context.fleet.largest_weight();
    for (int tries = 0;; ++tries) {
      const fleet::EndpointId next = available[next_++ % available.size()];
      const double weight = context.fleet.endpoint(next).weight;
      if (weight == largest || tries == kMostTries) return next;
      if (turns_.size() <= next) turns_.resize(next + 1, 0);
      turns_[next] += weight / largest;
      if (turns_[next] < 1) continue;
      turns_[next] -= 1;
      return next;
    }
  }

 private:
  static constexpr int kMostTries = 1000;

  std::uint64_t next_ = 0;
  std::vector<double> turns_;  // By endpoint: the part of its next one that it has.
};

}  // namespace

std::unique_ptr<Policy> MakeRoundRobin() { return std::make_unique<RoundRobin>(); }

}  // namespace headrace::routing
