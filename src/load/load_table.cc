#include "load/load_table.h"

#include "base/text.h"
#include "render/table.h"

namespace headrace::load {
namespace {

using render::Align;

std::string Latency(const Histogram& histogram, double scale, int decimals) {
  if (histogram.count() == 0) return "-";
  return FormatFixed(histogram.Quantile(0.5) * scale, decimals) + " / " +
         FormatFixed(histogram.Quantile(0.99) * scale, decimals);
}

std::uint64_t Ended(const workload::ClassReport& report) {
  return report.completed + report.refused + report.timed_out + report.failed;
}

// "97.5 %" of the requests that have ended.
std::string SloMet(const workload::ClassReport& report) {
  const std::uint64_t ended = Ended(report);
  if (ended == 0) return "-";
  return FormatPercent(static_cast<double>(report.attained) / static_cast<double>(ended)) + " %";
}

std::vector<std::string> Row(const std::string& name, const LoadCounts& counts, bool deployment) {
  const workload::ClassReport& report = counts.report;
  return {name,
          std::to_string(report.offered),
          std::to_string(counts.in_flight),
          deployment ? "" : std::to_string(counts.waiting),
          deployment ? "" : std::to_string(report.refused),
          SloMet(report),
          Latency(report.ttft, 1, 2),
          Latency(report.tpot, 1e3, 0),
          Latency(report.tpat, 1e3, 1)};
}

LoadCounts Total(const LoadSnapshot& snapshot) {
  LoadCounts total;
  for (const LoadCounts& counts : snapshot.classes) {
    total.waiting += counts.waiting;
    total.in_flight += counts.in_flight;
    total.report.Merge(counts.report);
  }
  return total;
}

}  // namespace

std::string LoadTable(const std::vector<std::string>& class_names, const LoadSnapshot& snapshot) {
  render::Table table{{{"class / GPU"},
                       {"offered", Align::kRight},
                       {"in flight", Align::kRight},
                       {"queued", Align::kRight},
                       {"refused", Align::kRight},
                       {"SLO met", Align::kRight},
                       {"TTFT s p50/p99", Align::kRight},
                       {"TPOT ms p50/p99", Align::kRight},
                       {"TPAT ms p50/p99", Align::kRight}},
                      {}};
  for (std::size_t i = 0; i < class_names.size(); ++i) {
    table.rows.push_back(Row(class_names[i], snapshot.classes[i], false));
    for (const auto& [deployment, counts] : snapshot.deployments[i]) {
      table.rows.push_back(Row("  " + deployment, counts, true));
    }
  }
  table.rows.push_back(Row("all", Total(snapshot), false));
  return render::RenderText(table);
}

std::string FailureLines(const LoadSnapshot& snapshot) {
  std::string lines;
  for (const auto& [what, count] : snapshot.failures) {
    lines += std::to_string(count) + " without a response: " + what + "\n";
  }
  return lines;
}

std::string ProgressText(const LoadSnapshot& snapshot, Seconds duration, bool draining) {
  const workload::ClassReport report = Total(snapshot).report;
  std::string text = FormatFixed(snapshot.elapsed, 0);
  if (duration < kNever) text += " of " + FormatFixed(duration, 0);
  text += draining ? " s (draining): " : " s: ";
  return text + std::to_string(snapshot.offered) + " sent, " + std::to_string(snapshot.open) +
         " open, " + std::to_string(report.refused) + " refused, " +
         std::to_string(report.failed + report.timed_out) + " failed or late, SLO met by " +
         SloMet(report) + " of those that ended";
}

}  // namespace headrace::load
