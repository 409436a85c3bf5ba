#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "benchmark/import.h"
#include "benchmark/import_results.h"
#include "cli/commands.h"
#include "cli/console.h"
#include "cli/options.h"
#include "discovery/stored_profiles.h"
#include "measure/benchmark_file.h"
#include "system/clock.h"
#include "system/files.h"

namespace headrace::cli {
namespace {

struct AiConfiguratorArguments {
  std::vector<std::string> files;
  std::string parallel;
  std::string output = "-";
};

void Import(const AiConfiguratorArguments& arguments) {
  OrStop(system::CheckWritable(arguments.output));
  std::vector<benchmark::BenchmarkRow> rows;
  for (const std::string& file : arguments.files) {
    const std::string text = OrStop(system::ReadFile(file));
    const auto added =
        OrStop(benchmark::ImportAiConfigurator(text, system::InputName(file), arguments.parallel));
    for (const std::string& note : added.notes) Print(stderr, note + "\n");
    rows.insert(rows.end(), added.rows.begin(), added.rows.end());
  }
  OrStop(system::WriteFile(arguments.output, measure::FormatBenchmark(std::move(rows))));
  Print(stderr, "These are predictions without percentiles: use `generate` with --percentile 0.\n");
}

struct ResultsArguments {
  std::vector<std::string> files;
  std::string model;
  std::string output = "-";
};

void Import(const ResultsArguments& arguments) {
  OrStop(system::CheckWritable(arguments.output));
  std::vector<benchmark::BenchmarkRow> rows;
  for (const std::string& file : arguments.files) {
    const std::string text = OrStop(system::ReadFile(file));
    const auto added =
        OrStop(benchmark::ImportResults(text, system::InputName(file), arguments.model));
    for (const std::string& note : added.notes) Print(stderr, note + "\n");
    if (!rows.empty() && rows.front().model != added.rows.front().model) {
      Stop(file + ": is of the model " + added.rows.front().model + ", those before of " +
           rows.front().model + "; import one model's results at a time, or give --model.");
    }
    rows.insert(rows.end(), added.rows.begin(), added.rows.end());
  }
  OrStop(system::WriteFile(arguments.output, measure::FormatBenchmark(std::move(rows))));
}

struct MelangeArguments {
  std::string file;
  std::string gpu;
  std::string deployment;
  std::vector<Tokens> inputs;
  std::vector<Tokens> outputs;
  std::string output = "-";
};

void Import(const MelangeArguments& arguments) {
  for (const std::vector<Tokens>* axis : {&arguments.inputs, &arguments.outputs}) {
    if (std::ranges::adjacent_find(*axis, std::greater_equal<>()) != axis->end()) {
      Stop("--inputs and --outputs must be in ascending order, as the rows and columns are.",
           kMisused);
    }
  }
  const std::string& deployment =
      arguments.deployment.empty() ? arguments.gpu : arguments.deployment;
  OrStop(discovery::CheckPlace(deployment, arguments.output));
  const std::string text = OrStop(system::ReadFile(arguments.file));
  profile::GpuProfile profile = OrStop(benchmark::ImportMelange(
      text, system::InputName(arguments.file), arguments.gpu, arguments.inputs, arguments.outputs));
  if (!arguments.deployment.empty()) profile.deployment = arguments.deployment;
  profile.created = system::UnixNow();
  OrStop(discovery::WriteProfile(profile::FormatGpuProfile(profile), profile.deployment,
                                 arguments.output));
  Print(stderr,
        "The table has no latencies: requests cannot be ranked by SLO with this profile.\n");
}

}  // namespace

void AddImportCommand(CLI::App& profile) {
  CLI::App* import = profile.add_subcommand("import", "Convert the figures of other tools.");
  import->require_subcommand(1);

  auto aiconfigurator = std::make_shared<AiConfiguratorArguments>();
  CLI::App* table = import->add_subcommand(
      "aiconfigurator",
      "NVIDIA AIConfigurator's pareto.csv or best_config_topn.csv, one per pair of lengths,\n"
      "as a benchmark for `generate`.");
  table->add_option("files", aiconfigurator->files, "Tables")->required()->type_name("FILE");
  table
      ->add_option("--parallel", aiconfigurator->parallel,
                   "The configuration if the table has several: tp2pp1dp1")
      ->type_name("NAME");
  table->add_option("-o,--output", aiconfigurator->output, "Benchmark JSONL; - = stdout")
      ->capture_default_str()
      ->type_name("FILE");
  table->callback([aiconfigurator] { Import(*aiconfigurator); });

  auto results = std::make_shared<ResultsArguments>();
  CLI::App* runs = import->add_subcommand(
      "results",
      "Results of vllm bench serve, guidellm (benchmarks.json) or aiperf\n"
      "(profile_export_aiperf.json), all of one deployment, as a benchmark for `generate`.");
  runs->add_option("files", results->files, "Result files")->required()->type_name("FILE");
  runs->add_option("--model", results->model, "The model's name, instead of the files'")
      ->type_name("NAME");
  runs->add_option("-o,--output", results->output, "Benchmark JSONL; - = stdout")
      ->capture_default_str()
      ->type_name("FILE");
  runs->callback([results] { Import(*results); });

  auto melange = std::make_shared<MelangeArguments>();
  CLI::App* solver = import->add_subcommand(
      "melange", "One GPU's throughput table of Mélange's input, as a profile without latencies.");
  solver->add_option("file", melange->file, "Mélange's JSON")->required()->type_name("FILE");
  solver->add_option("--gpu", melange->gpu, "Its name in the file")->required()->type_name("NAME");
  solver->add_option("--deployment", melange->deployment, "Its deployment; default: the GPU's name")
      ->type_name("NAME");
  const auto add_axis = [&](const char* name, std::vector<Tokens>& axis, const char* description) {
    solver->add_option(name, axis, description)
        ->required()
        ->delimiter(',')
        ->check(Quiet(CLI::Range(1, 1 << 24)))
        ->type_name("TOKENS,…");
  };
  add_axis("--inputs", melange->inputs, "The prompt lengths of its rows");
  add_axis("--outputs", melange->outputs, "The response lengths of its columns");
  AddProfileTarget(*solver, melange->output);
  solver->callback([melange] { Import(*melange); });
}

}  // namespace headrace::cli
