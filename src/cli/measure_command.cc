#include "cli/measure_command.h"

#include <algorithm>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "cli/files.h"
#include "cli/profile_options.h"
#include "engine/gpu_catalog.h"
#include "engine/measure.h"
#include "profile/benchmark.h"
#include "profile/grid_search.h"

namespace headrace {
namespace {

struct Arguments {
  std::string gpu;
  std::string gpus_file;
  Tokens max_model_len = 0;
  std::string model;
  std::vector<Tokens> inputs = {16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192};
  std::vector<Tokens> outputs = {4, 8, 16, 32, 64, 128, 256, 512, 1024};
  double lowest_rate = 1.0 / 64;
  double highest_rate = 16384;
  double rate_step = 1.05;
  int samples = 1000;
  std::uint64_t seed = 0;
  bool full_grid = false;
  Slo slo;
  std::string output = "-";
};

Statistics ToStatistics(const SampleStatistics& sample) {
  return {sample.mean, sample.p50, sample.p90, sample.p99};
}

Result<RateMeasurement> MeasureEmulated(const EngineConfig& engine, const Arguments& arguments,
                                        const GridPoint& point) {
  const auto measured = Measure(engine, {.input = point.input,
                                         .output = point.output,
                                         .rate = point.rate,
                                         .seed = arguments.seed,
                                         .samples = arguments.samples});
  if (!measured) return tl::unexpected(measured.error());
  return RateMeasurement{.tput = measured->tput,
                         .tt = measured->tt,
                         .e2e = ToStatistics(measured->e2e),
                         .ttft = ToStatistics(measured->ttft),
                         .tpot = ToStatistics(measured->tpot),
                         .samples = measured->samples,
                         .sustained = measured->sustained && measured->e2e_error <= kSettled};
}

GridPlan PlanOf(const Arguments& arguments) {
  GridPlan plan;
  plan.inputs = arguments.inputs;
  plan.outputs = arguments.outputs;
  std::ranges::sort(plan.inputs);
  std::ranges::sort(plan.outputs);
  plan.rates = RateLadder(arguments.lowest_rate, arguments.highest_rate, arguments.rate_step);
  plan.slo = arguments.slo;
  plan.full = arguments.full_grid;
  if (plan.rates.empty()) Stop("--lowest-rate is above --highest-rate; exchange them.");
  return plan;
}

// By cell and rate, so that the first row of a cell is its most relaxed one: a generator takes the
// latencies of a cell that meets no SLO from there.
std::string Format(std::vector<BenchmarkRow> rows) {
  std::ranges::sort(rows, {}, [](const BenchmarkRow& row) {
    return std::tuple(row.output_tokens, row.input_tokens, row.request_rate, row.metric);
  });
  std::string text;
  for (const BenchmarkRow& row : rows) text += FormatBenchmarkRow(row);
  return text;
}

void MeasureInVirtualTime(const Arguments& arguments) {
  std::string text(ShippedGpuCatalog());
  std::string origin = "data/gpus.json";
  if (!arguments.gpus_file.empty()) {
    text = OrStop(ReadFile(arguments.gpus_file));
    origin = arguments.gpus_file;
  }
  const GpuCatalog catalog = OrStop(GpuCatalog::Parse(text, origin));
  const EngineConfig engine =
      OrStop(catalog.Engine(arguments.gpu, arguments.model, arguments.max_model_len));

  GridPlan plan = PlanOf(arguments);
  plan.fits = [&engine](Tokens input, Tokens output) {
    return input <= engine.max_model_len - output;
  };
  std::vector<BenchmarkRow> rows;
  std::size_t measurements = 0;
  const auto measure = [&](const GridPoint& point) {
    auto measured = MeasureEmulated(engine, arguments, point);
    if (!measured) return measured;
    ++measurements;
    auto added =
        RowsOf(point, *measured, static_cast<std::int64_t>(arguments.seed), arguments.model);
    std::ranges::move(added, std::back_inserter(rows));
    return measured;
  };
  if (auto walked = SearchGrid(plan, measure); !walked) Stop(walked.error().message);
  if (rows.empty()) Stop("No length fits into the engine's context; choose shorter ones.");
  if (auto written = WriteFile(arguments.output, Format(std::move(rows))); !written) {
    Stop(written.error().message);
  }
  Print(stderr, std::to_string(measurements) + " measurements of " + arguments.model +
                    " on an emulated " + arguments.gpu + ".\n");
}

}  // namespace

void AddMeasure(CLI::App& profile) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command =
      profile.add_subcommand("measure",
                             "Measure what a GPU can do over a grid of input tokens, output tokens "
                             "and request rates, and\n"
                             "write the benchmark that `generate` makes a profile from.");
  command->add_option("--gpu", arguments->gpu, "An emulated GPU type, in virtual time")
      ->required()
      ->type_name("NAME");
  command->add_option("--model", arguments->model, "Model")->required()->type_name("NAME");
  command
      ->add_option("--max-model-len", arguments->max_model_len,
                   "Context length of the emulated engine; the model's own if not given")
      ->check(Quiet(CLI::Range(2, 1 << 24)))
      ->type_name("TOKENS");
  command
      ->add_option("--gpus", arguments->gpus_file,
                   "GPU types and models from this file instead of the built-in data/gpus.json")
      ->type_name("FILE");
  constexpr auto kGrid = "Grid";
  const auto add_lengths = [&](const char* name, std::vector<Tokens>& lengths,
                               const char* description) {
    command->add_option(name, lengths, description)
        ->delimiter(',')
        ->check(Quiet(CLI::Range(1, 1 << 24)))
        ->capture_default_str()
        ->type_name("TOKENS,…")
        ->group(kGrid);
  };
  add_lengths("--inputs", arguments->inputs, "Prompt lengths");
  add_lengths("--outputs", arguments->outputs, "Answer lengths");
  const auto add_rate = [&](const char* name, double& rate, const char* description) {
    command->add_option(name, rate, description)
        ->check(Quiet(CLI::PositiveNumber))
        ->capture_default_str()
        ->type_name("RATE")
        ->group(kGrid);
  };
  add_rate("--lowest-rate", arguments->lowest_rate, "First request rate of the ladder, req/s");
  add_rate("--highest-rate", arguments->highest_rate, "Where the ladder ends");
  command->add_option("--rate-step", arguments->rate_step, "Factor between two rates")
      ->check(Quiet(CLI::Range(1.001, 100.0)))
      ->capture_default_str()
      ->type_name("FACTOR")
      ->group(kGrid);
  command->add_flag("--full-grid", arguments->full_grid,
                    "Every rate of every cell, instead of searching the border of the SLO");
  command->add_option("--samples", arguments->samples, "Requests per measurement, at least")
      ->check(Quiet(CLI::Range(10, 1 << 24)))
      ->capture_default_str()
      ->type_name("N");
  command->add_option("--seed", arguments->seed, "Of the arrivals")->capture_default_str();
  AddSloOptions(*command, arguments->slo);
  command->add_option("-o,--output", arguments->output, "Benchmark JSONL; - = stdout")
      ->capture_default_str()
      ->type_name("FILE");
  command->callback([arguments] { MeasureInVirtualTime(*arguments); });
}

}  // namespace headrace
