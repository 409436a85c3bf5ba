#include "benchmark/measured_profile.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "benchmark/virtual_engine.h"

namespace headrace::benchmark {
namespace {

Statistics ToStatistics(const SampleStatistics& sample) {
  return {sample.mean, sample.p50, sample.p90, sample.p99};
}

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
                                const VirtualBenchmark& how) {
  Benchmark benchmark;
  const auto measure = [&](const GridPoint& point) -> Result<RateMeasurement> {
    MeasureCell cell{.input = point.input,
                     .output = point.output,
                     .rate = point.rate,
                     .seed = how.seed,
                     .samples = how.samples};
    auto measured = Measure(engine, cell);
    // So close to saturation the mean depends on luck; look for longer, as at an endpoint.
    for (int i = 0; i < kMostDoublings; ++i) {
      if (!measured || !measured->sustained || measured->e2e_error <= kSettled) break;
      cell.samples *= 2;
      measured = Measure(engine, cell);
    }
    if (!measured) return tl::unexpected(measured.error());
    const RateMeasurement result{
        .tput = measured->tput,
        .tt = measured->tt,
        .e2e = ToStatistics(measured->e2e),
        .ttft = ToStatistics(measured->ttft),
        .tpot = ToStatistics(measured->tpot),
        .samples = measured->samples,
        .sustained = measured->sustained && measured->e2e_error <= kSettled};
    std::ranges::move(RowsOf(point, result, static_cast<std::int64_t>(how.seed), how.model),
                      std::back_inserter(benchmark.rows));
    return result;
  };
  if (auto walked = SearchGrid(plan, measure); !walked) return tl::unexpected(walked.error());
  return benchmark;
}

Result<GeneratedProfile> MeasureProfile(const engine::EngineConfig& engine,
                                        const GenerateOptions& options,
                                        const VirtualBenchmark& how) {
  const auto benchmark =
      MeasureEngine(engine, EmulatedGrid(options.slo, engine.max_model_len), how);
  if (!benchmark) return tl::unexpected(benchmark.error());
  auto generated = GenerateProfile(*benchmark, options);
  if (generated && !profile::HasUsableCell(generated->profile)) {
    return Fail("deployment \"" + options.deployment + "\": no request size meets the SLO (" +
                slo::Describe(options.slo) +
                ") on it at any rate; relax the SLO or take another GPU");
  }
  return generated;
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
