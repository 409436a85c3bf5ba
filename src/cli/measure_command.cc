#include <algorithm>
#include <atomic>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/text.h"
#include "benchmark/grid_search.h"
#include "benchmark/measured_profile.h"
#include "cli/commands.h"
#include "cli/console.h"
#include "cli/options.h"
#include "cli/target.h"
#include "measure/benchmark_file.h"
#include "measure/endpoint_benchmark.h"
#include "measure/endpoint_grid.h"
#include "slo/slo_text.h"
#include "system/clock.h"
#include "system/files.h"
#include "system/termination.h"

namespace headrace::cli {
namespace {

// A share of the prompts' tokens in the engine's cache that is worth a sentence.
constexpr double kMostCached = 0.05;

struct Arguments {
  // An emulated GPU, in virtual time …
  std::string gpu;
  std::string gpus_file;
  // … or an endpoint.
  std::string endpoint;
  std::string deployment;
  std::string api = "completions";
  std::vector<std::string> headers;
  Seconds timeout = 600;

  std::string model;
  Tokens max_model_len = 0;  // 0 = the engine's own.
  std::vector<Tokens> inputs;
  std::vector<Tokens> outputs;
  double lowest_rate = 0;
  double highest_rate = 0;
  double rate_step = 0;
  int samples = 0;
  std::uint64_t seed = 0;
  bool full_grid = false;
  slo::Slo slo;
  std::string output;
};

// Defaults of options that were not given: a coarser grid for an endpoint, whose time is expensive.
void FillDefaults(Arguments& arguments) {
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

// The grid of the arguments; cells beyond `context` tokens are left out.
benchmark::GridPlan PlanOf(const Arguments& arguments, Tokens context) {
  benchmark::GridPlan plan;
  plan.inputs = arguments.inputs;
  plan.outputs = arguments.outputs;
  std::ranges::sort(plan.inputs);
  std::ranges::sort(plan.outputs);
  plan.rates =
      benchmark::RateLadder(arguments.lowest_rate, arguments.highest_rate, arguments.rate_step);
  plan.slo = arguments.slo;
  plan.full = arguments.full_grid;
  if (plan.rates.empty()) Stop("--lowest-rate is above --highest-rate; swap them.", kMisused);
  if (context > 0) {
    plan.fits = [context](Tokens input, Tokens output) { return input <= context - output; };
    if (!plan.fits(plan.inputs.front(), plan.outputs.front())) {
      Stop("No cell fits into a context of " + std::to_string(context) +
           " tokens; choose shorter --inputs.");
    }
  }
  return plan;
}

void MeasureInVirtualTime(const Arguments& arguments) {
  OrStop(system::CheckWritable(arguments.output));
  const engine::EngineConfig engine =
      OrStop(ReadGpuCatalog(arguments.gpus_file)
                 .Engine(arguments.gpu, arguments.model, arguments.max_model_len));

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

measure::EndpointOptions OptionsOf(const Arguments& arguments) {
  measure::EndpointOptions options;
  options.target = TargetAt(arguments.endpoint, arguments.headers);
  options.model = arguments.model;
  options.api =
      arguments.api == "chat" ? openai::ApiKind::kChatCompletions : openai::ApiKind::kCompletions;
  options.seed = arguments.seed;
  // Never the same twice: an engine still has the prompts of the last measurement.
  options.prompt_seed = std::random_device()();
  options.samples = arguments.samples;
  options.timeout = arguments.timeout;
  options.slo = arguments.slo;
  return options;
}

// While it lives: stops the benchmark at SIGINT or SIGTERM, and shows the progress of the running
// measurement.
class Watcher {
 public:
  Watcher(system::Termination& termination, measure::EndpointBenchmark& benchmark,
          StatusLine& status)
      : thread_([this, &termination, &benchmark, &status] {
          while (!done_ && !stopped_) {
            if (termination.Wait(0.5)) {
              stopped_ = true;
              benchmark.Stop();
              continue;
            }
            const measure::EndpointProgress progress = benchmark.Progress();
            status.Show(progress.wanted == 0
                            ? "  warming up, " + std::to_string(progress.finished) + " requests"
                            : "  " + std::to_string(progress.finished) + " of " +
                                  std::to_string(progress.wanted) + " requests");
          }
        }) {}
  ~Watcher() { Finish(); }
  // Shows nothing from here on. Returns whether it stopped the benchmark.
  bool Finish() {
    done_ = true;
    if (thread_.joinable()) thread_.join();
    return stopped_;
  }

 private:
  std::atomic<bool> done_{false};
  std::atomic<bool> stopped_{false};
  std::thread thread_;
};

// What the measurements do not say themselves, of a benchmark that was stopped, too.
void PrintFindings(const measure::EndpointBenchmark& benchmark, std::size_t overloaded) {
  std::string near;
  for (const measure::NearPrompt& prompt : benchmark.NearPrompts()) {
    near += (near.empty() ? "" : ", ") + std::to_string(prompt.asked) + " were " +
            std::to_string(prompt.got);
  }
  if (!near.empty()) {
    Print(stderr, "The endpoint's tokenizer allows no exact length of some prompts; in tokens, " +
                      near + ".\n");
  }
  if (const double cached = benchmark.Progress().CachedShare(); cached > kMostCached) {
    Print(stderr, FormatPercent(cached) +
                      " % of the prompt tokens came from the engine's prefix cache, so the "
                      "latencies are those of shorter prompts. Start the engine without prefix "
                      "caching, and measure again into another file.\n");
  }
  if (overloaded > 0) {
    Print(stderr,
          "In " + std::to_string(overloaded) +
              " measurements this client could not send on time, so they found the client's limit "
              "and not the endpoint's. Run it on a separate machine, or lower --highest-rate.\n");
  }
}

void MeasureEndpoint(const Arguments& arguments) {
  NeedSockets(1, "profile measure");
  const measure::EndpointOptions options = OptionsOf(arguments);
  OrStop(system::CheckWritable(arguments.output));
  system::Termination termination;
  net::IoThreads threads(1);
  measure::EndpointBenchmark benchmark(threads[0], options);
  Tokens context = OrStop(benchmark.ContextLength());
  if (arguments.max_model_len > 0) context = arguments.max_model_len;
  const benchmark::GridPlan plan = PlanOf(arguments, context);
  measure::BenchmarkFile file = OrStop(measure::BenchmarkFile::Open(
      arguments.output, {.model = arguments.model,
                         .deployment = arguments.deployment,
                         .slo = slo::DescribeWithPercentile(arguments.slo)}));
  const auto measurements = [&file] { return std::to_string(file.measurements()); };
  if (file.measurements() > 0) {
    Print(stderr,
          "Continuing after " + measurements() + " measurements in " + arguments.output + ".\n");
  }

  StatusLine status;
  const Seconds begin = system::MonotonicNow();
  std::optional<std::size_t> first_cell;  // Of those that this run measures.
  std::size_t overloaded = 0;
  const auto report = [&](const benchmark::Measurement& measured,
                          const benchmark::GridProgress& progress) {
    const auto [done, cells] = progress;
    if (!first_cell) first_cell = done;
    overloaded += measured.ClientOverloaded();
    const std::string left =
        TimeLeft(system::MonotonicNow() - begin, done - *first_cell, cells - *first_cell);
    status.Print("[" + std::to_string(done) + "/" + std::to_string(cells) +
                 (left.empty() ? "" : ", " + left) + "] " +
                 measure::Describe(measured, arguments.slo));
  };
  Watcher watcher(termination, benchmark, status);
  const auto measured = measure::MeasureGrid(plan, benchmark, file, arguments.seed, report);
  const bool stopped = watcher.Finish();
  status.Show("");
  PrintFindings(benchmark, overloaded);
  if (!measured) {
    Stop((stopped ? "Stopped." : measured.error().message) + " " + measurements() +
         " measurements are kept in " + arguments.output + "; the same command continues there.");
  }
  Print(stderr, measurements() + " measurements, " + std::to_string(benchmark.Progress().sent) +
                    " requests, in " + arguments.output +
                    ". Now:\n  headrace profile generate --benchmark " + arguments.output +
                    " --deployment " + arguments.deployment + " … -o profiles/\n");
}

void Measure(Arguments& arguments) {
  if (arguments.gpu.empty() == arguments.endpoint.empty()) {
    Stop("Name what to measure: either --endpoint URL, or --gpu NAME for an emulated GPU.",
         kMisused);
  }
  if (!arguments.endpoint.empty() && arguments.deployment.empty()) {
    Stop(
        "--deployment is needed with --endpoint: the deployment's name in the gateway's "
        "configuration.",
        kMisused);
  }
  FillDefaults(arguments);
  arguments.gpu.empty() ? MeasureEndpoint(arguments) : MeasureInVirtualTime(arguments);
}

}  // namespace

void AddMeasureCommand(CLI::App& profile) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command =
      profile.add_subcommand("measure",
                             "Measure a GPU over a grid of input tokens, output tokens and request "
                             "rates, and write the\n"
                             "benchmark that `generate` makes a profile from. An endpoint's file "
                             "grows with each\n"
                             "measurement; the same command continues an interrupted one.");
  command->add_option("--model", arguments->model, "The model's name in requests")
      ->required()
      ->type_name("NAME");
  command
      ->add_option("--max-model-len", arguments->max_model_len,
                   "Context length; cells beyond it are left out; default: the engine's own")
      ->check(Quiet(CLI::Range(2, 1 << 24)))
      ->type_name("TOKENS");
  command
      ->add_option("--seed", arguments->seed, "Seed of the arrivals; prompts are new in every run")
      ->type_name("N");
  command
      ->add_option("-o,--output", arguments->output,
                   "Benchmark JSONL; default: DEPLOYMENT.jsonl, with --gpu stdout")
      ->type_name("FILE");

  constexpr auto kEndpoint = "An endpoint";
  command
      ->add_option("--endpoint", arguments->endpoint,
                   "OpenAI-compatible server: host:port, http://host[:port] or https://host[:port]")
      ->type_name("URL")
      ->group(kEndpoint);
  command->add_option("--deployment", arguments->deployment, "The deployment's name")
      ->type_name("NAME")
      ->group(kEndpoint);
  command
      ->add_option("--api", arguments->api,
                   "completions, or chat if the server has nothing else (its template adds tokens)")
      ->check(Quiet(CLI::IsMember({"completions", "chat"})))
      ->capture_default_str()
      ->type_name("API")
      ->group(kEndpoint);
  AddHeaderOption(*command, arguments->headers)->group(kEndpoint);
  command
      ->add_option(
          "--timeout", arguments->timeout,
          "Longest time of one request; a rate at which requests exceed it is not sustained")
      ->transform(InSeconds(limits::kLatency))
      ->default_str("10m")
      ->type_name("TIME")
      ->group(kEndpoint);

  constexpr auto kEmulated = "An emulated GPU, in virtual time";
  command->add_option("--gpu", arguments->gpu, "GPU type: a10, l20, l4, a40, a100, h100, h200")
      ->type_name("NAME")
      ->group(kEmulated);
  AddGpusOption(*command, arguments->gpus_file)->group(kEmulated);

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
              "Response lengths: 4 … 1024 in powers of 4 / in powers of 2");
  const auto add_rate = [&](const char* name, double& rate, const char* description) {
    command->add_option(name, rate, description)
        ->check(Within(limits::kRate))
        ->type_name("RATE")
        ->group(kGrid);
  };
  add_rate("--lowest-rate", arguments->lowest_rate,
           "First request rate of the ladder: 0.05 / 1/64 req/s");
  add_rate("--highest-rate", arguments->highest_rate,
           "Last request rate of the ladder: 500 / 16384 req/s");
  command->add_option("--rate-step", arguments->rate_step, "Factor between two rates: 1.2 / 1.05")
      ->check(Within({1.001, 100}))
      ->type_name("FACTOR")
      ->group(kGrid);
  command
      ->add_option(
          "--samples", arguments->samples,
          "Least requests per measurement, up to eight times as many if needed: 200 / 2000")
      ->check(Quiet(CLI::Range(20, 1 << 24)))
      ->type_name("N")
      ->group(kGrid);
  command
      ->add_flag("--full-grid", arguments->full_grid,
                 "Every rate of every cell, instead of a search for the highest that meets the SLO")
      ->group(kGrid);
  AddSloOptions(*command, arguments->slo);
  command->callback([arguments] { Measure(*arguments); });
}

}  // namespace headrace::cli
