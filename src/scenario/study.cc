#include "scenario/study.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <memory>
#include <thread>
#include <utility>

namespace headrace::scenario {
namespace {

std::vector<int> EndpointsOf(const Scenario& scenario) {
  std::vector<int> endpoints;
  for (const sim::SimDeployment& deployment : scenario.fleet)
    endpoints.push_back(deployment.endpoints);
  return endpoints;
}

// All ways to choose 0 to `limits[i]` of each, in order.
std::vector<std::vector<int>> AllCounts(const std::vector<int>& limits, bool whole) {
  std::vector<std::vector<int>> all{{}};
  for (const int limit : limits) {
    std::vector<std::vector<int>> next;
    for (const std::vector<int>& counts : all) {
      for (int count = 0; count <= limit; count += whole ? std::max(limit, 1) : 1) {
        next.push_back(counts);
        next.back().push_back(count);
      }
    }
    all = std::move(next);
  }
  return all;
}

bool IsEmpty(const std::vector<int>& counts) {
  return std::ranges::all_of(counts, [](int count) { return count == 0; });
}

void ExtendSplits(std::size_t groups, const std::vector<int>& left, bool whole_types, Split& split,
                  std::vector<Split>& all) {
  if (split.size() + 1 == groups) {
    if (IsEmpty(left)) return;
    split.push_back(left);
    all.push_back(split);
    split.pop_back();
    return;
  }
  for (const std::vector<int>& share : AllCounts(left, whole_types)) {
    if (IsEmpty(share)) continue;
    std::vector<int> rest = left;
    for (std::size_t d = 0; d < rest.size(); ++d) rest[d] -= share[d];
    split.push_back(share);
    ExtendSplits(groups, rest, whole_types, split, all);
    split.pop_back();
  }
}

// One group of classes alone on a part of the fleet. The draws of a class do not depend on the
// others, so the runs of all groups together are the run of a split.
struct PartKey {
  std::vector<std::size_t> classes;
  std::vector<int> endpoints;
  std::size_t rate = 0;
  std::uint64_t seed = 0;
  auto operator<=>(const PartKey&) const = default;
};

sim::SimulationResult RunPart(const Scenario& scenario, const workload::Workload& alone,
                              const PartKey& key, sim::SimulationObserver* observer = nullptr) {
  Policy policy;
  policy.router = routing::FindPolicy("least-request");
  sim::SimulationSpec spec = SpecOf(scenario, policy, scenario.rates[key.rate], key.seed);
  spec.workload = &alone;
  spec.fleet.clear();
  spec.faults.clear();
  for (std::size_t d = 0; d < key.endpoints.size(); ++d) {
    if (key.endpoints[d] == 0) continue;
    spec.fleet.push_back(scenario.fleet[d]);
    spec.fleet.back().endpoints = key.endpoints[d];
  }
  return sim::Simulate(spec, observer);
}

// One group of classes without the others.
workload::Workload Alone(const Scenario& scenario, const std::vector<std::size_t>& group) {
  workload::Workload workload;
  for (const std::size_t k : group) workload.classes.push_back(scenario.workload.classes[k]);
  return workload;
}

// The run of a split, from the runs of its groups.
sim::SimulationResult Combine(const Scenario& scenario, const ClassGroups& groups,
                              const Split& split,
                              const std::vector<const sim::SimulationResult*>& parts) {
  const std::size_t classes = scenario.workload.classes.size();
  sim::SimulationResult whole;
  std::vector<std::string> names;
  for (const workload::WorkloadClass& spec : scenario.workload.classes) names.push_back(spec.name);
  whole.statistics = workload::RunStatistics(names);
  whole.too_long.resize(classes);
  whole.cut.resize(classes);
  for (const sim::SimDeployment& deployment : scenario.fleet) {
    whole.deployments.push_back({.name = deployment.name,
                                 .endpoints = deployment.endpoints,
                                 .sent = std::vector<std::uint64_t>(classes)});
  }
  whole.timeline.resize(sim::kTimelineSteps,
                        {.offered = std::vector<std::uint64_t>(classes),
                         .attained = std::vector<std::uint64_t>(classes),
                         .in_flight = std::vector<double>(scenario.fleet.size())});
  for (std::size_t g = 0; g < groups.size(); ++g) {
    const sim::SimulationResult& part = *parts[g];
    const std::vector<std::size_t>& group = groups[g];
    for (std::size_t i = 0; i < group.size(); ++i) {
      whole.statistics.MergeClass(group[i], part.statistics.of(i));
      whole.too_long[group[i]] = part.too_long[i];
      whole.cut[group[i]] = part.cut[i];
      for (std::size_t step = 0; step < sim::kTimelineSteps; ++step) {
        whole.timeline[step].offered[group[i]] = part.timeline[step].offered[i];
        whole.timeline[step].attained[group[i]] = part.timeline[step].attained[i];
      }
    }
    whole.forecasts.Merge(part.forecasts);
    whole.simulated += part.simulated;
    whole.cost += part.cost;
    std::size_t from = 0;  // The part has only the deployments of which it has endpoints.
    for (std::size_t d = 0; d < scenario.fleet.size(); ++d) {
      if (split[g][d] == 0) continue;
      const sim::DeploymentResult& source = part.deployments[from];
      const double share = static_cast<double>(split[g][d]) / scenario.fleet[d].endpoints;
      sim::DeploymentResult& target = whole.deployments[d];
      target.utilization += source.utilization * share;
      target.cost += source.cost;
      target.preemptions += source.preemptions;
      for (std::size_t i = 0; i < group.size(); ++i) target.sent[group[i]] += source.sent[i];
      for (std::size_t step = 0; step < sim::kTimelineSteps; ++step) {
        whole.timeline[step].in_flight[d] += part.timeline[step].in_flight[from] * share;
      }
      ++from;
    }
    for (std::size_t step = 0; step < sim::kTimelineSteps; ++step) {
      whole.timeline[step].waiting += part.timeline[step].waiting;
    }
  }
  return whole;
}

std::size_t SeedsOf(const Scenario& scenario) { return static_cast<std::size_t>(scenario.seeds); }

class StudyRunner {
 public:
  StudyRunner(const Scenario& scenario, const StudyProgress& progress, bool bounds,
              const std::atomic<bool>* stop)
      : scenario_(scenario),
        progress_(progress),
        bounds_(bounds),
        stop_(stop),
        left_(SeedsOf(scenario) + 1) {
    study_.scenario = &scenario;
    study_.bounds.resize(scenario.rates.size());
    study_.mode_bounds.resize(scenario.rates.size() * SeedsOf(scenario));
    study_.groups.resize(scenario.policies.size());
    study_.splits.resize(scenario.policies.size() * scenario.rates.size());
  }

