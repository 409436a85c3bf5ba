#include "workload/statistics.h"

#include <string_view>
#include <utility>

namespace headrace::workload {
namespace {

void WritePercentiles(std::string_view key, const Histogram& histogram, JsonWriter& json) {
  json.Key(key).BeginObject();
  for (const auto& [name, quantile] : {std::pair("p50", 0.5), {"p90", 0.9}, {"p99", 0.99}}) {
    json.Key(name);
    histogram.count() == 0 ? json.Null() : json.Value(histogram.Quantile(quantile));
  }
  json.EndObject();
}

}  // namespace

void ClassReport::Merge(const ClassReport& other) {
  offered += other.offered;
  completed += other.completed;
  refused += other.refused;
  timed_out += other.timed_out;
  failed += other.failed;
  attained += other.attained;
  ttft.Merge(other.ttft);
  tpot.Merge(other.tpot);
  tpat.Merge(other.tpat);
  ntpot.Merge(other.ntpot);
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
  report.ntpot.Add(latency.Ntpot());
  report.e2e.Add(latency.e2e);
  report.queue.Add(queued);
  const bool attained = !slo || slo::Attained(*slo, latency);
  report.attained += attained;
  return attained;
}

std::optional<std::size_t> RunStatistics::WorstClass() const {
  std::optional<std::size_t> worst;
  for (std::size_t i = 0; i < classes_.size(); ++i) {
    if (of(i).offered == 0) continue;
    if (!worst || of(i).Attainment() < of(*worst).Attainment()) worst = i;
  }
  return worst;
}

ClassReport RunStatistics::Total() const {
  ClassReport total;
  for (const NamedReport& entry : classes_) total.Merge(entry.report);
  return total;
}

void WriteReport(const ClassReport& report, Seconds duration, JsonWriter& json) {
  json.Member("offered", report.offered)
      .Member("completed", report.completed)
      .Member("refused", report.refused)
      .Member("timed_out", report.timed_out)
      .Member("failed", report.failed)
      .Member("attained", report.attained)
      .Member("attainment", report.Attainment())
      .Member("goodput_rps", duration > 0 ? static_cast<double>(report.attained) / duration : 0.0);
  WritePercentiles("ttft_s", report.ttft, json);
  WritePercentiles("tpot_s", report.tpot, json);
  WritePercentiles("tpat_s", report.tpat, json);
  WritePercentiles("ntpot_s", report.ntpot, json);
  WritePercentiles("e2e_s", report.e2e, json);
  WritePercentiles("queue_s", report.queue, json);
}

void WriteStatistics(const RunStatistics& statistics, Seconds duration, JsonWriter& json) {
  WriteReport(statistics.Total(), duration, json);
  json.Key("classes").BeginObject();
  for (std::size_t i = 0; i < statistics.size(); ++i) {
    json.Key(statistics.name(i)).BeginObject();
    WriteReport(statistics.of(i), duration, json);
    json.EndObject();
  }
  json.EndObject();
}

}  // namespace headrace::workload
