#include "cli/load_command.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/console.h"
#include "cli/target.h"
#include "load/class_spec.h"
#include "load/load_generator.h"
#include "load/load_report.h"
#include "load/load_table.h"
#include "system/files.h"
#include "system/termination.h"

namespace headrace::cli {
namespace {

struct Arguments {
  std::string target = "127.0.0.1:8080";
  std::string model;
  std::string workload;
  std::vector<std::string> classes;
  std::optional<double> rate;
  double rate_scale = 1;
  Seconds duration = 60;
  Seconds timeout = 120;
  std::uint64_t max_requests = 1'000'000;
  std::uint64_t seed = 1;
  std::string policy;
  std::vector<std::string> headers;
  bool whole = false;
  bool send_slo = false;
  bool limit_length = false;
  std::string output;
  std::string requests;
};

Result<workload::Workload> WorkloadOf(const Arguments& arguments) {
  if (arguments.workload.empty()) {
    return load::ParseClasses(arguments.classes, arguments.rate, system::ReadFile);
  }
  std::string names;
  for (const workload::NamedWorkload& named : workload::NamedWorkloads()) {
    if (named.name == arguments.workload) return named.make();
    names.append(names.empty() ? "" : ", ").append(named.name);
  }
  return Fail("there is no workload \"" + arguments.workload + "\"; there are " + names +
              ", or describe your own with --class");
}

Result<load::LoadOptions> OptionsOf(const Arguments& arguments,
                                    const workload::Workload& workload) {
  load::LoadOptions options;
  const auto target = ParseTarget(arguments.target).and_then(system::Resolve);
  if (!target) return tl::unexpected(target.error());
  for (const std::string& header : arguments.headers) {
    if (header.find(':') == header.npos) {
      return Fail("header \"" + header + "\" has no colon; write it like \"Name: value\"");
    }
  }
  options.target = *target;
  options.model = arguments.model;
  options.workload = &workload;
  options.seed = arguments.seed;
  options.rate_scale = arguments.rate_scale;
  options.duration = arguments.duration;
  options.max_requests = arguments.max_requests;
  options.timeout = arguments.timeout;
  options.stream = !arguments.whole;
  options.send_slo = arguments.send_slo;
  options.state_length = !arguments.limit_length;
  options.limit_length = arguments.limit_length;
  options.policy = arguments.policy;
  options.headers = arguments.headers;
  return options;
}

// On a terminal in place, else a line every ten seconds. On standard error: the results may go to
// standard output.
class ProgressLine {
 public:
  void Show(const load::LoadSnapshot& snapshot, Seconds duration, bool draining) {
    const bool live = isatty(STDERR_FILENO) != 0;
    if (!live && snapshot.elapsed < next_) return;
    next_ = snapshot.elapsed + 10;
    workload::ClassReport all;
    for (const load::LoadCounts& counts : snapshot.classes) all.Merge(counts.report);
    const std::uint64_t failed = all.failed + all.timed_out;
    const std::uint64_t ended = all.completed + all.refused + failed;
    const double met =
        ended == 0 ? 0 : 100 * static_cast<double>(all.attained) / static_cast<double>(ended);
    std::fprintf(stderr,
                 "%s%.0f of %.0f s%s: %llu sent, %llu open, %llu refused, %llu failed or late, "
                 "SLO met by %.1f %% of what has ended%s",
                 live ? "\r\x1b[K" : "", snapshot.elapsed, duration, draining ? " (draining)" : "",
                 static_cast<unsigned long long>(snapshot.offered),
                 static_cast<unsigned long long>(snapshot.open),
                 static_cast<unsigned long long>(all.refused),
                 static_cast<unsigned long long>(failed), met, live ? "" : "\n");
    shown_ = live;
  }
  void End() const {
    if (shown_) std::fprintf(stderr, "\n");
  }