  Study Execute(unsigned threads) {
    Plan();
    std::vector<std::jthread> workers;
    for (unsigned i = 1; i < std::max(threads, 1u); ++i) {
      workers.emplace_back([this] { Work(); });
    }
    Work();
    workers.clear();  // Joins.
    DropUnfinished();
    for (std::size_t c = 0; c < scenario_.policies.size(); ++c) {
      if (scenario_.policies[c].IsSplit()) ChooseSplits(c);
    }
    return std::move(study_);
  }

 private:
  void Plan();
  void PlanSplits(std::size_t policy);
  void ChooseSplits(std::size_t policy);
  std::vector<const sim::SimulationResult*> PartsOf(const ClassGroups& groups, const Split& split,
                                                    std::size_t rate, std::uint64_t seed) const;
  void AddJob(std::uint64_t seed, std::function<void()> run) {
    jobs_.push_back({seed, jobs_.size(), std::move(run)});
  }
  void Work();
  void DropUnfinished();

  struct Job {
    std::uint64_t seed = 0;  // 0: of all seeds.
    std::size_t planned = 0;
    std::function<void()> run;
  };

  const Scenario& scenario_;
  const StudyProgress& progress_;
  bool bounds_;
  const std::atomic<bool>* stop_;
  Study study_;
  std::map<std::vector<std::size_t>, workload::Workload> alone_;  // By group of classes.
  std::map<PartKey, sim::SimulationResult> parts_;
  std::vector<Job> jobs_;
  std::vector<std::atomic<std::size_t>> left_;  // Jobs, by seed.
  std::atomic<std::size_t> next_{0};
  std::atomic<std::size_t> done_{0};
};

void StudyRunner::Plan() {
  for (std::size_t rate = 0; bounds_ && rate < scenario_.rates.size(); ++rate) {
    AddJob(0, [this, rate] {
      study_.bounds[rate] = ComputeFluidBound(scenario_, scenario_.rates[rate]);
    });
    for (std::size_t seed = 0; seed < SeedsOf(scenario_); ++seed) {
      AddJob(seed + 1, [this, rate, seed] {
        study_.mode_bounds[rate * SeedsOf(scenario_) + seed] =
            ComputeModeBound(scenario_, scenario_.rates[rate], seed + 1);
      });
    }
  }
  for (std::size_t c = 0; c < scenario_.policies.size(); ++c) {
    for (std::size_t rate = 0; rate < scenario_.rates.size(); ++rate) {
      for (int seed = 1; seed <= scenario_.seeds; ++seed) {
        study_.runs.push_back({c, rate, static_cast<std::uint64_t>(seed), {}});
      }
    }
  }
  for (std::size_t i = 0; i < study_.runs.size(); ++i) {
    if (scenario_.policies[study_.runs[i].policy].IsSplit()) continue;
    AddJob(study_.runs[i].seed, [this, i] {
      Run& run = study_.runs[i];
      run.result = sim::Simulate(
          SpecOf(scenario_, scenario_.policies[run.policy], scenario_.rates[run.rate], run.seed));
    });
  }
  for (std::size_t c = 0; c < scenario_.policies.size(); ++c) {
    if (scenario_.policies[c].IsSplit()) PlanSplits(c);
  }
  for (auto& [key, result] : parts_) {
    AddJob(key.seed,
           [this, &key, &result] { result = RunPart(scenario_, alone_.at(key.classes), key); });
  }
  // Seed by seed, so that a study that is stopped has whole ones.
  std::ranges::sort(jobs_, {}, [](const Job& job) { return std::pair(job.seed, job.planned); });
  for (const Job& job : jobs_) ++left_[job.seed];
}

void StudyRunner::PlanSplits(std::size_t policy) {
  const Policy& planned = scenario_.policies[policy];
  // CheckPolicy has passed.
  const ClassGroups& groups = study_.groups[policy] = *GroupsFor(planned, scenario_);
  for (const auto& group : groups) alone_.try_emplace(group, Alone(scenario_, group));
  for (const Split& split :
       AllSplits(groups.size(), EndpointsOf(scenario_), planned.kind == Policy::Kind::kTypeSplit)) {
    for (std::size_t g = 0; g < split.size(); ++g) {
      for (std::size_t rate = 0; rate < scenario_.rates.size(); ++rate) {
        for (int seed = 1; seed <= scenario_.seeds; ++seed) {
          parts_[{groups[g], split[g], rate, static_cast<std::uint64_t>(seed)}];
        }
      }
    }
  }
}

std::vector<const sim::SimulationResult*> StudyRunner::PartsOf(const ClassGroups& groups,
                                                               const Split& split, std::size_t rate,
                                                               std::uint64_t seed) const {
  std::vector<const sim::SimulationResult*> parts;
  for (std::size_t g = 0; g < split.size(); ++g) {
    parts.push_back(&parts_.at({groups[g], split[g], rate, seed}));
  }
  return parts;
}

void StudyRunner::ChooseSplits(std::size_t policy) {
  const ClassGroups& groups = study_.groups[policy];
  const auto splits = AllSplits(groups.size(), EndpointsOf(scenario_),
                                scenario_.policies[policy].kind == Policy::Kind::kTypeSplit);
  for (std::size_t rate = 0; rate < scenario_.rates.size(); ++rate) {
    const Split* best = nullptr;
    std::uint64_t most = 0;
    for (const Split& split : splits) {
      std::uint64_t attained = 0;
      for (int seed = 1; seed <= study_.seeds; ++seed) {
        for (const auto* part : PartsOf(groups, split, rate, static_cast<std::uint64_t>(seed))) {
          attained += part->statistics.Total().attained;
        }
      }
      if (best != nullptr && attained <= most) continue;
      best = &split;
      most = attained;
    }
    study_.splits[policy * scenario_.rates.size() + rate] = *best;
    for (Run& run : study_.runs) {
      if (run.policy != policy || run.rate != rate) continue;
      run.result = Combine(scenario_, groups, *best, PartsOf(groups, *best, rate, run.seed));
    }
  }
}

void StudyRunner::Work() {
  for (;;) {
    if (stop_ != nullptr && *stop_) return;
    const std::size_t job = next_.fetch_add(1);
    if (job >= jobs_.size()) return;
    jobs_[job].run();
    --left_[jobs_[job].seed];
    progress_(done_.fetch_add(1) + 1, jobs_.size());
  }
}

void StudyRunner::DropUnfinished() {
  const auto unfinished =
      std::ranges::find_if(left_, [](const std::atomic<std::size_t>& left) { return left > 0; });
  // The first entry is not of a seed, and everything else rests on it.
  study_.seeds = std::max(0, static_cast<int>(unfinished - left_.begin()) - 1);
  const auto seeds = static_cast<std::size_t>(study_.seeds);
  std::erase_if(study_.runs, [seeds](const Run& run) { return run.seed > seeds; });
  std::vector<ModeBound> bounds;
  for (std::size_t i = 0; i < study_.mode_bounds.size(); ++i) {
    if (i % SeedsOf(scenario_) < seeds) bounds.push_back(study_.mode_bounds[i]);
  }
  study_.mode_bounds = std::move(bounds);
}

}  // namespace

std::vector<Split> AllSplits(std::size_t groups, const std::vector<int>& endpoints,
                             bool whole_types) {
  std::vector<Split> all;
  Split split;
  ExtendSplits(groups, endpoints, whole_types, split, all);
  return all;
}

std::string DescribeSplit(const Study& study, std::size_t policy, std::size_t rate) {
  const Scenario& scenario = *study.scenario;
  const Split& split = study.SplitOf(policy, rate);
  std::string text;
  for (std::size_t g = 0; g < split.size(); ++g) {
    text += (g == 0 ? "" : ", ") + Describe(scenario, study.groups[policy][g]) + ":";
    for (std::size_t d = 0; d < split[g].size(); ++d) {
      if (split[g][d] == 0) continue;
      text += " " + std::to_string(split[g][d]) + "×" + scenario.fleet[d].name;
    }
  }
  return text;
}

std::string DescribeGroups(const Study& study) {
  const Scenario& scenario = *study.scenario;
  std::string text;
  for (std::size_t c = 0; c < scenario.policies.size(); ++c) {
    const ClassGroups& groups = study.groups[c];
    if (groups.empty() || groups.size() == scenario.workload.classes.size()) continue;
    text += scenario.policies[c].name + " splits the fleet among " + std::to_string(groups.size()) +
            " groups of classes that are alike, not among all " +
            std::to_string(scenario.workload.classes.size()) +
            ", so that it can try every split: " + Describe(scenario, groups) + "\n";
  }
  return text;
}

Study RunStudy(const Scenario& scenario, unsigned threads, const StudyProgress& progress,
               bool bounds, const std::atomic<bool>* stop) {
  return StudyRunner(scenario, progress, bounds, stop).Execute(threads);
}

void VisitRequests(const Study& study, const RequestVisitor& visit) {
  struct Observer : sim::SimulationObserver {
    void OnEnd(const sim::RequestRecord& record) override { on_end(record); }
    std::function<void(const sim::RequestRecord&)> on_end;
  } observer;
  const Scenario& scenario = *study.scenario;
  for (const Run& run : study.runs) {
    const Policy& policy = scenario.policies[run.policy];
    if (!policy.IsSplit()) {
      observer.on_end = [&](const sim::RequestRecord& record) { visit(run, record); };
      sim::Simulate(SpecOf(scenario, policy, scenario.rates[run.rate], run.seed), &observer);
      continue;
    }
    // The groups get the endpoints of a deployment in order.
    const ClassGroups& groups = study.groups[run.policy];
    const Split& split = study.SplitOf(run.policy, run.rate);
    std::vector<int> dealt(scenario.fleet.size());
    for (std::size_t g = 0; g < split.size(); ++g) {
      std::vector<std::uint32_t> deployments;  // Of the part, by their place in the scenario.
      for (std::uint32_t d = 0; d < split[g].size(); ++d) {
        if (split[g][d] > 0) deployments.push_back(d);
      }
      observer.on_end = [&](sim::RequestRecord record) {
        record.class_index = static_cast<std::uint32_t>(groups[g][record.class_index]);
        if (record.deployment) {
          record.deployment = deployments[*record.deployment];
          record.endpoint += dealt[*record.deployment];
        }
        visit(run, record);
      };
      RunPart(scenario, Alone(scenario, groups[g]), {groups[g], split[g], run.rate, run.seed},
              &observer);
      for (std::size_t d = 0; d < dealt.size(); ++d) dealt[d] += split[g][d];
    }
  }
}

}  // namespace headrace::scenario
