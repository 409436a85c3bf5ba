// What an open-loop benchmark of an emulated engine would measure, in virtual time.
#pragma once

#include <cstdint>

#include "base/result.h"
#include "base/units.h"
#include "benchmark/steady_state.h"
#include "engine/engine_model.h"

namespace headrace::benchmark {

// One cell of the benchmark grid.
struct MeasureCell {
  Tokens input = 0;   // ≥ 1.
  Tokens output = 0;  // ≥ 1.
  double rate = 0;    // Offered requests per second, Poisson arrivals; > 0.
  std::uint64_t seed = 0;
  int samples = 200;  // Requests to measure, at least.
};

// The figures of the benchmark rows (AIBrix's JSONL) for one cell.
struct CellMeasurement {
  double tput = 0;  // Requests completed per second of the window.
  double tt = 0;    // Output tokens of those, per second.
  SampleStatistics e2e;
  SampleStatistics ttft;
  SampleStatistics tpot;     // (E2E − TTFT) / (output − 1); 0 for one token.
  std::int64_t samples = 0;  // Requests behind e2e, ttft and tpot.
  // False when the backlog grew through the window: the rate is beyond the engine, and the
  // latencies say more about the length of the measurement than about the engine.
  bool sustained = true;
  // Relative standard error of e2e.mean (RelativeErrorOfMean, in order of arrival).
  double e2e_error = 0;
};

// Offers `cell.rate` to an idle engine. A warm-up of several lifetimes of a request is thrown away;
// then everything that arrives in a window is measured until it has finished, while arrivals go on,
// so that nobody profits from a drain. `tput` counts completions inside the window, whoever they
// belong to: the steady-state rate, not the requests divided by a run with its drain. Errors: a
// cell that is out of range or beyond the context length. Same cell, same figures.
Result<CellMeasurement> Measure(const engine::EngineConfig& config, const MeasureCell& cell);

}  // namespace headrace::benchmark
