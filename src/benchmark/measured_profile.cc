#include "benchmark/measured_profile.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace headrace::benchmark {
namespace {

std::vector<Tokens> PowersOfTwo(Tokens lowest, Tokens highest) {
  std::vector<Tokens> powers;
  for (Tokens tokens = lowest; tokens <= highest; tokens *= 2) powers.push_back(tokens);
  return powers;
}

void Scale(std::optional<profile::BucketMatrix>& matrix, double factor) {
  if (!matrix) return;
  for (std::size_t output = 0; output < matrix->outputs(); ++output) {
    for (std::size_t input = 0; input < matrix->inputs(); ++input) {
      matrix->at(output, input) *= factor;
    }
  }
}

}  // namespace

GridPlan EmulatedGrid(const slo::Slo& slo, Tokens context) {
  GridPlan plan;
  plan.inputs = PowersOfTwo(16, 8192);
  plan.outputs = PowersOfTwo(4, 1024);
  plan.rates = RateLadder(1.0 / 64, 16384, 1.05);
  plan.slo = slo;
  plan.fits = [context](Tokens input, Tokens output) { return input <= context - output; };
  return plan;
}

Result<Benchmark> MeasureEngine(const engine::EngineConfig& engine, const GridPlan& plan,
                                const VirtualOptions& measuring) {
  const VirtualEngine virtual_engine(engine, measuring);
  Benchmark benchmark;
  const auto measure = [&](const GridPoint& point, const GridProgress&) -> Result<Measurement> {
    HEADRACE_ASSIGN(const Measurement measured, virtual_engine.Measure(point));
    std::ranges::move(RowsOf(measured, static_cast<std::int64_t>(measuring.seed), measuring.model),
                      std::back_inserter(benchmark.rows));
    return measured;
  };
  HEADRACE_TRY(SearchGrid(plan, measure));
  return benchmark;
}

Result<GeneratedProfile> MeasureProfile(const engine::EngineConfig& engine,
                                        const GenerateOptions& options,
                                        const VirtualOptions& measuring) {
  HEADRACE_ASSIGN(
      const Benchmark benchmark,
      MeasureEngine(engine, EmulatedGrid(options.slo, engine.max_model_len), measuring));
  return GenerateProfile(benchmark, options);
}

profile::GpuProfile WithProfileError(const profile::GpuProfile& profile, double rates,
                                     double latencies) {
  profile::GpuProfile wrong = profile;
  std::optional<profile::BucketMatrix> tput = std::move(wrong.tput);
  Scale(tput, rates);
  wrong.tput = std::move(*tput);
  for (auto* latency : {&wrong.e2e, &wrong.ttft, &wrong.tpot}) Scale(*latency, latencies);
  return wrong;
}

}  // namespace headrace::benchmark
