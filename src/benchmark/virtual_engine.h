// An emulated engine to measure in virtual time, as measure::EndpointBenchmark measures a real one.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "base/result.h"
#include "benchmark/measurement.h"
#include "engine/engine_model.h"

namespace headrace::benchmark {

struct VirtualOptions {
  std::string model;  // For the benchmark's rows.
  std::uint64_t seed = 1;
  // Requests per measurement, at least; up to eight times as many until the mean E2E has settled.
  int samples = 2000;
};

// Offers a rate to an idle engine, as Poisson arrivals. A warm-up of several lifetimes of a request
// is thrown away. Then everything that arrives in a window is measured until it has finished, while
// arrivals go on, so that no request profits from an engine that drains. Same arguments, same
// measurement.
class VirtualEngine {
 public:
  VirtualEngine(const engine::EngineConfig& engine, VirtualOptions options)
      : engine_(engine), options_(std::move(options)) {}

  // Errors: a point that is out of range or beyond the engine's context length.
  Result<Measurement> Measure(const GridPoint& point) const;

 private:
  // One run with `samples` requests in its window.
  Measurement MeasureOnce(const GridPoint& point, int samples) const;

  engine::EngineConfig engine_;
  VirtualOptions options_;
};

}  // namespace headrace::benchmark
