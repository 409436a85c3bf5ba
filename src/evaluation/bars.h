// What slo-headroom has to reach, and whether it does.
#pragma once

#include <string>
#include <vector>

#include "render/table.h"
#include "scenario/goodput.h"
#include "scenario/study.h"

namespace headrace::evaluation {

// Of one row of a table: a study at one of its rates.
struct Case {
  std::string name;
  const scenario::Study* study = nullptr;
  std::size_t rate = 0;
  bool carried = true;  // Whether the fleet can carry this rate at all (bounds.h).
};

// Attainment that is required, on one set of engine parameters; `now` shows the same case on
// today's.
struct Bar {
  Case then;
  Case now;
  double least = 0;
};
render::Table BarsTable(const std::vector<Bar>& bars);

// Against all others, a row per case:
//  - never more than a point below any other router;
//  - up to what the fleet carries, at least 97 % of the best baseline that knows more than a router
//    can (clairvoyant, or a split in hindsight), and its worst class never more than five points
//    below where the policy that is best in total has this class.
// What fails is bold. A sentence at the end counts it.
std::string MarginsTable(const std::vector<Case>& cases);

// The own policy's goodput over that of others, beside what is required.
render::Table GoodputBars(const scenario::Scenario& scenario,
                          const scenario::GoodputSearch& search);

}  // namespace headrace::evaluation
