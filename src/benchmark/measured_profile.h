// GPU profiles measured on emulated engines, in virtual time.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "benchmark/generate.h"
#include "benchmark/grid_search.h"
#include "engine/engine_model.h"

namespace headrace::benchmark {

// Which cells and rates to measure of an emulated engine where nobody says: prompts of 16 … 8192
// and answers of 4 … 1024 tokens in powers of 2, as far as they fit into the engine's context;
// rates from 1/64 to 16384 req/s in steps of 5 %.
GridPlan EmulatedGrid(const slo::Slo& slo, Tokens context);

// How each of them is measured.
struct VirtualBenchmark {
  int samples = 2000;  // Requests, at least; eight times as many before it counts as unsettled.
  std::uint64_t seed = 1;
  std::string model;  // For the rows.
};

// Walks the plan; every measurement begins on an idle engine. Errors: as Measure. Same arguments,
// same rows.
Result<Benchmark> MeasureEngine(const engine::EngineConfig& engine, const GridPlan& plan,
                                const VirtualBenchmark& how);

// The profile that GenerateProfile makes of it, for options.slo. Errors: as there; no usable cell
// at all (the SLO cannot be met on this engine).
Result<GeneratedProfile> MeasureProfile(const engine::EngineConfig& engine,
                                        const GenerateOptions& options,
                                        const VirtualBenchmark& how = {});

// The profile that a mistaken benchmark would have made: rates `rates` times and latencies
// `latencies` times the true ones. A benchmark of a GPU that is as much faster has latencies =
// 1 / rates, which leaves the load by Little's law (1 / (rate · latency)) as it was and moves
// deadlines only; to get the load wrong as well, change one of the two.
profile::GpuProfile WithProfileError(const profile::GpuProfile& profile, double rates,
                                     double latencies);

}  // namespace headrace::benchmark
