#include <algorithm>
#include <filesystem>
#include <future>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <vector>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/console.h"
#include "cli/options.h"
#include "cli/target.h"
#include "completion/client.h"
#include "load/class_spec.h"
#include "load/load_generator.h"
#include "load/load_report.h"
#include "load/load_table.h"
#include "system/clock.h"
#include "system/files.h"
#include "system/termination.h"
#include "workload/trace_summary.h"

namespace headrace::cli {
namespace {

struct Arguments {
  std::string target = "127.0.0.1:8080";
  std::string model;
  std::string api = "chat";
  std::string workload;
  std::vector<std::string> classes;
  std::vector<double> rates;
  std::vector<double> rate_scales = {1};
  std::vector<std::uint64_t> concurrency;
  std::optional<Seconds> duration;
  std::optional<std::uint64_t> requests;
  std::uint64_t warm_up = 0;
  Seconds timeout = 120;
  std::uint64_t seed = 1;
  std::string policy;
  std::vector<std::string> headers;
  bool whole = false;
  bool send_slo = false;
  bool limit_length = false;
  std::vector<double> percentiles;
  std::string output;
  std::string csv;
};

// What differs between the stages of one run.
struct StagePlan {
  std::optional<double> rate;
  double rate_scale = 1;
  std::uint64_t concurrency = 0;
};

std::vector<StagePlan> PlanStages(const Arguments& arguments) {
  const std::size_t several = std::size_t{arguments.rates.size() > 1} +
                              std::size_t{arguments.rate_scales.size() > 1} +
                              std::size_t{arguments.concurrency.size() > 1};
  if (several > 1) {
    Stop(
        "Give several values to just one of --rate, --rate-scale and --concurrency: each of them "
        "is a stage.",
        kMisused);
  }
  if (!arguments.concurrency.empty() &&
      (!arguments.rates.empty() || arguments.rate_scales != std::vector<double>{1})) {
    Stop(
        "--concurrency sends a request when another one ends, so it has no rate; remove --rate "
        "and --rate-scale.",
        kMisused);
  }
  const auto nth = [](const auto& values, std::size_t i, auto otherwise) {
    return values.empty() ? otherwise : decltype(otherwise)(values[std::min(i, values.size() - 1)]);
  };
  std::vector<StagePlan> stages(std::max(
      {arguments.rates.size(), arguments.rate_scales.size(), arguments.concurrency.size()}));
  for (std::size_t i = 0; i < stages.size(); ++i) {
    stages[i] = {nth(arguments.rates, i, std::optional<double>()),
                 nth(arguments.rate_scales, i, 1.0),
                 nth(arguments.concurrency, i, std::uint64_t{0})};
  }
  return stages;
}

// `says`: what was left out of files.
workload::Workload WorkloadOf(const Arguments& arguments, const StagePlan& stage, bool says) {
  if (arguments.workload.empty()) {
    load::ParsedClasses parsed = OrStop(
        load::ParseClasses(arguments.classes, stage.rate, stage.concurrency > 0, system::ReadFile),
        kMisused);
    for (const std::string& note : parsed.notes) {
      if (says) Print(stderr, note + "\n");
    }
    return std::move(parsed.workload);
  }
  std::string names;
  for (const workload::NamedWorkload& named : workload::NamedWorkloads()) {
    if (named.name == arguments.workload) return named.make();
    names.append(names.empty() ? "" : ", ").append(named.name);
  }
  Stop("There is no workload \"" + arguments.workload + "\"; choose one of " + names +
           ", or describe your own with --class.",
       kMisused);
}

load::LoadOptions OptionsOf(const Arguments& arguments) {
  load::LoadOptions options;
  options.target = TargetAt(arguments.target, arguments.headers);
  options.model = arguments.model;
  options.api =
      arguments.api == "chat" ? openai::ApiKind::kChatCompletions : openai::ApiKind::kCompletions;
  options.seed = arguments.seed;
  options.warm_up = arguments.warm_up;
  // A number of requests alone is all of them, however long they take.
  options.duration = arguments.duration.value_or(arguments.requests ? kNever : 60);
  if (arguments.requests) options.max_requests = *arguments.requests;
  options.timeout = arguments.timeout;
  options.stream = !arguments.whole;
  options.send_slo = arguments.send_slo;
  options.state_length = !arguments.limit_length;
  options.limit_length = arguments.limit_length;
  options.policy = arguments.policy;
  return options;
}

// Ends the program if nothing takes a connection there: it would be an hour of failed requests.
void StopUnlessReached(const completion::Endpoint& target) {
  net::IoThreads threads(1);
  std::promise<completion::Response> promise;
  threads[0].Spawn([&]() -> net::Task<void> {
    completion::Client client(threads[0], target);
    std::string path = "/v1/models";
    promise.set_value(co_await client.Get(std::move(path), system::MonotonicNow() + 10));
  });
  const completion::Response response = promise.get_future().get();
  if (response.error != net::CallError::kConnectFailed &&
      response.error != net::CallError::kConnectTimeout &&
      response.error != net::CallError::kTlsFailed) {
    return;
  }
  Stop(target.url + ": " + completion::Describe(response) +
       "; start the server, or name another one with --target.");
}

// A row per request, if a file for them is named.
class Rows {
 public:
  explicit Rows(const std::string& path) {
    if (path.empty()) return;
    file_ = OrStop(system::OutputFile::OpenInPlace(path));
    file_->Write(load::LoadResultCsvHeader());
    OrStop(file_->Flush());
  }
  void Add(const std::string& row) {
    if (file_) file_->Write(row);
  }
  // So that they are there, whatever ends the program.
  void Flush() {
    if (!file_ || fault_) return;
    if (auto flushed = file_->Flush(); !flushed) fault_ = flushed.error();
  }
  // An error of any row.
  Result<void> Finish() {
    if (fault_) return tl::unexpected(*fault_);
    return file_ ? file_->Finish() : Result<void>();
  }

