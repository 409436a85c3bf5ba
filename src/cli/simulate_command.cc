#include "cli/simulate_command.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/text.h"
#include "cli/console.h"
#include "profile/gpu_profile.h"
#include "render/table.h"
#include "scenario/report.h"
#include "scenario/scenario.h"
#include "scenario/study.h"
#include "scenario/summary.h"
#include "system/files.h"

namespace headrace::cli {
namespace {

struct Arguments {
  std::string scenario;
  std::vector<std::string> policies;
  std::vector<double> rates;
  int seeds = 0;  // 0 = the scenario's.
  std::string out;
  std::string replay;
  unsigned threads = 0;  // 0 = all cores.
  bool requests = false;
};

// One line on a terminal that counts the runs and guesses when they are done; nothing elsewhere.
class ProgressLine {
 public:
  // Until the first run is done.
  void Say(const std::string& what) const {
    if (is_terminal_) std::fprintf(stderr, "\r\033[K%s", what.c_str());
  }
  void Show(std::size_t done, std::size_t all) {
    if (!is_terminal_) return;
    const std::scoped_lock lock(mutex_);
    const auto now = std::chrono::steady_clock::now();
    const std::chrono::duration<double> elapsed = now - begin_;
    if (done < all && now - shown_ < std::chrono::milliseconds(100)) return;
    shown_ = now;
    constexpr std::size_t kWidth = 30;
    const std::size_t filled = kWidth * done / all;
    const double left =
        elapsed.count() * static_cast<double>(all - done) / static_cast<double>(done);
    std::fprintf(stderr, "\r[%s%s] %zu of %zu runs, %s left   ", std::string(filled, '#').c_str(),
                 std::string(kWidth - filled, '.').c_str(), done, all,
                 FormatDuration(left).c_str());
    if (done == all) std::fprintf(stderr, "\r\033[K");
  }