 private:
  Seconds next_ = 10;
  bool shown_ = false;
};

Result<void> Load(const Arguments& arguments) {
  const auto workload = WorkloadOf(arguments);
  if (!workload) return tl::unexpected(workload.error());
  const auto options = OptionsOf(arguments, *workload);
  if (!options) return tl::unexpected(options.error());
  std::ofstream rows;
  if (!arguments.requests.empty()) {
    rows.open(arguments.requests, std::ios::trunc);
    if (!rows) {
      return Fail(arguments.requests + " can't be written; give a file in a folder that exists");
    }
    rows << load::LoadResultCsvHeader();
  }
  RaiseConnectionLimit();
  system::Termination termination;
  net::IoThreads threads(1);
  load::LoadSnapshot final;
  {
    load::LoadGenerator load(threads[0], *options, [&](const load::LoadResult& result) {
      if (rows.is_open()) rows << load::LoadResultCsvRow(*options, result);
    });
    ProgressLine progress;
    load.Start();
    for (bool draining = false; !load.Done();) {
      if (termination.Wait(0.2)) {
        draining = true;
        load.EndArrivals();
      }
      const load::LoadSnapshot snapshot = load.Snapshot();
      progress.Show(snapshot, options->duration, draining || snapshot.elapsed > options->duration);
    }
    progress.End();
    final = load.Snapshot();
    // The last rows are written by then.
    threads[0].Run([&] { rows.close(); });
  }
  std::vector<std::string> names;
  for (const workload::WorkloadClass& spec : workload->classes) names.push_back(spec.name);
  std::fprintf(stderr, "%s%s", load::LoadTable(names, final).c_str(),
               load::FailureLines(final).c_str());
  if (load::ClientOverloaded(final)) {
    std::fprintf(stderr,
                 "The client could not keep up: 1 %% of the requests were sent more than %.0f ms "
                 "late. Use a lower rate, or several clients.\n",
                 final.send_lag.Quantile(0.99) * 1e3);
  }
  if (arguments.output.empty()) return {};
  return system::WriteFile(arguments.output, load::LoadReportJson(*options, final));
}

}  // namespace

void AddLoadCommand(CLI::App& app) {
  auto* command = app.add_subcommand(
      "load", "Send requests to an OpenAI-compatible server, whatever it answers, and measure");
  auto arguments = std::make_shared<Arguments>();
  command->add_option("--target", arguments->target, "host:port or http://host:port")
      ->capture_default_str();
  command->add_option("--model", arguments->model, "The model to ask for")->required();
  auto* what = command->add_option_group("what to send")->require_option(1);
  what->add_option("--workload", arguments->workload, "A workload that comes with the program");
  what->add_option("--class", arguments->classes,
                   "A class of requests, e.g. \"chat: rate=7, lengths=sharegpt, tpat=50ms\" or "
                   "\"code: rate=4, cv=2, prompt=4000-4600, output=32-64, ttft=2s\"; rate=, or "
                   "share= of --rate, or trace=FILE with speed=; lengths= may be a CSV file; give "
                   "the option once a class")
      ->expected(1)
      ->take_all();
  command->add_option("--rate", arguments->rate, "Of the classes with share=, requests per second")
      ->check(AboveZero());
  command->add_option("--rate-scale", arguments->rate_scale, "Multiplies all rates")
      ->check(AboveZero())
      ->capture_default_str();
  command->add_option("--duration", arguments->duration, "How long requests arrive, e.g. 10m")
      ->transform(InSeconds())
      ->default_str("60s");
  command->add_option("--timeout", arguments->timeout, "Of each request, from when it is due")
      ->transform(InSeconds())
      ->default_str("2m");
  command->add_option("--max-requests", arguments->max_requests, "Ends the arrivals as well")
      ->check(AboveZero())
      ->capture_default_str();
  command->add_option("--seed", arguments->seed, "Of arrivals and lengths")->capture_default_str();
  command->add_option("--policy", arguments->policy, "Sent as routing-strategy");
  command->add_option("--header", arguments->headers, "Sent as well: \"Name: value\"")
      ->expected(1)
      ->take_all();
  command->add_flag("--no-stream", arguments->whole, "Ask for whole answers");
  command->add_flag("--send-slo", arguments->send_slo,
                    "Send each class's promises as x-slo-…-ms headers");
  command->add_flag("--max-tokens", arguments->limit_length,
                    "Have the answers' lengths by max_tokens and ignore_eos, for real engines and "
                    "where the router may know; otherwise by the emulated engine's header");
  command->add_option("--output,-o", arguments->output, "Results as JSON; - is standard output");
  command->add_option("--requests", arguments->requests, "A line for each request, as CSV");
  command->callback([arguments] {
    if (const auto loaded = Load(*arguments); !loaded) {
      std::fprintf(stderr, "headrace load: %s\n", loaded.error().message.c_str());
      throw CLI::RuntimeError(1);
    }
  });
}

}  // namespace headrace::cli
