// A study in numbers: summary.json, requests.csv and the tables.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "render/table.h"
#include "scenario/study.h"

namespace headrace::scenario {

// A mean over seeds with its 95 % confidence interval (percentile bootstrap over seeds, with fixed
// draws). With one seed the interval is the value itself.
struct Estimate {
  double mean = 0;
  double low = 0;
  double high = 0;
};
Estimate EstimateMean(const std::vector<double>& values);

// Over the seeds of one policy at one rate.
Estimate EstimateOver(const Study& study, std::size_t policy, std::size_t rate,
                      const std::function<double(const sim::SimulationResult&)>& figure);
// What the two bounds are called in tables.
inline constexpr const char* kBoundName = "upper bound";
inline constexpr const char* kBlindBoundName = "… not knowing lengths";

// Of one of the two mode bounds.
Estimate BoundOver(const Study& study, std::size_t rate, double ModeBound::* bound);
Estimate AttainmentOf(const Study& study, std::size_t policy, std::size_t rate);
// The class with the lowest attainment over all seeds, and its attainment.
struct WorstClass {
  std::size_t class_index = 0;
  Estimate attainment;
};
WorstClass WorstClassOf(const Study& study, std::size_t policy, std::size_t rate);
// P99 seconds per token (prompt and response) of completed requests.
Estimate P99TpatOf(const Study& study, std::size_t policy, std::size_t rate);

// A JSON array with one object per policy, rate and seed, one per line:
//   {"policy": …, "rate": …, "seed": …, offered … classes (workload/statistics.h),
//    "worst_class": {"name": "code", "attainment": …}, "too_long": {"chat": 0},
//    "cut": {"chat": 0}, "cost": …,
//    "deployments": {"l20": {"utilization": …, "cost": …, "preemptions": …, "sent": {"chat": …}}},
//    "bound_attainment": …, "blind_bound_attainment": …}
// and of a policy that forecasts (sim::ForecastRecord; ratios are real / predicted):
//   "forecasts": {"ttft_ratio": {"p10": …, "p50": …, "p90": …}, "e2e_ratio": {…},
//     "misses": [{"predicted_to": 0.01, "requests": …, "predicted": …, "missed": …}, …]}
std::string FormatSummary(const Study& study);

// One sentence per class with requests that fit into no engine's context, and one with responses
// that are cut there; empty if there is none.
std::string DescribeTooLong(const Study& study);

// A row per policy and a column per rate: attainment in % as "97.5 [96.9–98.1] · 98", which is
// mean, 95 % interval and % of the upper bound. The last rows are the upper bounds.
render::Table AttainmentTable(const Study& study);
// The same of the class that fares worst, with its name: "91.2 [90.1–92.0] · code". No upper bound.
render::Table WorstClassTable(const Study& study);
// P99 latency in ms per token (prompt and response): "31.2 [30.8–31.7]".
render::Table P99TpatTable(const Study& study);

// Of the policies that forecast; without rows if there is none.
// A row per policy and rate: P10, P50 and P90 of real / predicted time.
render::Table ForecastTable(const Study& study);
// Of requests that were said to miss their SLO with a probability in one range, how many did: a
// row per policy and range, over all rates and seeds.
render::Table MissTable(const Study& study);

// `policy,rate,seed,` and then the record; what it did not reach is an empty cell.
std::string RequestsCsvHeader();
std::string FormatRequestCsv(const Study& study, const Run& run, const sim::RequestRecord& record);

}  // namespace headrace::scenario
