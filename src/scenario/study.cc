#include "scenario/study.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <memory>
#include <thread>
#include <utility>

namespace headrace::scenario {
namespace {

bool IsSplit(const Policy& policy) {
  return policy.kind == Policy::Kind::kBestSplit || policy.kind == Policy::Kind::kTypeSplit;
}

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

void ExtendSplits(std::size_t classes, const std::vector<int>& left, bool whole_types, Split& split,
                  std::vector<Split>& all) {
  if (split.size() + 1 == classes) {
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
    ExtendSplits(classes, rest, whole_types, split, all);
    split.pop_back();
  }
}

// One class alone on a part of the fleet. The draws of a class do not depend on the others, so the
// runs of all classes together are the run of a split.
struct PartKey {
  std::size_t class_index = 0;
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

// One class without the others.
workload::Workload Alone(const workload::WorkloadClass& spec) {
  workload::Workload workload;
  workload.classes.push_back(spec);
  return workload;
}

// The run of a split, from the runs of its classes.
sim::SimulationResult Combine(const Scenario& scenario, const Split& split,
                              const std::vector<const sim::SimulationResult*>& parts) {
  const std::size_t classes = parts.size();
  sim::SimulationResult whole;
  std::vector<std::string> names;
  for (const workload::WorkloadClass& spec : scenario.workload.classes) names.push_back(spec.name);
  whole.statistics = workload::RunStatistics(names);
  whole.too_long.resize(classes);
  for (const sim::SimDeployment& deployment : scenario.fleet) {
    whole.deployments.push_back({.name = deployment.name,
                                 .endpoints = deployment.endpoints,
                                 .sent = std::vector<std::uint64_t>(classes)});
  }
  whole.timeline.resize(sim::kTimelineSteps,
                        {.offered = std::vector<std::uint64_t>(classes),
                         .attained = std::vector<std::uint64_t>(classes),
                         .in_flight = std::vector<double>(scenario.fleet.size())});
  for (std::size_t c = 0; c < classes; ++c) {
    const sim::SimulationResult& part = *parts[c];
    whole.statistics.MergeClass(c, part.statistics.of(0));
    whole.too_long[c] = part.too_long[0];
    whole.simulated += part.simulated;
    whole.cost += part.cost;
    std::size_t from = 0;  // The part has only the deployments of which it has endpoints.
    for (std::size_t d = 0; d < scenario.fleet.size(); ++d) {
      if (split[c][d] == 0) continue;
      const sim::DeploymentResult& source = part.deployments[from];
      const double share = static_cast<double>(split[c][d]) / scenario.fleet[d].endpoints;
      sim::DeploymentResult& target = whole.deployments[d];
      target.utilization += source.utilization * share;
      target.cost += source.cost;
      target.preemptions += source.preemptions;
      target.sent[c] += source.sent[0];
      for (std::size_t step = 0; step < sim::kTimelineSteps; ++step) {
        whole.timeline[step].in_flight[d] += part.timeline[step].in_flight[from] * share;
      }
      ++from;
    }
    for (std::size_t step = 0; step < sim::kTimelineSteps; ++step) {
      whole.timeline[step].offered[c] = part.timeline[step].offered[0];
      whole.timeline[step].attained[c] = part.timeline[step].attained[0];
      whole.timeline[step].waiting += part.timeline[step].waiting;
    }
  }
  return whole;
}

std::size_t SeedsOf(const Scenario& scenario) { return static_cast<std::size_t>(scenario.seeds); }

class StudyRunner {
 public:
  StudyRunner(const Scenario& scenario, const StudyProgress& progress, bool bounds)
      : scenario_(scenario), progress_(progress), bounds_(bounds) {
    study_.scenario = &scenario;
    study_.bounds.resize(scenario.rates.size());
    study_.mode_bounds.resize(scenario.rates.size() * SeedsOf(scenario));
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
    for (std::size_t c = 0; c < scenario_.policies.size(); ++c) {
      if (IsSplit(scenario_.policies[c])) ChooseSplits(c);
    }
    return std::move(study_);
  }

 private:
  void Plan();
  void PlanSplits(const Policy& policy);
  void ChooseSplits(std::size_t policy);
  std::vector<const sim::SimulationResult*> PartsOf(const Split& split, std::size_t rate,
                                                    std::uint64_t seed) const;
  void Work();

