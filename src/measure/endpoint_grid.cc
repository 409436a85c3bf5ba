#include "measure/endpoint_grid.h"

#include "base/text.h"
#include "profile/gpu_profile.h"

namespace headrace::measure {
namespace {

std::string Outcome(const benchmark::Measurement& measured, const slo::Slo& slo) {
  const std::string figures = "(E2E " + FormatDuration(measured.e2e.mean) + ", P99 " +
                              FormatDuration(measured.e2e.p99) + ", " +
                              std::to_string(measured.samples) + " requests)";
  if (measured.ClientOverloaded()) {
    return "this client was too slow, late by " + FormatDuration(measured.send_lag) + " " + figures;
  }
  if (!measured.sustained || !measured.Finishes()) return "not sustained";
  return (benchmark::IsKept(measured, slo) ? "kept " : "SLO missed ") + figures;
}

}  // namespace

Result<void> MeasureGrid(const benchmark::GridPlan& plan, EndpointBenchmark& endpoint,
                         BenchmarkFile& file, std::uint64_t seed,
                         const MeasurementObserver& observer) {
  const auto measure =
      [&](const benchmark::GridPoint& point,
          const benchmark::GridProgress& progress) -> Result<benchmark::Measurement> {
    if (const auto known = file.Find(point)) return *known;
    HEADRACE_ASSIGN(const benchmark::Measurement measured, endpoint.Measure(point));
    HEADRACE_TRY(file.Add(measured, static_cast<std::int64_t>(seed)));
    observer(measured, progress);
    return measured;
  };
  const auto searched = benchmark::SearchGrid(plan, measure);
  // Also of a search that was stopped: it may be all that there will be.
  const auto ordered = file.Finish();
  HEADRACE_TRY(searched);
  return ordered;
}

std::string Describe(const benchmark::Measurement& measured, const slo::Slo& slo) {
  const benchmark::GridPoint& point = measured.point;
  return profile::CellName(point.output, point.input) + ", " + FormatNumber(point.rate) +
         " req/s: " + Outcome(measured, slo);
}

}  // namespace headrace::measure
