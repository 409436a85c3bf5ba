#include "scenario/class_groups.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <limits>

#include "base/text.h"

namespace headrace::scenario {
namespace {

constexpr int kSample = 1000;
// Of a class without a latency target.
constexpr Seconds kNoTarget = 86'400;

struct Group {
  std::vector<std::size_t> classes;
  double rate = 0;
  std::array<double, 3> centre{};  // Doublings of prompt, output and target.
};

Group GroupOf(const Scenario& scenario, std::size_t class_index) {
  const workload::WorkloadClass& spec = scenario.workload.classes[class_index];
  const std::optional<slo::Slo>& slo = spec.slo ? spec.slo : scenario.scheduler.slo;
  workload::Workload alone;
  alone.classes.push_back(spec);
  workload::WorkloadStream stream(alone, 1);
  Group group{.classes = {class_index}, .rate = std::max(workload::OfferedRate(spec), 1e-9)};
  int count = 0;
  for (; count < kSample; ++count) {
    const auto request = stream.Next();
    if (!request) break;
    std::optional<slo::Target> target;
    if (slo) target = slo::TargetOf(*slo, request->prompt_tokens, request->output_tokens);
    group.centre[0] += std::log2(request->prompt_tokens);
    group.centre[1] += std::log2(request->output_tokens);
    group.centre[2] += std::log2(target ? target->seconds : kNoTarget);
  }
  for (double& mean : group.centre) mean /= std::max(count, 1);
  return group;
}

double Distance(const Group& a, const Group& b) {
  double squares = 0;
  for (std::size_t i = 0; i < a.centre.size(); ++i) {
    squares += (a.centre[i] - b.centre[i]) * (a.centre[i] - b.centre[i]);
  }
  return squares;
}

// `from` joins `into`.
void Merge(Group& into, const Group& from) {
  const double rate = into.rate + from.rate;
  for (std::size_t i = 0; i < into.centre.size(); ++i) {
    into.centre[i] = (into.centre[i] * into.rate + from.centre[i] * from.rate) / rate;
  }
  into.rate = rate;
  std::ranges::copy(from.classes, std::back_inserter(into.classes));
  std::ranges::sort(into.classes);
}

void MergeNearest(std::vector<Group>& groups) {
  double least = std::numeric_limits<double>::infinity();
  std::size_t first = 0;
  std::size_t second = 1;
  for (std::size_t i = 0; i < groups.size(); ++i) {
    for (std::size_t j = i + 1; j < groups.size(); ++j) {
      const double distance = Distance(groups[i], groups[j]);
      if (distance >= least) continue;
      least = distance;
      first = i;
      second = j;
    }
  }
  Merge(groups[first], groups[second]);
  groups.erase(groups.begin() + static_cast<std::ptrdiff_t>(second));
}

std::size_t PartsOf(const Policy& policy, const Scenario& scenario) {
  if (policy.kind == Policy::Kind::kTypeSplit) return scenario.fleet.size();
  std::size_t parts = 0;
  for (const sim::SimDeployment& deployment : scenario.fleet) {
    parts += static_cast<std::size_t>(deployment.endpoints);
  }
  return parts;
}

// Ways to give each part to one of so many groups.
double WaysOf(const Policy& policy, const Scenario& scenario, std::size_t groups) {
  double ways = 1;
  for (const sim::SimDeployment& deployment : scenario.fleet) {
    if (policy.kind == Policy::Kind::kTypeSplit) {
      ways *= static_cast<double>(groups);
      continue;
    }
    // Of n endpoints that are alike to k groups: n + k − 1 over k − 1.
    for (std::size_t i = 1; i < groups; ++i) {
      ways *= static_cast<double>(deployment.endpoints) / static_cast<double>(i) + 1;
    }
  }
  return ways;
}

}  // namespace

Result<ClassGroups> GroupsFor(const Policy& policy, const Scenario& scenario) {
  const std::size_t classes = scenario.workload.classes.size();
  const std::size_t parts = PartsOf(policy, scenario);
  const std::size_t least = std::min(classes, std::size_t{2});
  if (parts < least) {
    return Fail(policy.name + " cannot split " + std::to_string(parts) +
                (policy.kind == Policy::Kind::kTypeSplit ? " deployment" : " endpoint") +
                " among " + std::to_string(classes) + " classes; remove it from the policies");
  }
  std::size_t most = std::min(classes, parts);
  while (most > least && WaysOf(policy, scenario, most) > kMostSplits) --most;
  if (WaysOf(policy, scenario, most) > kMostSplits) {
    return Fail(policy.name + " has to try more than " + FormatNumber(kMostSplits) +
                " splits of the fleet; remove it from the policies");
  }
  std::vector<Group> groups;
  for (std::size_t k = 0; k < classes; ++k) {
    groups.push_back(most < classes ? GroupOf(scenario, k) : Group{.classes = {k}});
  }
  while (groups.size() > most) MergeNearest(groups);
  ClassGroups result;
  for (Group& group : groups) result.push_back(std::move(group.classes));
  return result;
}

std::string Describe(const Scenario& scenario, const std::vector<std::size_t>& group) {
  std::string text;
  for (const std::size_t k : group) {
    text += (text.empty() ? "" : "+") + scenario.workload.classes[k].name;
  }
  return text;
}

std::string Describe(const Scenario& scenario, const ClassGroups& groups) {
  std::string text;
  for (const auto& group : groups) text += (text.empty() ? "" : ", ") + Describe(scenario, group);
  return text;
}

}  // namespace headrace::scenario
