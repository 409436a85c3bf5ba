// The highest rate at which a policy keeps its promises.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "render/table.h"
#include "scenario/study.h"

namespace headrace::scenario {

// The shares of requests that have to meet their SLOs.
inline constexpr std::array kGoodputGoals{0.99, 0.9};

// By goal: a factor on the scenario's rates, the highest one found at which the goal is met.
struct Goodput {
  struct Rate {
    double factor = 0;    // 0: the goal is not met at any rate that was tried.
    bool bounded = true;  // False: it was met at the highest rate tried.
  };
  std::array<Rate, kGoodputGoals.size()> rates;
};

struct GoodputSearch {
  std::vector<Goodput> policies;  // In the order of the scenario's.
  Goodput bound;                  // Of the upper bound, and of that for unknown lengths.
  Goodput blind_bound;
};

// Begins at what the study says and halves the gap between the highest rate that meets a goal and
// the lowest above it that does not, until they are 2 % apart; at most 12 rates per goal, all with
// the study's seeds. Where attainment does not fall steadily it finds one of the crossings.
// `progress`: searches that are done, and all. nullopt: `stop` was set before the end.
std::optional<GoodputSearch> SearchGoodput(const Study& study, unsigned threads,
                                           const StudyProgress& progress,
                                           const std::atomic<bool>* stop = nullptr);

inline constexpr const char* kGoodputCaption =
    "The highest rate at which so many of the requests met their SLO, to within 2 %: × the "
    "scenario's · requests per second · % of the upper bound's.";

// A row per policy and for the bounds, a column per goal: "0.62 · 6.82 req/s · 91".
render::Table GoodputTable(const Scenario& scenario, const GoodputSearch& search);

// A JSON array with one object per policy, and two for the bounds, one per line:
//   {"policy": "slo", "goodput": [{"attainment": 0.99, "rate": 0.62, "rps": 6.82}, …]}
// "rate" and "rps" are null where the goal is not met at any rate, and "at_least": true says that
// it was met at the highest one tried.
std::string FormatGoodput(const Scenario& scenario, const GoodputSearch& search);

}  // namespace headrace::scenario
