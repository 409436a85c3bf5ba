#include "workload/statistics.h"

#include <nlohmann/json.hpp>

#include "base/text.h"

namespace headrace::workload {
namespace {

std::string Percentiles(const Histogram& histogram) {
  const auto at = [&](double quantile) {
    return histogram.count() == 0 ? "null" : FormatJsonNumber(histogram.Quantile(quantile));
  };
  return "{\"p50\": " + at(0.5) + ", \"p90\": " + at(0.9) + ", \"p99\": " + at(0.99) + "}";
}

}  // namespace

void ClassReport::Merge(const ClassReport& other) {
  offered += other.offered;
  completed += other.completed;
  rejected += other.rejected;
  timed_out += other.timed_out;
  failed += other.failed;
  attained += other.attained;
  ttft.Merge(other.ttft);
  tpot.Merge(other.tpot);
  tpat.Merge(other.tpat);
  e2e.Merge(other.e2e);
  queue.Merge(other.queue);
}

RunStatistics::RunStatistics(const std::vector<std::string>& class_names) {
  for (const std::string& name : class_names) classes_.push_back({.name = name, .report = {}});
}

bool RunStatistics::Complete(std::size_t class_index, const slo::RequestLatency& latency,
                             Seconds queued, const std::optional<slo::Slo>& slo) {
  ClassReport& report = classes_[class_index].report;
  ++report.completed;
  report.ttft.Add(latency.ttft);
  if (latency.output_tokens > 1) report.tpot.Add(latency.Tpot());
  report.tpat.Add(latency.Tpat());
  report.e2e.Add(latency.e2e);
  report.queue.Add(queued);
  const bool attained = !slo || slo::Attained(*slo, latency);
  report.attained += attained;
  return attained;
}

ClassReport RunStatistics::Total() const {
  ClassReport total;
  for (const NamedReport& entry : classes_) total.Merge(entry.report);
  return total;
}

std::string FormatReportMembers(const ClassReport& report, Seconds duration) {
  std::string text;
  const auto count = [&text](const char* key, std::uint64_t value) {
    text += "\"" + std::string(key) + "\": " + std::to_string(value) + ", ";
  };
  count("offered", report.offered);
  count("completed", report.completed);
  count("rejected", report.rejected);
  count("timed_out", report.timed_out);
  count("failed", report.failed);
  count("attained", report.attained);
  const double goodput = duration > 0 ? static_cast<double>(report.attained) / duration : 0;
  text += "\"attainment\": " + FormatJsonNumber(report.Attainment());
  text += ", \"goodput_rps\": " + FormatJsonNumber(goodput);
  text += ", \"ttft_s\": " + Percentiles(report.ttft);
  text += ", \"tpot_s\": " + Percentiles(report.tpot);
  text += ", \"tpat_s\": " + Percentiles(report.tpat);
  text += ", \"e2e_s\": " + Percentiles(report.e2e);
  text += ", \"queue_s\": " + Percentiles(report.queue);
  return text;
}

std::string FormatStatisticsMembers(const RunStatistics& statistics, Seconds duration) {
  std::string text = FormatReportMembers(statistics.Total(), duration) + ", \"classes\": {";
  for (std::size_t i = 0; i < statistics.size(); ++i) {
    text += (i == 0 ? "" : ", ") + nlohmann::json(statistics.name(i)).dump() + ": {" +
            FormatReportMembers(statistics.of(i), duration) + "}";
  }
  return text + "}";
}

}  // namespace headrace::workload
