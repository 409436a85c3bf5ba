// Which request rates of which cells to measure for a profile.
#pragma once

#include <functional>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "benchmark/measurement.h"
#include "slo/slo.h"

namespace headrace::benchmark {

// What to search. Axes ascending, none empty.
struct GridPlan {
  std::vector<Tokens> inputs;
  std::vector<Tokens> outputs;
  std::vector<double> rates;  // Requests per second, the same ladder for every cell.
  // The search looks for the rates up to which its latency targets hold, at slo.percentile. Without
  // any it looks for what can be sustained. Throughput targets do not steer it: they bound rates
  // from below.
  slo::Slo slo;
  // Every rate of every cell.
  bool full = false;
  // Cells that do not fit (into the engine's context) are left out; not set: all fit.
  std::function<bool(Tokens input, Tokens output)> fits;
};

// `lowest` · step^k up to `highest`, rounded to four significant digits. `lowest` > 0, `step` > 1.
std::vector<double> RateLadder(double lowest, double highest, double step);

struct GridProgress {
  std::size_t cells_done = 0;
  std::size_t cells = 0;  // In total.
};

using MeasurePoint =
    std::function<Result<Measurement>(const GridPoint& point, const GridProgress& progress)>;

// Calls `measure` for the points that it needs; ends with its first error.
//
// Per cell it looks for two neighbouring rates of which the lower is kept and the higher is not. It
// begins where the results of the cells with shorter inputs and outputs point to (high on the
// ladder for the first cell), doubles its stride until the border is between two rates, and then
// halves. Longer requests only add work: a rate that cannot be sustained cannot be sustained with
// longer requests either, and nor can it meet a target. Only TPAT and NTPOT, which divide the time
// by tokens, may fall where a request is longer. So a cell is left out if the lowest rate has
// already failed with a shorter input or output; under TPAT or NTPOT, only if it was not sustained.
Result<void> SearchGrid(const GridPlan& plan, const MeasurePoint& measure);

}  // namespace headrace::benchmark
