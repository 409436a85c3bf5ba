// GPU profiles measured on emulated engines, in virtual time.
#pragma once

#include "base/result.h"
#include "benchmark/benchmark_rows.h"
#include "benchmark/generate.h"
#include "benchmark/grid_search.h"
#include "benchmark/virtual_engine.h"
#include "engine/engine_model.h"

namespace headrace::benchmark {

// The default cells and rates for an emulated engine: prompts of 16 … 8192 and outputs of 4 … 1024
// tokens in powers of 2, as far as they fit into the engine's context; rates from 1/64 to 16384
// req/s in steps of 5 %.
GridPlan EmulatedGrid(const slo::Slo& slo, Tokens context);

// Searches the plan; every measurement begins on an idle engine. Errors: as VirtualEngine::Measure.
// Same arguments, same rows.
Result<Benchmark> MeasureEngine(const engine::EngineConfig& engine, const GridPlan& plan,
                                const VirtualOptions& measuring);

// The profile that GenerateProfile makes of the EmulatedGrid, for options.slo; without a usable
// cell (HasUsableCell) where the SLO cannot be met on this engine. Errors: as there.
Result<GeneratedProfile> MeasureProfile(const engine::EngineConfig& engine,
                                        const GenerateOptions& options,
                                        const VirtualOptions& measuring = {});

// The profile that a wrong benchmark would have given: rates are `rates` times and latencies
// `latencies` times the true ones. For a benchmark of a GPU that is faster by a factor,
// latencies = 1 / rates: the load by Little's law (1 / (rate · latency)) stays the same and only
// deadlines move. To make the load wrong as well, change one of the two.
profile::GpuProfile WithProfileError(const profile::GpuProfile& profile, double rates,
                                     double latencies);

}  // namespace headrace::benchmark
