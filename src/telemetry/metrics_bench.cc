// What a request pays for being counted.
#include <benchmark/benchmark.h>

#include "telemetry/headrace_metrics.h"

namespace headrace::telemetry {
namespace {

MetricsRegistry& Registry() {
  static MetricsRegistry registry;
  return registry;
}

ModelMetrics& Model() {
  static ModelMetrics model(
      Registry(), "m",
      {{"slo", "slo-least-load", "slo-pack-load", "least-load", "pack-load", "least-request",
        "least-latency", "power-of-two", "round-robin", "random"},
       {"queue_full"},
       {"no_profile"}});
  return model;
}

void BM_CountRequest(::benchmark::State& state) {
  for (auto _ : state) Model().CountRequest(Outcome::kCompleted, "least-request");
}
BENCHMARK(BM_CountRequest)->Threads(1)->Threads(2);

void BM_Observe(::benchmark::State& state) {
  double value = 0;
  for (auto _ : state) {
    Model().decision_seconds.Observe(value);
    value = value > 1e-3 ? 0 : value + 1e-7;
  }
}
BENCHMARK(BM_Observe)->Threads(1)->Threads(2);

void BM_Text1000Endpoints(::benchmark::State& state) {
  MetricsRegistry registry;
  std::vector<EndpointMetrics> endpoints;
  for (int i = 0; i < 1000; ++i) {
    endpoints.emplace_back(registry, "m", "d", "10.0.0.7:" + std::to_string(i));
  }
  for (auto _ : state) ::benchmark::DoNotOptimize(registry.Text());
}
BENCHMARK(BM_Text1000Endpoints)->Unit(::benchmark::kMillisecond);

}  // namespace
}  // namespace headrace::telemetry
