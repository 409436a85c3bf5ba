#include "benchmark/measurement.h"

#include <optional>

namespace headrace::benchmark {

double Statistics::At(int percentile) const {
  switch (percentile) {
    case 50:
      return p50;
    case 90:
      return p90;
    case 95:
      return p95;
    case 99:
      return p99;
    default:
      return mean;
  }
}

bool IsKept(const Measurement& measured, const slo::Slo& slo) {
  const GridPoint& point = measured.point;
  const auto below = [&](const Statistics& value, std::optional<Seconds> target, int tokens) {
    return !target || value.At(slo.percentile) / tokens < *target;
  };
  return measured.sustained && measured.Finishes() && below(measured.e2e, slo.e2e, 1) &&
         below(measured.ttft, slo.ttft, 1) && below(measured.tpot, slo.tpot, 1) &&
         below(measured.e2e, slo.tpat, point.input + point.output) &&
         below(measured.e2e, slo.ntpot, point.output);
}

}  // namespace headrace::benchmark
