// A gateway's recording in place of a scenario's workload.
#pragma once

#include <string>
#include <vector>

#include "scenario/scenario.h"
#include "workload/trace.h"

namespace headrace::scenario {

// Every trace becomes a class with the name at its index. The replay begins with the first request
// of all traces and ends one second after the last one, at the recorded rate and without a warm-up.
// The classes get the scenario's SLO, or that of its first class. Traces must not be empty.
void ReplayTraces(const std::vector<std::string>& names, std::vector<workload::Trace> traces,
                  Scenario& scenario);

// A line about each trace that the runs at the highest rate cut, or that ends before they do.
std::string DescribeReplays(const Scenario& scenario);

}  // namespace headrace::scenario
