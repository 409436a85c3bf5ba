// Which classes a split of the fleet keeps together, where there are too many to have a part each.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "base/result.h"
#include "scenario/scenario.h"

namespace headrace::scenario {

// The classes of each group, ascending.
using ClassGroups = std::vector<std::vector<std::size_t>>;

// Of a split policy: one group per class if the fleet has so many parts, and at most kMostSplits
// ways to deal them out; else as many groups as that allows, in which the classes are alike. An
// error if it does not even allow two.
//
// Alike is what is near in the logarithms of prompt, output and latency target, as means of the
// requests of seed 1: the two nearest groups become one, again and again. Deterministic.
Result<ClassGroups> GroupsFor(const Policy& policy, const Scenario& scenario);

// A split is a simulation per group, rate and seed.
inline constexpr double kMostSplits = 10'000;

// "chat+code, batch".
std::string Describe(const Scenario& scenario, const ClassGroups& groups);
// "chat+code".
std::string Describe(const Scenario& scenario, const std::vector<std::size_t>& group);

}  // namespace headrace::scenario
