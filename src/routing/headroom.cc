// Headrace's own policy: a request goes where it is predicted to break the fewest promises.
#include <algorithm>
#include <array>
#include <optional>
#include <span>
#include <tuple>
#include <vector>

#include "base/log2_bucket.h"
#include "routing/policies.h"

namespace headrace::routing {
namespace {

// Up to so many endpoints, all are assessed; above, for each deployment the emptiest, some of all
// at random, and a few where requests of the same size went last.
constexpr std::size_t kSmallFleet = 16;
constexpr int kAtRandom = 6;
constexpr std::size_t kRecent = 2;

// Prices every endpoint by the promises that the request would break there: its own, and those of
// the requests there. Waits while that is too dear and waiting costs nothing; then takes the least
// harmful place. Late requests use what is left.
class SloHeadroom final : public Policy {
 public:
  std::optional<fleet::EndpointId> Choose(const RoutingContext& context) override {
    const fleet::HeadroomConstants& constants = context.fleet.constants();
    gives_up_ = false;
    Survey(context);
    if (options_.empty()) return std::nullopt;
    const double pressure =
        std::min(1.0, static_cast<double>(context.waiting) /
                          (constants.full_pressure * std::max(1, context.fleet.all_in_flight())));
    const double alike = constants.alike * pressure;
    const Option* least = Price(context, alike);
    if (context.late) {
      const bool idle = context.waiting == 0 && least->cost <= constants.allowed_at_rest &&
                        ForecastOf(context, *least).Backlog() <= constants.idle_backlog;
      return idle ? std::optional(least->endpoint) : std::nullopt;
    }
    const bool last_call = least_miss_later_ - least_miss_ > constants.rise;
    if (last_call && least_miss_ > 1 - constants.least_chance * pressure) {
      gives_up_ = true;
      return std::nullopt;
    }
    double allowed =
        last_call ? 1
                  : constants.allowed_at_rest +
                        (constants.allowed_under_pressure - constants.allowed_at_rest) * pressure;
    // Without an SLO nothing ever presses; the longer it waits, the more it may cost.
    if (context.request.slo == nullptr || !context.request.slo->HasLatency()) {
      allowed += (context.now - context.request.arrived) / constants.patience;
    }
    if (least->cost > allowed) return std::nullopt;
    const Option& best = Among(context, least->cost + alike, pressure);
    // In an engine whose KV cache is full it would hold up others, and gain nothing.
    if (!best.outlook.fits && allowed < 1) return std::nullopt;
    const fleet::EndpointId chosen = best.endpoint;
    auto& recent = Recent(context);
    if (std::ranges::find(recent, std::optional(chosen)) == recent.end()) {
      recent[next_recent_++ % kRecent] = chosen;
    }
    return chosen;
  }

  bool GivesUp() const override { return gives_up_; }
  std::span<const Option> Considered() const override { return options_; }

 private:
  static fleet::StepForecast& ForecastOf(const RoutingContext& context, const Option& option) {
    return *context.fleet.endpoint(option.endpoint).forecast;
  }

  // Without harm, the least that an option can cost.
  static double LeastCost(const RoutingContext& context, const Option& option) {
    return context.late ? 0 : option.outlook.miss;
  }

  // Assesses all endpoints of a small fleet, and a short list of a large one: what the request
  // would meet there. The most promising first.
  void Survey(const RoutingContext& context) {
    options_.clear();
    least_miss_ = least_miss_later_ = 1;
    std::size_t endpoints = 0;
    for (const fleet::DeploymentId deployment : context.deployments) {
      endpoints += context.fleet.Available(deployment).size();
    }
    if (endpoints <= kSmallFleet) {
      for (const fleet::DeploymentId deployment : context.deployments) {
        for (const auto endpoint : context.fleet.Available(deployment)) Assess(context, endpoint);
      }
      return;
    }
    // Those with the fewest requests; some at random, so that partitions can be found; and those
    // where the last requests of this size went, so that partitions stay.
    for (const fleet::DeploymentId deployment : context.deployments) {
      const fleet::EndpointOrder& emptiest = context.fleet.ByInFlight(deployment);
      if (!emptiest.empty()) Assess(context, emptiest.First());
    }
    for (int i = 0; i < kAtRandom; ++i) {
      std::size_t place = context.rng.Below(endpoints);
      for (const fleet::DeploymentId deployment : context.deployments) {
        const auto available = context.fleet.Available(deployment);
        if (place < available.size()) {
          Assess(context, available[place]);
          break;
        }
        place -= available.size();
      }
    }
    for (const std::optional<fleet::EndpointId>& endpoint : Recent(context)) {
      if (endpoint && context.fleet.IsAvailable(*endpoint) &&
          std::ranges::binary_search(context.deployments,
                                     context.fleet.endpoint(*endpoint).deployment)) {
        Assess(context, *endpoint);
      }
    }
  }

