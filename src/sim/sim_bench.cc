#include <benchmark/benchmark.h>

#include "benchmark/measured_profile.h"
#include "sim/simulation.h"

namespace headrace::sim {
namespace {

engine::EngineConfig Engine(double factor) {
  engine::EngineConfig config;
  config.step =
      step::TimeModel{.a = 20.9e-3, .b = 0.15e-3, .c = 0.0675e-3, .d = 0.6068e-6}.SlowedBy(factor);
  config.kv_blocks = 3500;
  config.max_model_len = 8192;
  return config;
}

slo::Slo TpatSlo() {
  slo::Slo slo;
  slo.tpat = 0.05;
  return slo;
}

std::shared_ptr<const profile::GpuProfile> Profile(const std::string& name, double factor) {
  const auto generated =
      benchmark::MeasureProfile(Engine(factor), {.deployment = name, .slo = TpatSlo()});
  return std::make_shared<profile::GpuProfile>(generated->profile);
}

// Simulated requests per second of one core: range(0) endpoints at a load they just sustain.
void Run(::benchmark::State& state, const char* policy) {
  static const auto slow = Profile("slow", 1.4);
  static const auto fast = Profile("fast", 1);
  static const workload::Workload workload = workload::FindNamedWorkload("chat-and-code")->make();
  const auto endpoints = static_cast<int>(state.range(0));
  SimulationSpec spec;
  spec.fleet = {
      {.name = "slow", .engine = Engine(1.4), .endpoints = endpoints / 5, .profile = slow},
      {.name = "fast",
       .engine = Engine(1),
       .endpoints = endpoints - endpoints / 5,
       .profile = fast}};
  spec.workload = &workload;
  spec.scheduler.policy = routing::FindPolicy(policy);
  spec.rate_scale = 0.6 * endpoints / 5;
  spec.duration = 100'000.0 / (11 * spec.rate_scale);
  std::uint64_t simulated = 0;
  while (state.KeepRunning()) simulated += Simulate(spec).simulated;
  state.SetItemsProcessed(static_cast<std::int64_t>(simulated));
}
BENCHMARK_CAPTURE(Run, slo_headroom, "slo-headroom")
    ->Arg(5)
    ->Arg(1000)
    ->Unit(::benchmark::kMillisecond);
BENCHMARK_CAPTURE(Run, slo, "slo")->Arg(5)->Arg(1000)->Unit(::benchmark::kMillisecond);
BENCHMARK_CAPTURE(Run, slo_pack_load, "slo-pack-load")
    ->Arg(5)
    ->Arg(1000)
    ->Unit(::benchmark::kMillisecond);
BENCHMARK_CAPTURE(Run, least_request, "least-request")
    ->Arg(5)
    ->Arg(1000)
    ->Unit(::benchmark::kMillisecond);

void BM_MeasureProfile(::benchmark::State& state) {
  while (state.KeepRunning()) ::benchmark::DoNotOptimize(Profile("fast", 1));
}
BENCHMARK(BM_MeasureProfile)->Unit(::benchmark::kMillisecond);

}  // namespace
}  // namespace headrace::sim
