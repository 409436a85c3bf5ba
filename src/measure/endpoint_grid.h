// Measures the grid of an endpoint into a benchmark file.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/result.h"
#include "benchmark/grid_search.h"
#include "measure/benchmark_file.h"
#include "measure/endpoint_benchmark.h"

namespace headrace::measure {

// Called after each new measurement.
using MeasurementObserver =
    std::function<void(const benchmark::Measurement&, const benchmark::GridProgress&)>;

// Searches the plan's grid. Points that the file already holds are not measured again; each new
// measurement is in the file before the observer hears of it.
Result<void> MeasureGrid(const benchmark::GridPlan& plan, EndpointBenchmark& endpoint,
                         BenchmarkFile& file, std::uint64_t seed,
                         const MeasurementObserver& observer);

// "output 64, input 256 tokens, 2 req/s: kept (E2E 1.2 s, P99 2 s, 200 requests)".
std::string Describe(const benchmark::Measurement& measured, const slo::Slo& slo);

}  // namespace headrace::measure
