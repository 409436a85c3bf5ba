#include "sim/forecast_record.h"

#include <algorithm>

namespace headrace::sim {

void ForecastRecord::AddTimes(const Prediction& predicted, Seconds ttft, Seconds e2e) {
  ttft_ratio.Add(ttft / predicted.ttft);
  e2e_ratio.Add(e2e / predicted.e2e);
}

void ForecastRecord::AddOutcome(const Prediction& predicted, bool missed) {
  const auto bound = std::ranges::lower_bound(kMissBounds, std::min(predicted.miss, 1.0));
  MissRange& range = misses[static_cast<std::size_t>(bound - kMissBounds.begin())];
  range.requests += 1;
  range.missed += missed ? 1 : 0;
  range.predicted += predicted.miss;
}

void ForecastRecord::Merge(const ForecastRecord& other) {
  ttft_ratio.Merge(other.ttft_ratio);
  e2e_ratio.Merge(other.e2e_ratio);
  for (std::size_t i = 0; i < misses.size(); ++i) {
    misses[i].requests += other.misses[i].requests;
    misses[i].missed += other.misses[i].missed;
    misses[i].predicted += other.misses[i].predicted;
  }
}

}  // namespace headrace::sim
