#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "cli/commands.h"
#include "cli/console.h"
#include "config/yaml.h"
#include "profile/gpu_profile.h"
#include "render/table.h"
#include "scenario/goodput.h"
#include "scenario/replay.h"
#include "scenario/report.h"
#include "scenario/scenario.h"
#include "scenario/study.h"
#include "scenario/summary.h"
#include "system/clock.h"
#include "system/files.h"
#include "system/mutex.h"
#include "system/termination.h"

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
  bool goodput = false;
};

// Counts what is done ("runs"). Thread-safe.
class Progress {
 public:
  explicit Progress(std::string what) : what_(std::move(what)) {}
  void Show(std::size_t done, std::size_t all) {
    const system::MutexLock lock(mutex_);
    const Seconds now = system::MonotonicNow();
    if (done < all && now - shown_ < 0.1) return;
    shown_ = now;
    constexpr std::size_t kWidth = 30;
    const std::size_t filled = kWidth * done / all;
    status_.Show(done == all ? ""
                             : "[" + std::string(filled, '#') + std::string(kWidth - filled, '.') +
                                   "] " + std::to_string(done) + " of " + std::to_string(all) +
                                   " " + what_ + ", " + TimeLeft(now - begin_, done, all));
  }

 private:
  const std::string what_;
  const Seconds begin_ = system::MonotonicNow();
  system::Mutex mutex_;
  StatusLine status_ HEADRACE_GUARDED_BY(mutex_);
  Seconds shown_ HEADRACE_GUARDED_BY(mutex_) = 0;
};

// Every *.jsonl of the folder becomes a class in place of the scenario's workload.
void Replay(const std::string& directory, scenario::Scenario& scenario) {
  std::vector<workload::Trace> traces;
  std::vector<std::string> names;
  for (const std::string& file : OrStop(system::ListFiles(directory, ".jsonl"))) {
    const std::string text = OrStop(system::ReadFile(file));
    if (text.find_first_not_of(" \r\n") == std::string::npos) {
      Print(stderr, file + ": no request was recorded; left out\n");
      continue;
    }
    workload::RequestFile requests = OrStop(workload::ReadTrace(text, file));
    for (const std::string& note : requests.notes) Print(stderr, note + "\n");
    traces.push_back(std::move(requests.rows));
    names.push_back(std::filesystem::path(file).stem());
  }
  if (traces.empty()) {
    Stop(directory +
         ": holds no recorded requests (*.jsonl); name the folder that a gateway has recorded to");
  }
  scenario::ReplayTraces(names, std::move(traces), scenario);
}

