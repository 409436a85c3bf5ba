#include "scenario/replay.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "workload/trace_summary.h"

namespace headrace::scenario {

void ReplayTraces(const std::vector<std::string>& names, std::vector<workload::Trace> traces,
                  Scenario& scenario) {
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

std::string DescribeReplays(const Scenario& scenario) {
  if (scenario.replay) return "";  // It ends with them.
  // Where a trace ends first, and is cut least.
  const double rate = std::ranges::max(scenario.rates);
  std::string text;
  for (const std::string& sentence : workload::DescribeReplays(
           scenario.workload, scenario.warm_up + scenario.DurationAt(rate), rate)) {
    text += sentence + "\n";
  }
  return text;
}

}  // namespace headrace::scenario