 private:
  std::optional<system::OutputFile> file_;
  std::optional<Error> fault_;
};

// The stages of a run, one after the other.
class LoadRun {
 public:
  explicit LoadRun(const Arguments& arguments)
      : options_(OptionsOf(arguments)), plan_(PlanStages(arguments)) {
    for (const StagePlan& stage : plan_) {
      workloads_.push_back(WorkloadOf(arguments, stage, workloads_.empty()));
    }
  }

  const load::LoadOptions& options() const { return options_; }
  const std::vector<load::LoadStage>& stages() const { return stages_; }
  std::size_t stages_asked() const { return plan_.size(); }
  std::uint64_t most_open() const {
    return std::ranges::max(plan_, {}, &StagePlan::concurrency).concurrency;
  }

  // A first signal ends the arrivals of the stage, and is its last; a second one breaks off what is
  // open.
  void Run(Rows& rows) {
    system::Termination termination(2);
    net::IoThreads threads(1);
    for (std::size_t i = 0; i < plan_.size() && signals_ == 0; ++i) {
      load::LoadOptions options = options_;
      options.workload = &workloads_[i];
      options.stage = i;
      options.rate_scale = plan_[i].rate_scale;
      options.concurrency = plan_[i].concurrency;
      if (options.duration < kNever) {
        for (const std::string& sentence :
             workload::DescribeReplays(*options.workload, options.duration, options.rate_scale)) {
          Print(stderr, sentence + "\n");
        }
      }
      stages_.push_back({options, RunStage(options, i, threads[0], termination, rows)});
      if (stages_.back().snapshot.given_up) return;
    }
  }

 private:
  load::LoadSnapshot RunStage(const load::LoadOptions& options, std::size_t index,
                              net::IoThread& thread, system::Termination& termination, Rows& rows) {
    load::LoadGenerator load(thread, options, [&](const load::LoadResult& result) {
      rows.Add(load::LoadResultCsvRow(options, index + 1, result));
    });
    const std::string stage = plan_.size() == 1 ? ""
                                                : "stage " + std::to_string(index + 1) + " of " +
                                                      std::to_string(plan_.size()) + ", ";
    load.Start();
    while (!load.Done()) {
      if (termination.Wait(0.2)) {
        if (++signals_ == 1) load.EndArrivals();
        if (signals_ == 2) load.BreakOff();
      }
      thread.Run([&rows] { rows.Flush(); });
      const load::LoadSnapshot snapshot = load.Snapshot();
      status_.Show(stage + load::ProgressText(snapshot, options.duration,
                                              signals_ > 0 || snapshot.elapsed > options.duration));
    }
    status_.Show("");
    thread.Run([&rows] { rows.Flush(); });
    return load.Snapshot();
  }

