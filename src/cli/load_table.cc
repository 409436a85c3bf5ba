#include "cli/load_table.h"

#include <cstdarg>
#include <cstdio>

namespace headrace::cli {
namespace {

__attribute__((format(printf, 1, 2))) std::string Format(const char* format, ...) {
  char text[256];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  return text;
}

std::string Latency(const Histogram& histogram, double scale, int digits) {
  if (histogram.count() == 0) return "-";
  return Format("%.*f / %.*f", digits, histogram.Quantile(0.5) * scale, digits,
                histogram.Quantile(0.99) * scale);
}

std::string Row(const std::string& name, const load::LoadCounts& counts, bool deployment) {
  const workload::ClassReport& report = counts.report;
  const std::uint64_t ended = report.completed + report.rejected + report.timed_out + report.failed;
  const std::string met = ended == 0
                              ? "-"
                              : Format("%.1f %%", 100 * static_cast<double>(report.attained) /
                                                      static_cast<double>(ended));
  const std::string queued =
      deployment ? "" : Format("%llu", static_cast<unsigned long long>(counts.waiting));
  const std::string refused =
      deployment ? "" : Format("%llu", static_cast<unsigned long long>(report.rejected));
  return Format("%-18s %8llu %9llu %7s %8s %8s %16s %15s %15s\n", name.c_str(),
                static_cast<unsigned long long>(report.offered),
                static_cast<unsigned long long>(counts.in_flight), queued.c_str(), refused.c_str(),
                met.c_str(), Latency(report.ttft, 1, 2).c_str(),
                Latency(report.tpot, 1e3, 0).c_str(), Latency(report.tpat, 1e3, 1).c_str());
}

}  // namespace

std::string LoadTable(const std::vector<std::string>& class_names,
                      const load::LoadSnapshot& snapshot) {
  std::string table = Format("%-18s %8s %9s %7s %8s %8s %16s %15s %15s\n", "class / GPU", "offered",
                             "in flight", "queued", "refused", "SLO met", "TTFT s p50/p99",
                             "TPOT ms p50/p99", "TPAT ms p50/p99");
  load::LoadCounts all;
  for (std::size_t i = 0; i < class_names.size(); ++i) {
    table += Row(class_names[i], snapshot.classes[i], false);
    for (const auto& [deployment, counts] : snapshot.deployments[i]) {
      table += Row("  " + deployment, counts, true);
    }
    all.waiting += snapshot.classes[i].waiting;
    all.in_flight += snapshot.classes[i].in_flight;
    all.report.Merge(snapshot.classes[i].report);
  }
  return table + Row("all", all, false);
}

std::string FailureLines(const load::LoadSnapshot& snapshot) {
  std::string lines;
  for (const auto& [what, count] : snapshot.failures) {
    lines +=
        Format("%llu without an answer: ", static_cast<unsigned long long>(count)) + what + "\n";
  }
  return lines;
}

}  // namespace headrace::cli
