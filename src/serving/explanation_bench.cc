// What it costs a request that it can be explained later, when nobody asks.
#include <benchmark/benchmark.h>

#include <memory>
#include <string>

#include "serving/request_history.h"

namespace headrace::serving {
namespace {

// What slo-headroom considers for one request, and the names of a fleet of that size.
constexpr int kOptions = 12;

// A request as it ends, with its explanation; then it is kept in the history. The endpoint's name
// and the sentence are not made: only who asks pays for them.
void KeepOne(::benchmark::State& state) {
  RequestHistory history;
  auto names = std::make_shared<FleetNames>();
  names->deployments = {"a10", "l20"};
  for (int i = 0; i < kOptions; ++i) names->endpoints.push_back({0, "10.0.0.11:8000"});
  EndpointInfo endpoint;
  endpoint.address = "10.0.0.11:8000";
  endpoint.deployment = "a10";
  FinishedRequest request;
  request.request_id = "0123456789abcdef0123456789abcdef";
  request.pool = "llama2-7b";
  request.policy = "slo-headroom";
  request.endpoint = &endpoint;
  request.slo.tpot = 0.05;
  request.outlook.emplace();
  for (auto _ : state) {
    auto facts = std::make_shared<scheduler::Explanation>();
    facts->options.resize(kOptions);
    request.considered = {.facts = std::move(facts), .names = names};
    history.OnFinished(request);
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(KeepOne);

}  // namespace
}  // namespace headrace::serving
