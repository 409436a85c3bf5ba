// Which request rates of which cells to measure for a profile.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "benchmark/benchmark_rows.h"
#include "slo/slo.h"

namespace headrace::benchmark {

// What to walk. Axes ascending, none empty.
struct GridPlan {
  std::vector<Tokens> inputs;
  std::vector<Tokens> outputs;
  std::vector<double> rates;  // Requests per second, the same ladder for every cell.
  // The latency promises whose boundary is searched, at slo.percentile. Without one the boundary is
  // what can be sustained. Throughput promises do not steer the walk: they bound rates from below.
  slo::Slo slo;
  // Every rate of every cell.
  bool full = false;
  // Cells that do not fit (the engine's context) are passed over; none is set: all fit.
  std::function<bool(Tokens input, Tokens output)> fits;
};

// `lowest` · step^k up to `highest`, rounded to four significant digits. `lowest` > 0, `step` > 1.
std::vector<double> RateLadder(double lowest, double highest, double step);

// One measurement to be made.
struct GridPoint {
  Tokens input = 0;
  Tokens output = 0;
  double rate = 0;
  std::size_t cell = 0;  // How many cells are done, and of how many.
  std::size_t cells = 0;
};

// What it gave.
struct RateMeasurement {
  double tput = 0;  // Requests finished per second, steady state.
  double tt = 0;    // Output tokens of those, per second.
  Statistics e2e;   // Seconds, as are the others; NaN when no request has finished.
  Statistics ttft;
  Statistics tpot;
  std::int64_t samples = 0;  // Requests behind e2e, ttft and tpot.
  // False: the backlog grew, or the mean E2E has not settled (kSettled). So close to saturation the
  // latencies depend on luck and on how long one looked.
  bool sustained = true;
};

// The relative standard error of the mean E2E up to which a measurement counts as settled: a second
// one agrees within 10 % in more than nine of ten cases.
inline constexpr double kSettled = 0.03;
// How often a measurement that is not settled is given twice the time.
inline constexpr int kMostDoublings = 3;

// Whether a profile may be built on this rate: sustained, at least 0.9 of it finished per second,
// every latency promise kept (strictly below, as GenerateProfile has it).
bool IsKept(const GridPoint& point, const RateMeasurement& measured, const slo::Slo& slo);

// The rows of one measurement. A rate that is not sustained has no TPOT row, and both
// GenerateProfile and AIBrix's generator drop a rate that lacks one of the metrics, whatever the
// SLO; its E2E and TTFT stay, because AIBrix's generator fails on a cell without any. Numbers are
// rounded to six significant digits.
std::vector<BenchmarkRow> RowsOf(const GridPoint& point, const RateMeasurement& measured,
                                 std::int64_t seed, const std::string& model);

using MeasureRate = std::function<Result<RateMeasurement>(const GridPoint&)>;

// Walks the grid and asks `measure` for what it needs; ends with its first error.
//
// Per cell it looks for the border between two neighbouring rates of which the lower is kept and
// the higher is not: it begins where the borders of the cells with shorter inputs and outputs
// point to (high on the ladder for the first cell), doubles its stride until it has the border
// between two rates, and halves. Longer
// requests only add work, so when a rate cannot be sustained, neither can it with longer ones, and
// the same holds for promises other than TPAT, which grows with the length: a cell is passed over
// when the lowest rate has already failed with a shorter input or output.
Result<void> SearchGrid(const GridPlan& plan, const MeasureRate& measure);

}  // namespace headrace::benchmark
