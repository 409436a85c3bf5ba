// Runs a scenario: every policy at every rate with every seed.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "scenario/bounds.h"
#include "scenario/class_groups.h"
#include "scenario/mode_bound.h"
#include "scenario/scenario.h"
#include "sim/simulation.h"

namespace headrace::scenario {

struct Run {
  std::size_t policy = 0;  // Places in the scenario's lists.
  std::size_t rate = 0;
  std::uint64_t seed = 1;
  sim::SimulationResult result;
};

// A split of the fleet by groups of classes: endpoints[group][deployment].
using Split = std::vector<std::vector<int>>;

struct Study {
  const Scenario* scenario = nullptr;
  int seeds = 0;                       // All of the scenario's, unless the study was stopped.
  std::vector<Run> runs;               // By policy, rate and seed, in this order.
  std::vector<FluidBound> bounds;      // By rate.
  std::vector<ModeBound> mode_bounds;  // By rate and seed.
  std::vector<ClassGroups> groups;  // By policy: what its splits keep together; empty for others.
  std::vector<Split> splits;        // By policy and rate: the best split; empty for other policies.

  const Run& At(std::size_t policy, std::size_t rate, std::size_t seed) const {
    const std::size_t rates = scenario->rates.size();
    return runs[(policy * rates + rate) * static_cast<std::size_t>(scenario->seeds) + seed];
  }
  const ModeBound& BoundOf(std::size_t rate, std::size_t seed) const {
    return mode_bounds[rate * static_cast<std::size_t>(scenario->seeds) + seed];
  }
  const Split& SplitOf(std::size_t policy, std::size_t rate) const {
    return splits[policy * scenario->rates.size() + rate];
  }
};

// Called from several threads at once with the number of jobs that are done and of all jobs.
using StudyProgress = std::function<void(std::size_t done, std::size_t all)>;

// Uses `threads` threads; the result does not depend on how many. Seeds are 1, 2, 3, …
// The scenario's policies must have passed CheckPolicy, and it must outlive the study.
// `bounds`: whether to compute them as well; without, they are 1.
// Once `stop` is set, no run begins. The study then has the seeds that were run to their end for
// every policy and rate; before it is used, `scenario.seeds` must be set to their number.
Study RunStudy(const Scenario& scenario, unsigned threads, const StudyProgress& progress,
               bool bounds = true, const std::atomic<bool>* stop = nullptr);

// Runs everything once more and passes on each counted request with its run, in order: a study
// keeps no requests. With a split of the fleet, one group of classes follows the other.
using RequestVisitor = std::function<void(const Run& run, const sim::RequestRecord& request)>;
void VisitRequests(const Study& study, const RequestVisitor& visit);

// "chat+batch: 3×l20, code: 1×a10 1×l20"; empty for a policy that is no split.
std::string DescribeSplit(const Study& study, std::size_t policy, std::size_t rate);

// A sentence per split policy that cannot give each class a part of its own.
std::string DescribeGroups(const Study& study);

// Every way to give each endpoint to one group so that each has at least one. Endpoints of a
// deployment are equal. With `whole_types`, each deployment goes to one group as a whole.
std::vector<Split> AllSplits(std::size_t groups, const std::vector<int>& endpoints,
                             bool whole_types);

}  // namespace headrace::scenario
