// Predictions of a run beside what happened.
#pragma once

#include <array>
#include <cstdint>

#include "base/histogram.h"
#include "base/units.h"

namespace headrace::sim {

// What a policy predicted of a request when it sent it.
struct Prediction {
  Seconds ttft = 0;  // From its arrival, as the SLO counts.
  Seconds e2e = 0;   // Of a response of the length that it really had: this judges the step times.
  double miss = 0;   // P(it misses its SLO); this judges lengths and step times together.
};

// How good a run's predictions were. Not thread-safe.
struct ForecastRecord {
  // Requests that were said to miss their SLO with a probability in one range.
  struct MissRange {
    std::uint64_t requests = 0;
    std::uint64_t missed = 0;  // Of these.
    double predicted = 0;      // Σ of their probabilities: how many misses were expected.
  };
  // The ranges' upper bounds; the first begins at 0.
  static constexpr std::array kMissBounds{0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 0.8, 1.0};

  Histogram ttft_ratio;  // Real / predicted, of completed requests.
  Histogram e2e_ratio;
  std::array<MissRange, kMissBounds.size()> misses;

  bool empty() const { return ttft_ratio.count() == 0; }
  void AddTimes(const Prediction& predicted, Seconds ttft, Seconds e2e);
  // For a request with an SLO.
  void AddOutcome(const Prediction& predicted, bool missed);
  void Merge(const ForecastRecord& other);
};

}  // namespace headrace::sim
