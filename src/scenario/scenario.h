// What `headrace simulate` is asked: a fleet, a workload, and who routes between them.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "predict/length_predictor.h"
#include "sim/simulation.h"
#include "workload/workload.h"

namespace headrace::scenario {

// Who routes: the scheduler under some policy, or a yardstick that no router can be.
struct Contender {
  enum class Kind {
    kScheduler,
    kBestSplit,    // Each endpoint belongs to one class: the best of all such splits, in hindsight.
    kTypeSplit,    // The same, but each GPU type belongs to one class.
    kOnly,         // Everything to one deployment, by least-request.
    kClairvoyant,  // Knows every answer's length and each engine's future.
  };
  std::string name;
  Kind kind = Kind::kScheduler;
  // Of the scheduler:
  const routing::PolicyInfo* policy = nullptr;
  predict::LengthOptions::Summary length = predict::LengthOptions::Summary::kQuantile;
  double quantile = 0.9;
  bool exact_lengths = false;
  bool redraw_lengths = false;
  bool per_request_slo = true;
  bool deadline_wakeups = true;
  std::size_t deployment = 0;  // Of kOnly.
};

struct Scenario {
  std::string name;
  std::string about;
  std::string model;
  std::vector<sim::SimDeployment> fleet;
  workload::Workload workload;
  scheduler::SchedulerOptions scheduler;  // All but what a contender says.
  Seconds warm_up = 60;
  Seconds duration = 600;  // At rate 1.
  // The workload is a recording, to be replayed to its end: at twice the rate in half the time.
  bool replay = false;
  Seconds drain = 300;
  std::vector<sim::Disturbance> disturbances;
  Seconds state_lag = 0;
  std::vector<double> rates = {1};  // Factors on every class's rate.
  int seeds = 5;
  std::vector<Contender> contenders;

  Seconds DurationAt(double rate) const { return replay ? duration / rate : duration; }
};

// Reads a file that a scenario names; gzip is unpacked.
using FileReader = std::function<Result<std::string>(const std::string& path)>;

// Reads a scenario (YAML; docs/simulation.md) and everything it names, and measures the profiles
// that it wants measured. Paths in it count from its own folder. The error holds every fault, a
// line each: `file:line: what is wrong; the mend`.
Result<Scenario> LoadScenario(std::string_view text, const std::string& file_name,
                              const FileReader& read_file);

// A contender by its name: one of the policies, `best-split`, `type-split`, `clairvoyant` or
// `only-<deployment>`. An error lists the names.
Result<Contender> FindContender(std::string_view name, const Scenario& scenario);

// An error when the contender is a split and the fleet cannot be split among the classes, or in
// more ways than could be tried.
Result<void> CheckContender(const Contender& contender, const Scenario& scenario);

// What one contender does with one rate and seed; `scenario` must outlive it. Not for splits.
sim::SimulationSpec SpecOf(const Scenario& scenario, const Contender& contender, double rate,
                           std::uint64_t seed);

}  // namespace headrace::scenario
