#include "cli/measure_command.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "benchmark/measured_profile.h"
#include "cli/console.h"
#include "cli/profile_options.h"
#include "engine/gpu_catalog.h"
#include "measure/benchmark_file.h"
#include "system/files.h"

namespace headrace::cli {
namespace {

// What an option is when it is not given. Virtual time costs nothing; an endpoint's hours do.
void FillDefaults(MeasureArguments& arguments) {
  const bool emulated = !arguments.gpu.empty();
  const auto fill = [](auto& value, const auto& otherwise) {
    if (value == std::decay_t<decltype(value)>{}) value = otherwise;
  };
  using Lengths = std::vector<Tokens>;
  const benchmark::GridPlan grid = benchmark::EmulatedGrid(arguments.slo, arguments.max_model_len);
  fill(arguments.inputs, emulated ? grid.inputs : Lengths{16, 64, 256, 1024, 4096});
  fill(arguments.outputs, emulated ? grid.outputs : Lengths{4, 16, 64, 256, 1024});
  fill(arguments.lowest_rate, emulated ? 1.0 / 64 : 0.05);
  fill(arguments.highest_rate, emulated ? 16384.0 : 500.0);
  fill(arguments.rate_step, emulated ? 1.05 : 1.2);
  fill(arguments.samples, emulated ? 2000 : 200);
  fill(arguments.output, emulated ? "-" : arguments.deployment + ".jsonl");
}

void Measure(MeasureArguments& arguments) {
  if (arguments.gpu.empty() == arguments.endpoint.empty()) {
    Stop("Say what to measure: either --endpoint URL, or --gpu NAME for an emulated one.");
  }
  if (!arguments.endpoint.empty() && arguments.deployment.empty()) {
    Stop("--deployment is needed with --endpoint: the name that the gateway will know it by.");
  }
  FillDefaults(arguments);
  arguments.gpu.empty() ? MeasureEndpoint(arguments) : MeasureInVirtualTime(arguments);
}

}  // namespace

benchmark::GridPlan PlanOf(const MeasureArguments& arguments, Tokens context) {
  benchmark::GridPlan plan;
  plan.inputs = arguments.inputs;
  plan.outputs = arguments.outputs;
  std::ranges::sort(plan.inputs);
  std::ranges::sort(plan.outputs);
  plan.rates =
      benchmark::RateLadder(arguments.lowest_rate, arguments.highest_rate, arguments.rate_step);
  plan.slo = arguments.slo;
  plan.full = arguments.full_grid;
  if (plan.rates.empty()) Stop("--lowest-rate is above --highest-rate; exchange them.");
  if (context > 0) {
    plan.fits = [context](Tokens input, Tokens output) { return input <= context - output; };
    if (!plan.fits(plan.inputs.front(), plan.outputs.front())) {
      Stop("No cell fits into a context of " + std::to_string(context) +
           " tokens; choose shorter --inputs.");
    }
  }
  return plan;
}

void MeasureInVirtualTime(const MeasureArguments& arguments) {
  std::string text(engine::ShippedGpuCatalog());
  std::string origin = "data/gpus.json";
  if (!arguments.gpus_file.empty()) {
    text = OrStop(system::ReadFile(arguments.gpus_file));
    origin = arguments.gpus_file;
  }
  const engine::GpuCatalog catalog = OrStop(engine::GpuCatalog::Parse(text, origin));
  const engine::EngineConfig engine =
      OrStop(catalog.Engine(arguments.gpu, arguments.model, arguments.max_model_len));

  const benchmark::GridPlan plan = PlanOf(arguments, engine.max_model_len);
  benchmark::Benchmark benchmark = OrStop(benchmark::MeasureEngine(
      engine, plan,
      {.model = arguments.model, .seed = arguments.seed, .samples = arguments.samples}));
  const auto measurements = std::ranges::count(benchmark.rows, benchmark::Metric::kTput,
                                               &benchmark::BenchmarkRow::metric);
  OrStop(system::WriteFile(arguments.output, measure::FormatBenchmark(std::move(benchmark.rows))));
  Print(stderr, std::to_string(measurements) + " measurements of " + arguments.model +
                    " on an emulated " + arguments.gpu + ".\n");
}

void AddMeasure(CLI::App& profile) {
  auto arguments = std::make_shared<MeasureArguments>();
  CLI::App* command =
      profile.add_subcommand("measure",
                             "Measure what a GPU can do over a grid of input tokens, output tokens "
                             "and request rates, and\n"
                             "write the benchmark that `generate` makes a profile from. An "
                             "endpoint's file grows with each\n"
                             "measurement; the same command again goes on where it was.");
  command->add_option("--model", arguments->model, "Model, as requests name it")
      ->required()
      ->type_name("NAME");
  command
      ->add_option("--max-model-len", arguments->max_model_len,
                   "Context length; cells beyond it are left out; default: the engine's own")
      ->check(Quiet(CLI::Range(2, 1 << 24)))
      ->type_name("TOKENS");
  command->add_option("--seed", arguments->seed, "Of arrivals and prompts")->type_name("N");
  command
      ->add_option("-o,--output", arguments->output,
                   "Benchmark JSONL; default: DEPLOYMENT.jsonl, with --gpu stdout")
      ->type_name("FILE");

  constexpr auto kEndpoint = "An endpoint";
  command->add_option("--endpoint", arguments->endpoint, "OpenAI-compatible server")
      ->type_name("URL")
      ->group(kEndpoint);
  command->add_option("--deployment", arguments->deployment, "Its deployment's name")
      ->type_name("NAME")
      ->group(kEndpoint);
  command
      ->add_option("--api", arguments->api,
                   "completions, or chat where there is nothing else (its template adds tokens)")
      ->check(Quiet(CLI::IsMember({"completions", "chat"})))
      ->capture_default_str()
      ->type_name("API")
      ->group(kEndpoint);
  command
      ->add_option("--header", arguments->headers,
                   "More for each request, e.g. \"Authorization: Bearer …\"")
      ->type_name("HEADER")
      ->group(kEndpoint);
  command
      ->add_option("--timeout", arguments->timeout,
                   "Longest time of one request; a rate that exceeds it is not sustained")
      ->check(AboveZero())
      ->transform(InSeconds())
      ->default_str("10m")
      ->type_name("TIME")
      ->group(kEndpoint);

  constexpr auto kEmulated = "An emulated GPU, in virtual time";
  command->add_option("--gpu", arguments->gpu, "GPU type: a10, l20, l4, a40, a100, h100, h200")
      ->type_name("NAME")
      ->group(kEmulated);
  command
      ->add_option("--gpus", arguments->gpus_file,
                   "GPU types and models from this file instead of the built-in data/gpus.json")
      ->type_name("FILE")
      ->group(kEmulated);

  constexpr auto kGrid = "Grid (defaults: of an endpoint / of an emulated GPU)";
  const auto add_lengths = [&](const char* name, std::vector<Tokens>& lengths,
                               const char* description) {
    command->add_option(name, lengths, description)
        ->delimiter(',')
        ->check(Quiet(CLI::Range(1, 1 << 24)))
        ->type_name("TOKENS,…")
        ->group(kGrid);
  };
  add_lengths("--inputs", arguments->inputs,
              "Prompt lengths: 16 … 4096 in powers of 4 / 16 … 8192 in powers of 2");
  add_lengths("--outputs", arguments->outputs,
              "Answer lengths: 4 … 1024 in powers of 4 / in powers of 2");
  const auto add_rate = [&](const char* name, double& rate, const char* description) {
    command->add_option(name, rate, description)
        ->check(AboveZero())
        ->type_name("RATE")
        ->group(kGrid);
  };
  add_rate("--lowest-rate", arguments->lowest_rate,
           "First request rate of the ladder: 0.05 / 1/64 req/s");
  add_rate("--highest-rate", arguments->highest_rate, "Where the ladder ends: 500 / 16384 req/s");
  command->add_option("--rate-step", arguments->rate_step, "Factor between two rates: 1.2 / 1.05")
      ->check(Quiet(CLI::Range(1.001, 100.0)))
      ->type_name("FACTOR")
      ->group(kGrid);
  command
      ->add_option("--samples", arguments->samples,
                   "Requests per measurement, at least, eight times as many if need be: 200 / 2000")
      ->check(Quiet(CLI::Range(20, 1 << 24)))
      ->type_name("N")
      ->group(kGrid);
  command
      ->add_flag("--full-grid", arguments->full_grid,
                 "Every rate of every cell, instead of searching the border of the SLO")
      ->group(kGrid);
  AddSloOptions(*command, arguments->slo);
  command->callback([arguments] { Measure(*arguments); });
}

}  // namespace headrace::cli
