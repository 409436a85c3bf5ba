#include "cli/options.h"

#include <optional>
#include <string_view>

#include "benchmark/benchmark_rows.h"
#include "benchmark/import_results.h"
#include "cli/console.h"
#include "config/yaml.h"
#include "discovery/stored_profiles.h"
#include "profile/check.h"
#include "routing/policy.h"
#include "system/files.h"
#include "system/open_files.h"

namespace headrace::cli {

Result<config::Config> LoadConfigFile(const std::string& path) {
  HEADRACE_ASSIGN(const std::string text, ReadConfigFile(path));
  return ParseConfig(text, path);
}

Result<std::string> ReadConfigFile(const std::string& path) {
  return system::ReadSmallFile(path, config::YamlBounds::kBytes);
}

Result<config::Config> ParseConfig(std::string_view text, const std::string& path) {
  return config::LoadConfig(text, path, PolicyNames(), config::ProcessEnvironment);
}

std::vector<std::string_view> PolicyNames() {
  std::vector<std::string_view> names;
  for (const routing::PolicyInfo& policy : routing::Policies()) names.push_back(policy.name);
  return names;
}

CLI::Option* AddGpusOption(CLI::App& command, std::string& file) {
  return command
      .add_option("--gpus", file,
                  "GPU types and models from this file instead of the built-in data/gpus.json")
      ->type_name("FILE");
}

engine::GpuCatalog ReadGpuCatalog(const std::string& file) {
  if (file.empty()) {
    return OrStop(engine::GpuCatalog::Parse(engine::ShippedGpuCatalog(), "data/gpus.json"));
  }
  return OrStop(engine::GpuCatalog::Parse(OrStop(system::ReadFile(file)), file));
}

CLI::Option* AddHeaderOption(CLI::App& command, std::vector<std::string>& headers) {
  const auto has_colon = [](const std::string& header) {
    return header.find(':') == header.npos
               ? "header \"" + header + "\" has no colon; write it like \"Name: value\""
               : "";
  };
  return command
      .add_option("--header", headers,
                  "One more header for each request, e.g. \"Authorization: Bearer …\"; repeatable")
      ->expected(1)
      ->take_all()
      ->check(CLI::Validator(has_colon, ""))
      ->type_name("HEADER");
}

void NeedSockets(std::uint64_t sockets, const std::string& what) {
  constexpr std::uint64_t kOthers = 16;
  system::RaiseOpenFiles();
  const std::size_t most = system::MostOpenFiles();
  if (sockets + kOthers <= most) return;
  Stop(what + " needs " + std::to_string(sockets + kOthers) +
       " open files and sockets, and this process may have " + std::to_string(most) +
       "; raise that (ulimit -n).");
}

void AddSloOptions(CLI::App& command, slo::Slo& slo) {
  command
      .add_option("--percentile", slo.percentile,
                  "Statistic that the latency SLOs bound: 50, 90, 95, 99, or 0 = the mean")
      ->check(Quiet(CLI::IsMember({0, 50, 90, 95, 99})))
      ->capture_default_str()
      ->type_name("P");
  constexpr auto kSloGroup = "SLO (TIME: seconds, or with a unit: 50ms, 1.5s)";
  const auto add_latency = [&](const char* name, std::optional<Seconds>& target,
                               const char* description) {
    command.add_option(name, target, description)
        ->transform(InSeconds(limits::kLatency))
        ->type_name("TIME")
        ->group(kSloGroup);
  };
  add_latency("--e2e", slo.e2e, "Arrival to last token");
  add_latency("--ttft", slo.ttft, "Arrival to first token");
  add_latency("--tpot", slo.tpot, "Between two output tokens");
  add_latency("--tpat", slo.tpat, "E2E per prompt and output token");
  add_latency("--ntpot", slo.ntpot, "E2E per output token");
  const auto add_throughput = [&](const char* name, std::optional<double>& target,
                                  const char* description) {
    command.add_option(name, target, description)
        ->check(Within(limits::kMeasured))
        ->type_name("RATE")
        ->group(kSloGroup);
  };
  add_throughput("--tput", slo.tput, "At least this many requests finished per second");
  add_throughput("--tt", slo.tt, "At least this many output tokens per second");
}

void AddPlaces(CLI::App& command, std::vector<std::string>& places) {
  command.add_option("places", places, "Files, directories of *.json, redis[s]://HOST[?model=M]")
      ->required()
      ->type_name("PLACE");
}

CLI::Option* AddProfileTarget(CLI::App& command, std::string& target) {
  return command
      .add_option("-o,--output", target,
                  "File, DIRECTORY/ (→ NAME.json in it) or redis[s]://HOST?model=M; - = stdout")
      ->capture_default_str()
      ->type_name("TARGET");
}

std::string WhatToDoWith(std::string_view text, const std::string& name) {
  const std::optional<std::string_view> tool = benchmark::ToolOfResults(text);
  if (!tool) {
    const std::string_view other = benchmark::OtherFormOfResults(text);
    return other.empty() ? "" : name + ": " + std::string(other) + ".";
  }
  return name + ": is a result of " + std::string(*tool) +
         "; make a benchmark of it with `headrace profile import results " + name +
         " -o benchmark.jsonl`, and a profile of that with `headrace profile generate`.";
}

std::vector<render::ProfileView> ViewProfiles(const std::vector<std::string>& places, Seconds now,
                                              std::FILE* errors, std::size_t& refused) {
  std::vector<render::ProfileView> views;
  for (const discovery::StoredProfile& stored : OrStop(discovery::ReadProfiles(places))) {
    if (!stored.parsed) {
      ++refused;
      std::string what = WhatToDoWith(stored.text, stored.origin);
      if (what.empty() && benchmark::ParseBenchmark(stored.text, stored.origin)) {
        what = stored.origin +
               ": is a benchmark; make a profile of it with `headrace profile generate "
               "--benchmark " +
               stored.origin + " --deployment NAME`.";
      }
      Print(errors, "refused  " + (what.empty() ? stored.parsed.error().message : what) + "\n");
      continue;
    }
    views.push_back({.profile = stored.parsed->profile,
                     .origin = stored.origin,
                     .faults = profile::AllFaults(*stored.parsed, stored.origin, now),
                     .model = stored.model});
  }
  return views;
}

std::string FaultLine(const profile::ProfileFault& fault) {
  const bool error = fault.severity == profile::ProfileFault::Severity::kError;
  return (error ? "error    " : "warning  ") + fault.message + "\n";
}

}  // namespace headrace::cli
