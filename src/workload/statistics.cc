#include "workload/statistics.h"

#include <limits>
#include <string_view>

#include "base/text.h"

namespace headrace::workload {
namespace {

void WriteLatency(std::string_view key, const Histogram& histogram,
                  std::span<const double> percentiles, JsonWriter& json) {
  const auto member = [&](std::string_view name, double value) {
    json.Key(name);
    histogram.count() == 0 ? json.Null() : json.Value(value);
  };
  json.Key(key).BeginObject();
  member("mean", histogram.Mean());
  for (const double percentile : percentiles) {
    member("p" + FormatJsonNumber(percentile), histogram.Quantile(percentile / 100));
  }
  json.EndObject();
}

}  // namespace

void ClassReport::Complete(const slo::RequestLatency& latency, std::optional<Seconds> queued,
                           bool met_its_slo) {
  ++completed;
  attained += met_its_slo;
  prompt_tokens += static_cast<std::uint64_t>(latency.prompt_tokens);
  output_tokens += static_cast<std::uint64_t>(latency.output_tokens);
  tpat.Add(latency.Tpat());
  ntpot.Add(latency.Ntpot());
  e2e.Add(latency.e2e);
  if (queued) queue.Add(*queued);
  if (!latency.ttft) return;
  ttft.Add(*latency.ttft);
  if (queued) ttft_without_queue.Add(*latency.ttft - *queued);
  if (latency.output_tokens > 1) tpot.Add(*latency.Tpot());
}

void ClassReport::Merge(const ClassReport& other) {
  offered += other.offered;
  completed += other.completed;
  refused += other.refused;
  timed_out += other.timed_out;
  failed += other.failed;
  attained += other.attained;
  prompt_tokens += other.prompt_tokens;
  output_tokens += other.output_tokens;
  ttft.Merge(other.ttft);
  tpot.Merge(other.tpot);
  tpat.Merge(other.tpat);
  ntpot.Merge(other.ntpot);
  e2e.Merge(other.e2e);
  queue.Merge(other.queue);
  ttft_without_queue.Merge(other.ttft_without_queue);
}

Rates RatesOf(const ClassReport& report, Seconds arrivals) {
  const auto per_second = [arrivals](std::uint64_t count) {
    return arrivals > 0 ? static_cast<double>(count) / arrivals
                        : std::numeric_limits<double>::quiet_NaN();
  };
  return {per_second(report.completed), per_second(report.attained),
          per_second(report.prompt_tokens), per_second(report.output_tokens)};
}

RunStatistics::RunStatistics(const std::vector<std::string>& class_names) {
  for (const std::string& name : class_names) classes_.push_back({.name = name, .report = {}});
}

bool RunStatistics::Complete(std::size_t class_index, const slo::RequestLatency& latency,
                             Seconds queued, const std::optional<slo::Slo>& slo) {
  const bool attained = !slo || slo::Attained(*slo, latency);
  classes_[class_index].report.Complete(latency, queued, attained);
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

void WriteReport(const ClassReport& report, const Rates& rates, JsonWriter& json,
                 std::span<const double> percentiles) {
  json.Member("offered", report.offered)
      .Member("completed", report.completed)
      .Member("refused", report.refused)
      .Member("timed_out", report.timed_out)
      .Member("failed", report.failed)
      .Member("attained", report.attained)
      .Member("attainment", report.Attainment())
      .Member("throughput_rps", rates.throughput)
      .Member("goodput_rps", rates.goodput)
      .Member("prompt_tokens_per_s", rates.prompt_tokens)
      .Member("output_tokens_per_s", rates.output_tokens);
  WriteLatency("ttft_s", report.ttft, percentiles, json);
  WriteLatency("ttft_without_queue_s", report.ttft_without_queue, percentiles, json);
  WriteLatency("tpot_s", report.tpot, percentiles, json);
  WriteLatency("tpat_s", report.tpat, percentiles, json);
  WriteLatency("ntpot_s", report.ntpot, percentiles, json);
  WriteLatency("e2e_s", report.e2e, percentiles, json);
  WriteLatency("queue_s", report.queue, percentiles, json);
}

void WriteStatistics(const RunStatistics& statistics, Seconds arrivals, JsonWriter& json) {
  const auto write = [&](const ClassReport& report) {
    WriteReport(report, RatesOf(report, arrivals), json);
  };
  write(statistics.Total());
  json.Key("classes").BeginObject();
  for (std::size_t i = 0; i < statistics.size(); ++i) {
    json.Key(statistics.name(i)).BeginObject();
    write(statistics.of(i));
    json.EndObject();
  }
  json.EndObject();
}

}  // namespace headrace::workload