 private:
  const bool is_terminal_ = isatty(STDERR_FILENO) == 1;
  const std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
  std::chrono::steady_clock::time_point shown_ = begin_;
  std::mutex mutex_;
};

// The recording takes the place of the scenario's workload: every *.jsonl of the folder is a class.
// Its end is the last request's, its rate the recorded one.
void Replay(const std::string& directory, scenario::Scenario& scenario) {
  std::vector<std::filesystem::path> files;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(directory, error)) {
    if (entry.path().extension() == ".jsonl") files.push_back(entry.path());
  }
  if (error) {
    Stop(directory + ": no folder to read (" + error.message() +
         "); give the one that a gateway has recorded to");
  }
  std::ranges::sort(files);
  std::vector<workload::Trace> traces;
  std::vector<std::string> names;
  for (const auto& file : files) {
    const std::string text = OrStop(system::ReadFile(file));
    if (text.find_first_not_of(" \r\n") == std::string::npos) {
      Print(stderr, file.string() + ": nothing came while it was recorded; left out\n");
      continue;
    }
    traces.push_back(OrStop(workload::ParseTrace(text, file.string())));
    names.push_back(file.stem());
  }
  if (traces.empty()) {
    Stop(directory +
         ": there are no recorded requests (*.jsonl) in it; give the folder that a gateway has "
         "recorded to");
  }
  workload::BeginAtZero(traces);
  const std::optional<slo::Slo> slo =
      scenario.scheduler.slo ? scenario.scheduler.slo : scenario.workload.classes.front().slo;
  scenario.workload.classes.clear();
  scenario.replay = true;
  scenario.rates = {1};
  scenario.warm_up = 0;
  scenario.duration = 1;
  for (std::size_t i = 0; i < traces.size(); ++i) {
    scenario.duration = std::max(scenario.duration, traces[i].back().at + 1);
    scenario.workload.classes.push_back(
        {.name = names[i],
         .arrivals = workload::ReplayArrivals{std::make_shared<const workload::Trace>(
             std::move(traces[i]))},
         .lengths = workload::TraceLengths{},
         .slo = slo,
         .rate_changes = {}});
  }
}

scenario::Scenario Load(const Arguments& arguments, const ProgressLine& progress) {
  progress.Say("Reading the scenario and measuring its profiles …");
  auto loaded = system::ReadFile(arguments.scenario).and_then([&](const std::string& text) {
    return scenario::LoadScenario(text, arguments.scenario,
                                  [](const std::string& path) { return system::ReadFile(path); });
  });
  progress.Say("");
  scenario::Scenario scenario = OrStop(std::move(loaded));
  if (!arguments.policies.empty()) {
    std::vector<scenario::Policy> chosen;
    for (const std::string& name : arguments.policies) {
      chosen.push_back(OrStop(scenario::FindPolicy(name, scenario)));
    }
    scenario.policies = std::move(chosen);
  }
  if (!arguments.replay.empty()) Replay(arguments.replay, scenario);
  if (!arguments.rates.empty()) scenario.rates = arguments.rates;
  if (arguments.seeds > 0) scenario.seeds = arguments.seeds;
  for (const scenario::Policy& policy : scenario.policies) {
    OrStop(scenario::CheckPolicy(policy, scenario));
  }
  return scenario;
}

void WriteRequests(const scenario::Study& study, const std::string& path) {
  system::OutputFile file = OrStop(system::OutputFile::Open(path));
  file.Write(scenario::RequestsCsvHeader());
  scenario::VisitRequests(study, [&](const scenario::Run& run, const sim::RequestRecord& request) {
    file.Write(scenario::FormatRequestCsv(study, run, request));
  });
  OrStop(file.Finish());
}

// Makes the folder, before anything is run for it.
void PrepareFolder(const std::string& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (!std::filesystem::is_directory(folder) || access(folder.c_str(), W_OK) != 0) {
    Stop(folder + ": no folder that can be written to; name another with --out");
  }
}

void Compare(const Arguments& arguments) {
  if (!arguments.out.empty()) PrepareFolder(arguments.out);
  ProgressLine progress;
  const scenario::Scenario scenario = Load(arguments, progress);
  std::vector<scenario::FluidBound> bounds;
  for (const double rate : scenario.rates)
    bounds.push_back(scenario::ComputeFluidBound(scenario, rate));
  std::fputs(scenario::DescribeInstability(scenario, bounds).c_str(), stderr);

  const unsigned threads =
      arguments.threads > 0 ? arguments.threads : std::max(std::thread::hardware_concurrency(), 1u);
  const scenario::Study study = scenario::RunStudy(
      scenario, threads,
      [&progress](std::size_t done, std::size_t all) { progress.Show(done, all); });
  Print(stdout, "Requests that met their SLO, in %: mean and 95 % interval over " +
                    std::to_string(scenario.seeds) + " seeds · % of the upper bound\n\n" +
                    render::RenderText(scenario::AttainmentTable(study)));
  if (arguments.out.empty()) return;

  OrStop(system::WriteFile(arguments.out + "/summary.json", scenario::FormatSummary(study)));
  OrStop(system::WriteFile(arguments.out + "/report.html", scenario::RenderReport(study)));
  for (const scenario::Figure& figure : scenario::RenderFigures(study)) {
    OrStop(system::WriteFile(arguments.out + "/" + figure.file, figure.svg));
  }
  // What the scheduler believed, measured or given.
  for (const sim::SimDeployment& deployment : scenario.fleet) {
    if (!deployment.profile) continue;
    OrStop(system::WriteFile(arguments.out + "/profile-" + deployment.name + ".json",
                             profile::FormatGpuProfile(*deployment.profile)));
  }
  if (arguments.requests) WriteRequests(study, arguments.out + "/requests.csv");
}

}  // namespace

void AddSimulateCommand(CLI::App& app) {
  CLI::App* const command =
      app.add_subcommand("simulate", "Compare policies on a fleet and a workload in virtual time");
  const auto arguments = std::make_shared<Arguments>();
  command->add_option("--scenario", arguments->scenario, "The scenario file (YAML)")
      ->required()
      ->type_name("FILE");
  command
      ->add_option("--policy", arguments->policies,
                   "Policies, variants and baselines to compare, instead of the scenario's")
      ->delimiter(',')
      ->type_name("NAME,…");
  command->add_option("--seeds", arguments->seeds, "Runs with different draws")
      ->check(CLI::Range(1, 1000).description(""))
      ->type_name("N");
  command
      ->add_option("--rate-scale", arguments->rates,
                   "Factors on the workload's rates, instead of the scenario's")
      ->delimiter(',')
      ->check(CLI::Range(1e-6, 1e6).description(""))
      ->type_name("X,…");
  command
      ->add_option("--replay", arguments->replay,
                   "Requests that a gateway recorded (*.jsonl), instead of the workload")
      ->type_name("DIR");
  CLI::Option* const out =
      command->add_option("--out", arguments->out, "Where summary.json and the report go")
          ->type_name("DIR");
  command->add_flag("--requests", arguments->requests, "Write every request to requests.csv, too")
      ->needs(out);
  command->add_option("--threads", arguments->threads, "Runs at a time; 0: one per core")
      ->check(CLI::Range(0, 1024).description(""))
      ->type_name("N");
  command->callback([arguments] { Compare(*arguments); });
}

}  // namespace headrace::cli