  const Scenario& scenario_;
  const StudyProgress& progress_;
  bool bounds_;
  Study study_;
  std::vector<workload::Workload> alone_;  // By class.
  std::map<PartKey, sim::SimulationResult> parts_;
  std::vector<std::function<void()>> jobs_;
  std::atomic<std::size_t> next_{0};
  std::atomic<std::size_t> done_{0};
};

void StudyRunner::Plan() {
  for (std::size_t rate = 0; bounds_ && rate < scenario_.rates.size(); ++rate) {
    jobs_.emplace_back([this, rate] {
      study_.bounds[rate] = ComputeFluidBound(scenario_, scenario_.rates[rate]);
    });
    for (std::size_t seed = 0; seed < SeedsOf(scenario_); ++seed) {
      jobs_.emplace_back([this, rate, seed] {
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
    if (IsSplit(scenario_.policies[study_.runs[i].policy])) continue;
    jobs_.emplace_back([this, i] {
      Run& run = study_.runs[i];
      run.result = sim::Simulate(
          SpecOf(scenario_, scenario_.policies[run.policy], scenario_.rates[run.rate], run.seed));
    });
  }
  for (const workload::WorkloadClass& spec : scenario_.workload.classes) {
    alone_.push_back(Alone(spec));
  }
  for (const Policy& policy : scenario_.policies) {
    if (IsSplit(policy)) PlanSplits(policy);
  }
  for (auto& [key, result] : parts_) {
    jobs_.emplace_back(
        [this, &key, &result] { result = RunPart(scenario_, alone_[key.class_index], key); });
  }
}

void StudyRunner::PlanSplits(const Policy& policy) {
  for (const Split& split :
       AllSplits(alone_.size(), EndpointsOf(scenario_), policy.kind == Policy::Kind::kTypeSplit)) {
    for (std::size_t c = 0; c < split.size(); ++c) {
      for (std::size_t rate = 0; rate < scenario_.rates.size(); ++rate) {
        for (int seed = 1; seed <= scenario_.seeds; ++seed) {
          parts_[{c, split[c], rate, static_cast<std::uint64_t>(seed)}];
        }
      }
    }
  }
}

std::vector<const sim::SimulationResult*> StudyRunner::PartsOf(const Split& split, std::size_t rate,
                                                               std::uint64_t seed) const {
  std::vector<const sim::SimulationResult*> parts;
  for (std::size_t c = 0; c < split.size(); ++c) {
    parts.push_back(&parts_.at({c, split[c], rate, seed}));
  }
  return parts;
}

void StudyRunner::ChooseSplits(std::size_t policy) {
  const auto splits = AllSplits(alone_.size(), EndpointsOf(scenario_),
                                scenario_.policies[policy].kind == Policy::Kind::kTypeSplit);
  for (std::size_t rate = 0; rate < scenario_.rates.size(); ++rate) {
    const Split* best = nullptr;
    std::uint64_t most = 0;
    for (const Split& split : splits) {
      std::uint64_t attained = 0;
      for (int seed = 1; seed <= scenario_.seeds; ++seed) {
        for (const auto* part : PartsOf(split, rate, static_cast<std::uint64_t>(seed))) {
          attained += part->statistics.of(0).attained;
        }
      }
      if (best != nullptr && attained <= most) continue;
      best = &split;
      most = attained;
    }
    study_.splits[policy * scenario_.rates.size() + rate] = *best;
    for (Run& run : study_.runs) {
      if (run.policy != policy || run.rate != rate) continue;
      run.result = Combine(scenario_, *best, PartsOf(*best, rate, run.seed));
    }
  }
}

void StudyRunner::Work() {
  for (;;) {
    const std::size_t job = next_.fetch_add(1);
    if (job >= jobs_.size()) return;
    jobs_[job]();
    progress_(done_.fetch_add(1) + 1, jobs_.size());
  }
}

}  // namespace

std::vector<Split> AllSplits(std::size_t classes, const std::vector<int>& endpoints,
                             bool whole_types) {
  std::vector<Split> all;
  Split split;
  ExtendSplits(classes, endpoints, whole_types, split, all);
  return all;
}

std::string Describe(const Scenario& scenario, const Split& split) {
  std::string text;
  for (std::size_t c = 0; c < split.size(); ++c) {
    text += (c == 0 ? "" : ", ") + scenario.workload.classes[c].name + ":";
    for (std::size_t d = 0; d < split[c].size(); ++d) {
      if (split[c][d] == 0) continue;
      text += " " + std::to_string(split[c][d]) + "×" + scenario.fleet[d].name;
    }
  }
  return text;
}

Study RunStudy(const Scenario& scenario, unsigned threads, const StudyProgress& progress,
               bool bounds) {
  return StudyRunner(scenario, progress, bounds).Execute(threads);
}

void VisitRequests(const Study& study, const RequestVisitor& visit) {
  struct Observer : sim::SimulationObserver {
    void OnEnd(const sim::RequestRecord& record) override { on_end(record); }
    std::function<void(const sim::RequestRecord&)> on_end;
  } observer;
  const Scenario& scenario = *study.scenario;
  for (const Run& run : study.runs) {
    const Policy& policy = scenario.policies[run.policy];
    if (!IsSplit(policy)) {
      observer.on_end = [&](const sim::RequestRecord& record) { visit(run, record); };
      sim::Simulate(SpecOf(scenario, policy, scenario.rates[run.rate], run.seed), &observer);
      continue;
    }
    // The classes get the endpoints of a deployment in order.
    const Split& split = study.SplitOf(run.policy, run.rate);
    std::vector<int> dealt(scenario.fleet.size());
    for (std::size_t c = 0; c < split.size(); ++c) {
      std::vector<std::uint32_t> deployments;  // Of the part, by their place in the scenario.
      for (std::uint32_t d = 0; d < split[c].size(); ++d) {
        if (split[c][d] > 0) deployments.push_back(d);
      }
      observer.on_end = [&](sim::RequestRecord record) {
        record.class_index = static_cast<std::uint32_t>(c);
        if (record.deployment) {
          record.deployment = deployments[*record.deployment];
          record.endpoint += dealt[*record.deployment];
        }
        visit(run, record);
      };
      RunPart(scenario, Alone(scenario.workload.classes[c]), {c, split[c], run.rate, run.seed},
              &observer);
      for (std::size_t d = 0; d < dealt.size(); ++d) dealt[d] += split[c][d];
    }
  }
}

}  // namespace headrace::scenario
