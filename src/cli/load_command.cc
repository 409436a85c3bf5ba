#include <fstream>
#include <future>
#include <memory>
#include <optional>
#include <string>
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

workload::Workload WorkloadOf(const Arguments& arguments) {
  if (arguments.workload.empty()) {
    load::ParsedClasses parsed =
        OrStop(load::ParseClasses(arguments.classes, arguments.rate, system::ReadFile), kMisused);
    for (const std::string& note : parsed.notes) Print(stderr, note + "\n");
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

load::LoadOptions OptionsOf(const Arguments& arguments, const workload::Workload& workload) {
  load::LoadOptions options;
  options.target = TargetAt(arguments.target, arguments.headers);
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
  return options;
}

// Rewritten in place on a terminal, else a line every ten seconds. On standard error: the results
// may go to standard output.
class Progress {
 public:
  void Show(const load::LoadSnapshot& snapshot, const std::string& text) {
    status_.Show(text);
    if (status_.live() || snapshot.elapsed < next_) return;
    next_ = snapshot.elapsed + 10;
    Print(stderr, text + "\n");
  }

 private:
  StatusLine status_;
  Seconds next_ = 10;
};

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

// Writes a row per request to `rows` if that is open.
load::LoadSnapshot Run(const load::LoadOptions& options, std::ofstream& rows) {
  system::Termination termination;
  net::IoThreads threads(1);
  load::LoadGenerator load(threads[0], options, [&](const load::LoadResult& result) {
    if (rows.is_open()) rows << load::LoadResultCsvRow(options, result);
  });
  Progress progress;
  load.Start();
  for (bool draining = false; !load.Done();) {
    if (termination.Wait(0.2)) {
      draining = true;
      load.EndArrivals();
    }
    const load::LoadSnapshot snapshot = load.Snapshot();
    progress.Show(snapshot, load::ProgressText(snapshot, options.duration,
                                               draining || snapshot.elapsed > options.duration));
  }
  // By then the last row is written.
  threads[0].Run([&rows] { rows.close(); });
  return load.Snapshot();
}

void Load(const Arguments& arguments) {
  const workload::Workload workload = WorkloadOf(arguments);
  const load::LoadOptions options = OptionsOf(arguments, workload);
  StopUnlessReached(options.target);
  std::ofstream rows;
  if (!arguments.requests.empty()) {
    rows.open(arguments.requests, std::ios::trunc);
    if (!rows) Stop(arguments.requests + ": cannot be written; name a file in an existing folder.");
    rows << load::LoadResultCsvHeader();
  }
  RaiseConnectionLimit();
  const load::LoadSnapshot snapshot = Run(options, rows);

  std::vector<std::string> names;
  for (const workload::WorkloadClass& spec : workload.classes) names.push_back(spec.name);
  Print(stderr, load::LoadTable(names, snapshot) + load::FailureLines(snapshot));
  if (load::ClientOverloaded(snapshot)) {
    Print(stderr, "The client could not keep up: 1 % of the requests were sent more than " +
                      FormatDuration(snapshot.send_lag.Quantile(0.99)) +
                      " late. Use a lower rate, or several clients.\n");
  }
  if (!arguments.output.empty()) {
    OrStop(system::WriteFile(arguments.output, load::LoadReportJson(options, snapshot)));
  }
  std::uint64_t completed = 0;
  for (const load::LoadCounts& counts : snapshot.classes) completed += counts.report.completed;
  if (snapshot.offered > 0 && completed == 0) {
    Stop(arguments.target + ": none of " + std::to_string(snapshot.offered) +
         " requests was completed; see the reasons above, and whether the server serves " +
         arguments.model + ".");
  }
}

}  // namespace

void AddLoadCommand(CLI::App& app) {
  auto* command = app.add_subcommand(
      "load",
      "Send requests to an OpenAI-compatible server at a given rate and measure the responses");
  auto arguments = std::make_shared<Arguments>();
  command
      ->add_option("--target", arguments->target,
                   "host:port, http://host[:port] or https://host[:port]")
      ->capture_default_str();
  command->add_option("--model", arguments->model, "The model in the requests")->required();
  auto* what = command->add_option_group("what to send")->require_option(1);
  what->add_option("--workload", arguments->workload, "A workload that comes with the program");
  what->add_option("--class", arguments->classes,
                   "A class of requests, e.g. \"chat: rate=7, lengths=sharegpt, tpat=50ms\" or "
                   "\"code: rate=4, cv=2, prompt=4000-4600, output=32-64, ttft=2s\"; rate=, or "
                   "share= of --rate, or trace=FILE with speed=; lengths= may be a CSV file; its "
                   "SLO by ttft=, tpot=, tpat=, ntpot= and e2e=; one option per class")
      ->expected(1)
      ->take_all();
  command->add_option("--rate", arguments->rate, "Requests per second of the classes with share=")
      ->check(Within(limits::kRate));
  command->add_option("--rate-scale", arguments->rate_scale, "Multiplies all rates")
      ->check(Within(limits::kRate))
      ->capture_default_str();
  command->add_option("--duration", arguments->duration, "How long requests are sent, e.g. 10m")
      ->transform(InSeconds(limits::kDuration))
      ->default_str("60s")
      ->type_name("TIME");
  command->add_option("--timeout", arguments->timeout, "Of one request, from the time it is due")
      ->transform(InSeconds(limits::kLatency))
      ->default_str("2m")
      ->type_name("TIME");
  command->add_option("--max-requests", arguments->max_requests, "Also ends the arrivals")
      ->check(Within({1, 1e12}))
      ->capture_default_str();
  command->add_option("--seed", arguments->seed, "Seed of arrivals and lengths")
      ->capture_default_str();
  command->add_option("--policy", arguments->policy, "Sent in the routing-strategy header");
  AddHeaderOption(*command, arguments->headers);
  command->add_flag("--no-stream", arguments->whole, "Ask for responses that are not streamed");
  command->add_flag("--send-slo", arguments->send_slo,
                    "Send each class's SLO in x-slo-…-ms headers");
  command->add_flag("--max-tokens", arguments->limit_length,
                    "Set the lengths of responses by max_tokens and ignore_eos, for real engines; "
                    "default: by a header of the emulated engine, which the router cannot read");
  command->add_option("--output,-o", arguments->output, "Results as JSON; - is standard output");
  command->add_option("--requests", arguments->requests, "One line per request, as CSV");
  command->callback([arguments] { Load(*arguments); });
}

}  // namespace headrace::cli
