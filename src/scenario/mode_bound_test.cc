#include "scenario/mode_bound.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <array>
#include <memory>
#include <vector>

#include "base/random.h"
#include "engine/timed_engine.h"

namespace headrace::scenario {
namespace {

// Slow engines, so that few requests with long promises fill the half minutes that the bound looks
// at: a step takes half a second, a prompt of 1000 tokens about 20 s.
engine::EngineConfig SlowEngine(double slowdown, double overlap) {
  engine::EngineConfig config;
  config.step = step::TimeModel{.a = 0.5,
                                .b = 0.02,
                                .c = 0.05,
                                .d = 1e-5,
                                .e = 1e-6,
                                .overlap = overlap,
                                .overhead = 0.05}
                    .SlowedBy(slowdown);
  config.kv_blocks = 200;
  config.max_num_seqs = 8;
  config.max_num_batched_tokens = 512;
  config.max_model_len = 3000;
  return config;
}

struct Request {
  workload::TraceRow row;
  slo::Slo slo;
};

Scenario ScenarioOf(const std::vector<Request>& requests, double overlap) {
  Scenario scenario;
  scenario.fleet = {{.name = "a", .engine = SlowEngine(1, overlap)},
                    {.name = "b", .engine = SlowEngine(1.7, overlap)}};
  for (std::size_t i = 0; i < requests.size(); ++i) {
    workload::WorkloadClass one;
    one.name = "r" + std::to_string(i);
    one.arrivals = workload::ReplayArrivals{
        std::make_shared<workload::Trace>(workload::Trace{requests[i].row})};
    one.lengths = workload::TraceLengths{};
    one.slo = requests[i].slo;
    scenario.workload.classes.push_back(one);
  }
  scenario.warm_up = 1;
  // Long enough for all that is promised: the bound repeats the counted time for ever.
  scenario.duration = 900;
  return scenario;
}

// Of one way to send the requests: how many are served in time. `sent`: when to which engine,
// engine 2 for refused.
struct Sending {
  Seconds at = 0;
  std::size_t engine = 0;
};
int Attained(const Scenario& scenario, const std::vector<Request>& requests,
             const std::vector<Sending>& sending) {
  int attained = 0;
  for (std::size_t e = 0; e < scenario.fleet.size(); ++e) {
    std::vector<std::size_t> order;
    for (std::size_t i = 0; i < requests.size(); ++i) {
      if (sending[i].engine == e) order.push_back(i);
    }
    std::ranges::sort(order, {}, [&](std::size_t i) { return sending[i].at; });
    engine::TimedEngine engine(scenario.fleet[e].engine);
    std::vector<Seconds> first(requests.size());
    const auto advance = [&](Seconds to) {
      while (engine.NextWake() <= to) {
        for (const auto& [at, event] : engine.Advance(engine.NextWake())) {
          const Request& request = requests[event.tag];
          if (event.kind == engine::EngineModel::Event::Kind::kFirstToken) first[event.tag] = at;
          if (event.kind != engine::EngineModel::Event::Kind::kFinished) continue;
          attained += slo::Attained(
              request.slo, {first[event.tag] - request.row.at, at - request.row.at,
                            request.row.length.prompt_tokens, request.row.length.output_tokens});
        }
      }
    };
    for (const std::size_t i : order) {
      advance(sending[i].at);
      engine.Advance(sending[i].at);
      engine.Add(sending[i].at, i, requests[i].row.length.prompt_tokens,
                 requests[i].row.length.output_tokens);
    }
    advance(1e6);
  }
  return attained;
}

// The most over every engine and every delay of a grid for each request: all assignments, and with
// them the orders.
int BestOfAll(const Scenario& scenario, const std::vector<Request>& requests) {
  constexpr std::array<Seconds, 4> kDelays{0, 15, 30, 45};
  const std::size_t ways = 2 * kDelays.size() + 1;
  std::size_t all = 1;
  for (std::size_t i = 0; i < requests.size(); ++i) all *= ways;
  int best = 0;
  std::vector<Sending> sending(requests.size());
  for (std::size_t code = 0; code < all; ++code) {
    std::size_t rest = code;
    for (std::size_t i = 0; i < requests.size(); ++i, rest /= ways) {
      const std::size_t way = rest % ways;
      sending[i] = {requests[i].row.at + kDelays[way / 2 % kDelays.size()],
                    way + 1 == ways ? 2 : way % 2};
    }
    best = std::max(best, Attained(scenario, requests, sending));
    if (best == static_cast<int>(requests.size())) break;
  }
  return best;
}

std::vector<Request> RandomRequests(Rng& rng, std::size_t count) {
  std::vector<Request> requests(count);
  for (Request& request : requests) {
    request.row.at = 1.5 + 4 * rng.Uniform();
    request.row.length = {static_cast<Tokens>(500 + rng.Below(2000)),
                          static_cast<Tokens>(1 + rng.Below(30))};
    const double slack = 1 + 0.7 * rng.Uniform();
    const auto [prompt, output] = request.row.length;
    const Seconds alone = 0.022 * prompt + 0.62 * output;
    switch (rng.Below(5)) {
      case 0:
        request.slo.e2e = slack * alone;
        break;
      case 1:
        request.slo.tpat = slack * alone / (prompt + output);
        break;
      case 2:
        request.slo.ttft = slack * 0.024 * prompt + 1;
        break;
      case 3:
        request.slo.ntpot = slack * alone / output;
        break;
      default:
        request.slo.ttft = slack * 0.024 * prompt + 5;
        request.slo.tpot = slack * 0.65;
        break;
    }
  }
  return requests;
}

TEST(ModeBound, IsNeverBelowTheBestOfAllWaysToServe) {
  Rng rng(7);
  int below_all = 0;
  for (int i = 0; i < 16; ++i) {
    const auto requests = RandomRequests(rng, 5);
    const Scenario scenario = ScenarioOf(requests, i % 2 == 0 ? 0 : 0.9);
    const ModeBound bound = ComputeModeBound(scenario, 1, 1);
    const double most = bound.known * static_cast<double>(requests.size());
    const int best = BestOfAll(scenario, requests);
    EXPECT_GE(most + 1e-6, best) << i;
    below_all += most < static_cast<double>(requests.size()) - 0.5;
  }
  EXPECT_GE(below_all, 5) << "a bound that allows everything proves nothing";
}

}  // namespace
}  // namespace headrace::scenario