  void Assess(const RoutingContext& context, fleet::EndpointId endpoint) {
    if (std::ranges::find(options_, endpoint, &Option::endpoint) != options_.end()) return;
    fleet::StepForecast& forecast = *context.fleet.endpoint(endpoint).forecast;
    const Option option{.endpoint = endpoint,
                        .outlook = forecast.Assess(context.request, context.now)};
    if (context.yields && forecast.Backlog() > LongestLine(context)) return;
    const auto promise = [&](const Option& one) {
      return std::tuple(LeastCost(context, one), !one.outlook.fits, one.outlook.end);
    };
    options_.insert(std::ranges::upper_bound(options_, promise(option), {}, promise), option);
    least_miss_ = std::min(least_miss_, option.outlook.miss);
    least_miss_later_ = std::min(least_miss_later_, option.outlook.miss_later);
  }

  // Works out what options cost, until no other can be among those that cost the least, or are
  // `alike`. Returns one that costs the least. Most of the work of a decision is here, and mostly
  // the first option harms nobody.
  const Option* Price(const RoutingContext& context, double alike) {
    const Option* least = &options_.front();
    for (Option& option : options_) {
      const double at_least = LeastCost(context, option);
      if (at_least > least->cost + alike || (alike == 0 && at_least == least->cost)) break;
      fleet::Outlook& outlook = option.outlook;
      outlook.harm = ForecastOf(context, option).Harm(context.request, context.now);
      option.cost = at_least + context.fleet.constants().harm_weight * *outlook.harm;
      if (option.cost < least->cost) least = &option;
    }
    return least;
  }

  // A line at an endpoint cannot be overtaken: one who yields does not make it longer than others
  // who have as much time can bear.
  static Seconds LongestLine(const RoutingContext& context) {
    const fleet::HeadroomConstants& constants = context.fleet.constants();
    if (context.deadline == kNever) return constants.idle_backlog;
    return std::max(constants.idle_backlog,
                    constants.yield_share * (context.deadline - context.request.arrived));
  }

  std::array<std::optional<fleet::EndpointId>, kRecent>& Recent(const RoutingContext& context) {
    return recent_[static_cast<std::size_t>(Log2Bucket(context.request.prompt_tokens))];
  }

  // Of the options that cost at most this, those with KV room first: under pressure where most of
  // its kind are (prefill-bound or decode-bound), else where it ends first.
  const Option& Among(const RoutingContext& context, double cost, double pressure) const {
    const bool pack = pressure > context.fleet.constants().pack_from;
    const bool prefill_bound =
        ForecastOf(context, options_.front()).PrefillShare(context.request) >= 0.5;
    const Option* best = nullptr;
    double best_score = 0;
    for (const Option& option : options_) {
      if (option.cost > cost) continue;
      const fleet::StepForecast& forecast = ForecastOf(context, option);
      const double share = forecast.prefill_share();
      const double kin = forecast.residents() * (prefill_bound ? share : 1 - share);
      const double score = pack ? -kin : option.outlook.end;
      if (best != nullptr &&
          std::pair(!option.outlook.fits, score) >= std::pair(!best->outlook.fits, best_score)) {
        continue;
      }
      best = &option;
      best_score = score;
    }
    return *best;
  }

  std::vector<Option> options_;  // Of the last request.
  // By the size of the prompt: some of the endpoints where requests of this size went.
  std::array<std::array<std::optional<fleet::EndpointId>, kRecent>, kLog2Buckets> recent_{};
  std::size_t next_recent_ = 0;
  double least_miss_ = 1;
  double least_miss_later_ = 1;
  bool gives_up_ = false;
};

}  // namespace

std::unique_ptr<Policy> MakeSloHeadroom() { return std::make_unique<SloHeadroom>(); }

}  // namespace headrace::routing
