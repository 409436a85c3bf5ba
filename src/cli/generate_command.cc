#include <memory>
#include <optional>
#include <string>

#include "benchmark/benchmark_rows.h"
#include "benchmark/generate.h"
#include "cli/commands.h"
#include "cli/console.h"
#include "cli/options.h"
#include "discovery/stored_profiles.h"
#include "profile/check.h"
#include "profile/gpu_profile.h"
#include "system/clock.h"
#include "system/files.h"

namespace headrace::cli {
namespace {

struct GenerateArguments {
  std::string benchmark;
  std::string target = "-";
  benchmark::GenerateOptions options;
  std::optional<Seconds> created;
};

void Generate(GenerateArguments& arguments) {
  OrStop(discovery::CheckPlace(arguments.options.deployment, arguments.target));
  const std::string name = system::InputName(arguments.benchmark);
  const std::string text = OrStop(system::ReadFile(arguments.benchmark));
  const auto parsed = benchmark::ParseBenchmark(text, name);
  if (!parsed) {
    if (const std::string what = WhatToDoWith(text, name); !what.empty()) Stop(what);
    if (profile::ParseGpuProfile(text, name)) {
      Stop(name + ": is a GPU profile already; see it with `headrace profile show`.");
    }
  }
  const benchmark::Benchmark benchmark = OrStop(parsed);
  arguments.options.created = arguments.created.value_or(system::UnixNow());
  const benchmark::GeneratedProfile generated =
      OrStop(benchmark::GenerateProfile(benchmark, arguments.options));
  Print(stderr, benchmark::DescribeGeneration(benchmark, generated));
  const std::string written =
      OrStop(discovery::WriteProfile(profile::FormatGpuProfile(generated.profile),
                                     arguments.options.deployment, arguments.target));
  for (const profile::ProfileFault& fault :
       profile::CheckProfile(generated.profile, written, system::UnixNow())) {
    Print(stderr, FaultLine(fault));
  }
  if (written != "-") Print(stderr, "Wrote " + written + ".\n");
}

}  // namespace

void AddGenerateCommand(CLI::App& profile) {
  auto arguments = std::make_shared<GenerateArguments>();
  CLI::App* command = profile.add_subcommand(
      "generate",
      "Make a profile from a benchmark: per cell of output and input tokens, the highest request\n"
      "rate at which every SLO is met. The rules and the format are AIBrix's.");
  command
      ->add_option("--benchmark", arguments->benchmark, "Benchmark JSONL, gzip or plain; - = stdin")
      ->required()
      ->type_name("FILE");
  benchmark::GenerateOptions& options = arguments->options;
  command->add_option("--deployment", options.deployment, "The measured deployment")
      ->required()
      ->type_name("NAME");
  command->add_option("--cost", options.cost, "Price of one unit of GPU time")
      ->check(Within(limits::kPrice))
      ->capture_default_str()
      ->type_name("PRICE");
  AddSloOptions(*command, options.slo);
  command->add_option("--created", arguments->created, "Unix time of creation; default: now")
      ->check(Within(limits::kUnixTime))
      ->type_name("T");
  AddProfileTarget(*command, arguments->target);
  command->callback([arguments] { Generate(*arguments); });
}

}  // namespace headrace::cli
