#include "sim/measured_profile.h"

#include <utility>

#include "engine/measure.h"

namespace headrace {
namespace {

void AddRows(const MeasureCell& cell, const CellMeasurement& measured, Benchmark& benchmark) {
  BenchmarkRow row;
  row.input_tokens = cell.input;
  row.output_tokens = cell.output;
  row.request_rate = cell.rate;
  row.seed = static_cast<std::int64_t>(cell.seed);
  row.samples = measured.samples;
  const auto add = [&](Metric metric, const Statistics& value) {
    row.metric = metric;
    row.value = value;
    benchmark.rows.push_back(row);
  };
  const auto all = [](const SampleStatistics& sample) {
    return Statistics{sample.mean, sample.p50, sample.p90, sample.p99};
  };
  add(Metric::kTput, {.mean = measured.tput});
  add(Metric::kTt, {.mean = measured.tt});
  add(Metric::kE2e, all(measured.e2e));
  add(Metric::kTtft, all(measured.ttft));
  add(Metric::kTpot, all(measured.tpot));
}

void Scale(std::optional<BucketMatrix>& matrix, double factor) {
  if (!matrix) return;
  for (std::size_t output = 0; output < matrix->outputs(); ++output) {
    for (std::size_t input = 0; input < matrix->inputs(); ++input) {
      matrix->at(output, input) *= factor;
    }
  }
}

}  // namespace

Result<GeneratedProfile> MeasureProfile(const EngineConfig& engine, const MeasureGrid& grid,
                                        const GenerateOptions& options) {
  Benchmark benchmark;
  for (const Tokens output : grid.outputs) {
    for (const Tokens input : grid.inputs) {
      if (input + output > engine.max_model_len) continue;
      for (const double rate : grid.rates) {
        const MeasureCell cell{.input = input,
                               .output = output,
                               .rate = rate,
                               .seed = grid.seed,
                               .samples = grid.samples};
        const auto measured = Measure(engine, cell);
        if (!measured) return tl::unexpected(measured.error());
        AddRows(cell, *measured, benchmark);
        if (!measured->sustained) break;
      }
    }
  }
  auto generated = GenerateProfile(benchmark, options);
  if (generated && !HasUsableCell(generated->profile)) {
    return Fail("deployment \"" + options.deployment + "\": no request size meets the SLO (" +
                Describe(options.slo) + ") on it at any rate; relax the SLO or take another GPU");
  }
  return generated;
}

GpuProfile WithProfileError(const GpuProfile& profile, double rates, double latencies) {
  GpuProfile wrong = profile;
  std::optional<BucketMatrix> tput = std::move(wrong.tput);
  Scale(tput, rates);
  wrong.tput = std::move(*tput);
  for (auto* latency : {&wrong.e2e, &wrong.ttft, &wrong.tpot}) Scale(*latency, latencies);
  return wrong;
}

}  // namespace headrace
