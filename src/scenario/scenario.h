// What `headrace simulate` runs: a fleet, a workload, and the policies that route between them.
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

// What routes: the scheduler with a routing policy, or a baseline that no router can be.
struct Policy {
  enum class Kind {
    kScheduler,
    kBestSplit,  // Each endpoint belongs to one class (or group of them, class_groups.h): the best
                 // of all such splits, in hindsight.
    kTypeSplit,  // The same, but each GPU type belongs to one class.
    kOnly,       // Everything to one deployment, by least-request.
    kClairvoyant,  // Knows every response's length and each engine's future.
  };
  std::string name;
  Kind kind = Kind::kScheduler;
  // Of the scheduler:
  const routing::PolicyInfo* router = nullptr;
  predict::LengthOptions::Summary length = predict::LengthOptions::Summary::kQuantile;
  double quantile = 0.9;
  bool exact_lengths = false;
  bool per_request_slo = true;
  bool deadline_wakeups = true;
  bool first_tokens = true;
  bool kv_room = true;
  scheduler::Experiment experiment;
  std::size_t deployment = 0;  // Of kOnly.

  bool IsSplit() const { return kind == Kind::kBestSplit || kind == Kind::kTypeSplit; }
};

struct Scenario {
  std::string name;
  std::string about;
  std::string model;
  std::vector<sim::SimDeployment> fleet;
  workload::Workload workload;
  scheduler::SchedulerOptions scheduler;  // Without what a policy sets.
  Seconds warm_up = 60;
  Seconds duration = 600;  // At rate 1.
  // The workload is a recording that is replayed to its end: at twice the rate in half the time.
  bool replay = false;
  Seconds drain = 300;
  std::vector<sim::EndpointFault> faults;
  Seconds state_lag = 0;
  int replicas = 1;
  Seconds replica_lag = 0;
  std::vector<double> rates = {1};  // Factors on every class's rate.
  int seeds = 5;
  std::vector<Policy> policies;
  // What does not keep it from running; one sentence each, with the place in the file.
  std::vector<std::string> warnings;

  Seconds DurationAt(double rate) const { return replay ? duration / rate : duration; }
  // Of the fleet: where responses are cut.
  Tokens LongestContext() const;
};

// Reads a file that a scenario names; gzip is unpacked.
using FileReader = std::function<Result<std::string>(const std::string& path)>;

// Reads a scenario (YAML; docs/simulation.md) and everything it names, and measures the profiles
// that are to be measured. Its paths are relative to its folder. The error holds every fault, one
// per line: `file:line: what is wrong; the fix`.
Result<Scenario> LoadScenario(std::string_view text, const std::string& file_name,
                              const FileReader& read_file);

// A policy by its name: one of the routing policies or variants, `best-split`, `type-split`,
// `clairvoyant` or `only-<deployment>`. An error lists the names.
Result<Policy> FindPolicy(std::string_view name, const Scenario& scenario);

// An error if the policy is a split and the fleet cannot be split, or has too many splits to try.
Result<void> CheckPolicy(const Policy& policy, const Scenario& scenario);

// The simulation of one policy at one rate with one seed; `scenario` must outlive it. Not for
// splits.
sim::SimulationSpec SpecOf(const Scenario& scenario, const Policy& policy, double rate,
                           std::uint64_t seed);

}  // namespace headrace::scenario