  const load::LoadOptions options_;
  const std::vector<StagePlan> plan_;
  std::vector<workload::Workload> workloads_;  // By stage.
  std::vector<load::LoadStage> stages_;        // Those that ran.
  StatusLine status_;
  int signals_ = 0;
};

void PrintStage(const load::LoadStage& stage, std::span<const double> percentiles) {
  std::vector<std::string> names;
  for (const workload::WorkloadClass& spec : stage.options.workload->classes) {
    names.push_back(spec.name);
  }
  std::string text = load::LoadTable(names, stage.snapshot, percentiles) + load::RateLine(stage) +
                     load::FailureLines(stage.snapshot);
  for (const std::string& warning : load::LoadWarnings(stage.options, stage.snapshot)) {
    text += warning + "\n";
  }
  Print(stderr, text);
}

// What to do about a server that refuses all requests with this status.
std::string_view FixFor(int status) {
  if (status == 0) return "Look whether the server still runs.";
  if (status >= 500) return "The server itself is at fault: look into its log.";
  return "Check --model, --api, and keys in --header.";
}

// Ends the program if a stage has no result: of the requests that came none was completed.
void StopIfUseless(const load::LoadStage& stage) {
  const load::LoadSnapshot& snapshot = stage.snapshot;
  const bool came = snapshot.offered > 0 || snapshot.given_up;
  if (!came || snapshot.Total().report.completed > 0) return;
  const auto failures = snapshot.CommonestFailures();
  std::string why;
  if (!failures.empty()) {
    const auto& [reason, failure] = failures.front();
    why = ": " + reason + (failure.example.empty() ? "" : ", \"" + failure.example + "\"");
  }
  Stop(stage.options.target.url +
       (snapshot.given_up
            ? " refused the first requests, all of them" + why + "; the load was given up. " +
                  std::string(FixFor(*snapshot.given_up))
            : ": none of " + std::to_string(snapshot.offered) + " requests was completed" + why +
                  "."));
}

// Report and rows would be written over each other.
void StopIfSame(const std::string& report, const std::string& rows) {
  const auto place = [](const std::string& path) {
    std::error_code ignored;
    return std::filesystem::weakly_canonical(path, ignored);
  };
  if (report.empty() || rows.empty() || place(report) != place(rows)) return;
  Stop("-o and --csv are the same place, " + report + "; give each its own.", kMisused);
}

void Load(const Arguments& arguments) {
  LoadRun run(arguments);
  StopIfSame(arguments.output, arguments.csv);
  // A closed loop has one for each request that is to be open.
  const std::uint64_t most_open = run.most_open();
  NeedSockets(std::max(most_open, std::uint64_t{1}),
              most_open == 0 ? "A load" : "--concurrency " + std::to_string(most_open));
  OrStop(system::CheckWritable(arguments.output));
  StopUnlessReached(run.options().target);
  Rows rows(arguments.csv);
  run.Run(rows);

  const bool given = !arguments.percentiles.empty();
  const std::span<const double> in_table =
      given ? std::span<const double>(arguments.percentiles) : load::kTablePercentiles;
  const std::span<const double> in_json =
      given ? std::span<const double>(arguments.percentiles) : workload::kUsualPercentiles;
  for (const load::LoadStage& stage : run.stages()) PrintStage(stage, in_table);
  if (run.stages_asked() > 1) Print(stderr, "\n" + load::StageTable(run.stages(), in_table));
  if (run.stages().size() < run.stages_asked()) {
    Print(stderr, "The load ended in stage " + std::to_string(run.stages().size()) + " of " +
                      std::to_string(run.stages_asked()) + "; the others were not run.\n");
  }
  if (!arguments.output.empty()) {
    OrStop(system::WriteFile(arguments.output,
                             load::LoadReportJson(run.stages(), run.stages_asked(), in_json)));
  }
  OrStop(rows.Finish());
  for (const load::LoadStage& stage : run.stages()) StopIfUseless(stage);
  if (std::ranges::all_of(
          run.stages(), [](const load::LoadStage& stage) { return stage.snapshot.offered == 0; })) {
    const bool left_out = std::ranges::any_of(run.stages(), [](const load::LoadStage& stage) {
      return !stage.snapshot.not_counted.empty();
    });
    Stop(left_out ? "No request was measured: all were left out, as said above."
                  : "No request was measured; give a longer --duration, a higher rate or a smaller "
                    "--warm-up.");
  }
  // Nothing else has the results.
  const bool printed_only = arguments.output.empty() && arguments.csv.empty();
  if (printed_only && IsLost(stderr)) throw CLI::RuntimeError(kFailed);
}

}  // namespace

void AddLoadCommand(CLI::App& app) {
  auto* command =
      app.add_subcommand("load",
                         "Send requests to an OpenAI-compatible server, at a given rate or so many "
                         "at a time, and measure the responses");
  auto arguments = std::make_shared<Arguments>();
  command
      ->add_option("--target", arguments->target,
                   "host:port, http://host[:port] or https://host[:port]")
      ->capture_default_str();
  command->add_option("--model", arguments->model, "The model in the requests")->required();
  command
      ->add_option("--api", arguments->api,
                   "chat, or completions for models without a chat template")
      ->check(Quiet(CLI::IsMember({"chat", "completions"})))
      ->capture_default_str()
      ->type_name("API");
  auto* what = command->add_option_group("what to send")->require_option(1);
  what->add_option("--workload", arguments->workload, "A workload that comes with the program");
  what->add_option("--class", arguments->classes,
                   "A class of requests, e.g. \"chat: rate=7, lengths=sharegpt, tpat=50ms\" or "
                   "\"code: rate=4, cv=2, prompt=4000-4600, output=32-64, ttft=2s\"; rate=, or "
                   "share= of --rate, or trace=FILE with speed=; lengths= may be a CSV file; its "
                   "SLO by ttft=, tpot=, tpat=, ntpot= and e2e=; one option per class")
      ->expected(1)
      ->take_all();
  command
      ->add_option("--rate", arguments->rates,
                   "Requests per second of the classes with share=; several, as in 2,4,8, are "
                   "stages of one run")
      ->delimiter(',')
      ->check(Within(limits::kRate))
      ->type_name("RATE,…");
  command
      ->add_option("--rate-scale", arguments->rate_scales,
                   "Multiplies all rates; several are stages of one run")
      ->delimiter(',')
      ->check(Within(limits::kRate))
      ->default_str("1")
      ->type_name("FACTOR,…");
  command
      ->add_option("--concurrency", arguments->concurrency,
                   "A closed loop: so many requests are open at a time, and rates are shares; "
                   "several are stages of one run")
      ->delimiter(',')
      ->check(Within({1, 100'000}))
      ->type_name("N,…");
  command
      ->add_option("--duration", arguments->duration,
                   "How long requests are sent, e.g. 10m; default: 60s, with --requests no limit")
      ->transform(InSeconds(limits::kDuration))
      ->type_name("TIME");
  command->add_option("--requests", arguments->requests, "How many requests are sent, per stage")
      ->check(Within({1, 1e12}))
      ->type_name("N");
  command
      ->add_option("--warm-up", arguments->warm_up,
                   "So many requests go before, and are in no figure")
      ->check(Within({0, 1e12}))
      ->capture_default_str()
      ->type_name("N");
  command->add_option("--timeout", arguments->timeout, "Of one request, from the time it is sent")
      ->transform(InSeconds(limits::kLatency))
      ->default_str("2m")
      ->type_name("TIME");
  command
      ->add_option("--seed", arguments->seed,
                   "Seed of arrivals, lengths and prompts; another one sends other prompts")
      ->capture_default_str();
  command->add_option("--policy", arguments->policy, "Sent in the routing-strategy header");
  AddHeaderOption(*command, arguments->headers);
  command->add_flag("--no-stream", arguments->whole,
                    "Ask for responses that are not streamed; they have no TTFT and no TPOT");
  command->add_flag("--send-slo", arguments->send_slo,
                    "Send each class's SLO in x-slo-…-ms headers");
  command->add_flag("--max-tokens", arguments->limit_length,
                    "Set the lengths of responses by max_tokens and ignore_eos, for real engines; "
                    "default: by a header of the emulated engine, which the router cannot read");
  command
      ->add_option("--percentiles", arguments->percentiles,
                   "Of the latencies, e.g. 50,95,99.9; default: 50,90,95,99, in tables 50,99")
      ->delimiter(',')
      ->check(Within({0, 100}))
      ->type_name("P,…");
  command->add_option("--output,-o", arguments->output, "Results as JSON; - is standard output");
  command->add_option("--csv", arguments->csv,
                      "One line per request, as CSV, while they end; - is standard output");
  command->callback([arguments] { Load(*arguments); });
}

}  // namespace headrace::cli