scenario::Scenario Load(const Arguments& arguments) {
  StatusLine status;
  status.Show("Reading the scenario and measuring its profiles …");
  scenario::Scenario scenario = OrStop(scenario::LoadScenario(
      OrStop(system::ReadSmallFile(arguments.scenario, config::YamlBounds::kBytes)),
      arguments.scenario, system::ReadFile));
  status.Show("");
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

// Asked before the runs, whose results would be lost. Figures are but pictures of them.
void CheckPlaces(const Arguments& arguments, const scenario::Scenario& scenario) {
  const auto check = [&arguments](const std::string& file) {
    OrStop(system::CheckWritable(arguments.out + "/" + file));
  };
  check("summary.json");
  check("report.html");
  if (arguments.goodput) check("goodput.json");
  for (const sim::SimDeployment& deployment : scenario.fleet) {
    if (deployment.profile) check("profile-" + deployment.name + ".json");
  }
  if (arguments.requests) OrStop(system::CheckWritableInPlace(arguments.out + "/requests.csv"));
}

void WriteRequests(const scenario::Study& study, const std::string& path) {
  // A second signal ends the program: what is written by then stays.
  system::OutputFile file = OrStop(system::OutputFile::OpenInPlace(path));
  file.Write(scenario::RequestsCsvHeader());
  scenario::VisitRequests(study, [&](const scenario::Run& run, const sim::RequestRecord& request) {
    file.Write(scenario::FormatRequestCsv(study, run, request));
  });
  OrStop(file.Finish());
}

// False if it was stopped, and has only a part of what was asked for.
bool Compare(const Arguments& arguments) {
  if (!arguments.out.empty()) OrStop(system::PrepareDirectory(arguments.out));
  const system::Interruption interruption;
  scenario::Scenario scenario = Load(arguments);
  if (!arguments.out.empty()) CheckPlaces(arguments, scenario);
  for (const std::string& warning : scenario.warnings) Print(stderr, warning + "\n");
  Print(stderr, scenario::DescribeReplays(scenario));
  std::vector<scenario::FluidBound> bounds;
  for (const double rate : scenario.rates)
    bounds.push_back(scenario::ComputeFluidBound(scenario, rate));
  Print(stderr, scenario::DescribeInstability(scenario, bounds));

  const unsigned threads =
      arguments.threads > 0 ? arguments.threads : std::max(std::thread::hardware_concurrency(), 1u);
  Progress progress("runs");
  const scenario::Study study = scenario::RunStudy(
      scenario, threads,
      [&progress](std::size_t done, std::size_t all) { progress.Show(done, all); }, true,
      &interruption.came());
  const int asked = std::exchange(scenario.seeds, study.seeds);
  const bool stopped = study.seeds < asked;
  if (stopped) {
    const std::string what = "Stopped: ";
    if (study.seeds == 0) Stop(what + "no seed was run with every policy and rate.");
    Print(stderr, what + "the results are of " + std::to_string(study.seeds) + " of " +
                      std::to_string(asked) + " seeds.\n");
  }
  Print(stdout, "Requests that met their SLO, in %: mean and 95 % interval over " +
                    std::to_string(scenario.seeds) + " seeds · % of the upper bound\n\n" +
                    render::RenderText(scenario::AttainmentTable(study)));
  if (scenario.workload.classes.size() > 1) {
    Print(stdout, "\nThe same of the class with the lowest attainment, and its name\n\n" +
                      render::RenderText(scenario::WorstClassTable(study)));
  }
  Print(stderr, scenario::DescribeGroups(study) + scenario::DescribeTooLong(study));
  std::optional<scenario::GoodputSearch> goodput;
  if (arguments.goodput && !stopped) {
    Progress searches("searches for goodput");
    goodput = scenario::SearchGoodput(
        study, threads,
        [&searches](std::size_t done, std::size_t all) { searches.Show(done, all); },
        &interruption.came());
  }
  if (goodput) {
    Print(stdout, "\n" + std::string(scenario::kGoodputCaption) + "\n\n" +
                      render::RenderText(scenario::GoodputTable(scenario, *goodput)));
  } else if (arguments.goodput) {
    Print(stderr, "Stopped: goodput was not searched.\n");
  }
  const bool whole = !stopped && (goodput || !arguments.goodput);
  if (arguments.out.empty()) return whole;

  OrStop(system::WriteFile(arguments.out + "/summary.json", scenario::FormatSummary(study)));
  if (goodput) {
    OrStop(system::WriteFile(arguments.out + "/goodput.json",
                             scenario::FormatGoodput(scenario, *goodput)));
  }
  OrStop(system::WriteFile(arguments.out + "/report.html",
                           scenario::RenderReport(study, goodput ? &*goodput : nullptr)));
  for (const scenario::Figure& figure : scenario::RenderFigures(study)) {
    OrStop(system::WriteFile(arguments.out + "/" + figure.file, figure.svg));
  }
  // The profiles that the scheduler used, measured or given.
  for (const sim::SimDeployment& deployment : scenario.fleet) {
    if (!deployment.profile) continue;
    OrStop(system::WriteFile(arguments.out + "/profile-" + deployment.name + ".json",
                             profile::FormatGpuProfile(*deployment.profile)));
  }
  if (arguments.requests) WriteRequests(study, arguments.out + "/requests.csv");
  return whole;
}

void Simulate(const Arguments& arguments) {
  if (!Compare(arguments)) throw CLI::RuntimeError(kFailed);
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
  command->add_option("--seeds", arguments->seeds, "Number of runs with different random draws")
      ->check(CLI::Range(1, 1000).description(""))
      ->type_name("N");
  command
      ->add_option("--rate-scale", arguments->rates,
                   "Factors on the workload's rates, instead of the scenario's")
      ->delimiter(',')
      ->check(Within(limits::kRate))
      ->type_name("X,…");
  command
      ->add_option("--replay", arguments->replay,
                   "Requests that a gateway recorded (*.jsonl), instead of the workload")
      ->type_name("DIR");
  CLI::Option* const out =
      command->add_option("--out", arguments->out, "Folder for summary.json and the report")
          ->type_name("DIR");
  command->add_flag("--requests", arguments->requests, "Also write every request to requests.csv")
      ->needs(out);
  command->add_flag("--goodput", arguments->goodput,
                    "Also search, for every policy, the highest rate at which 99 and 90 % of the "
                    "requests meet their SLO");
  command->add_option("--threads", arguments->threads, "Parallel runs; 0: one per core")
      ->check(CLI::Range(0, 1024).description(""))
      ->type_name("N");
  command->callback([arguments] { Simulate(*arguments); });
}

}  // namespace headrace::cli
