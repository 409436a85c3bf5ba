#include "load/load_table.h"

#include <algorithm>
#include <cmath>

#include "base/text.h"
#include "render/table.h"

namespace headrace::load {
namespace {

using render::Align;

std::string Latency(const workload::ClassReport& report, const Histogram& histogram,
                    std::span<const double> percentiles, double scale, int decimals) {
  if (report.completed == 0) return "-";
  if (histogram.count() == 0) return "n/a";
  std::string text;
  for (const double percentile : percentiles) {
    text += (text.empty() ? "" : " / ") +
            FormatFixed(histogram.Quantile(percentile / 100) * scale, decimals);
  }
  return text;
}

// "TTFT s p50/p99"
std::string LatencyTitle(std::string_view name, std::span<const double> percentiles) {
  std::string title(name);
  for (const double percentile : percentiles) {
    title.append(title.size() == name.size() ? " p" : "/p").append(FormatJsonNumber(percentile));
  }
  return title;
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

std::vector<std::string> Row(const std::string& name, const LoadCounts& counts, bool deployment,
                             std::span<const double> percentiles) {
  const workload::ClassReport& report = counts.report;
  return {name,
          std::to_string(report.offered),
          std::to_string(counts.in_flight),
          deployment ? "" : std::to_string(counts.waiting),
          deployment ? "" : std::to_string(report.refused),
          SloMet(report),
          Latency(report, report.ttft, percentiles, 1, 2),
          Latency(report, report.tpot, percentiles, 1e3, 0),
          Latency(report, report.tpat, percentiles, 1e3, 1)};
}

std::string RateText(double rate) { return std::isfinite(rate) ? FormatNumber(rate) : "-"; }

// `scaled`: the stages differ in the factor on their rates.
std::string StageName(const LoadOptions& options, bool scaled) {
  if (options.concurrency > 0) return std::to_string(options.concurrency) + " at a time";
  return scaled ? "rate × " + FormatNumber(options.rate_scale)
                : FormatNumber(OfferedRate(options)) + "/s";
}

}  // namespace

std::string LoadTable(const std::vector<std::string>& class_names, const LoadSnapshot& snapshot,
                      std::span<const double> percentiles) {
  render::Table table{{{"class / GPU"},
                       {"offered", Align::kRight},
                       {"in flight", Align::kRight},
                       {"queued", Align::kRight},
                       {"refused", Align::kRight},
                       {"SLO met", Align::kRight},
                       {LatencyTitle("TTFT s", percentiles), Align::kRight},
                       {LatencyTitle("TPOT ms", percentiles), Align::kRight},
                       {LatencyTitle("TPAT ms", percentiles), Align::kRight}},
                      {}};
  for (std::size_t i = 0; i < class_names.size(); ++i) {
    table.rows.push_back(Row(class_names[i], snapshot.classes[i], false, percentiles));
    for (const auto& [deployment, counts] : snapshot.deployments[i]) {
      table.rows.push_back(Row("  " + deployment, counts, true, percentiles));
    }
  }
  table.rows.push_back(Row("all", snapshot.Total(), false, percentiles));
  return render::RenderText(table);
}

std::string StageTable(std::span<const LoadStage> stages, std::span<const double> percentiles) {
  render::Table table{{{"stage"},
                       {"offered", Align::kRight},
                       {"completed", Align::kRight},
                       {"refused", Align::kRight},
                       {"SLO met", Align::kRight},
                       {"req/s", Align::kRight},
                       {"goodput/s", Align::kRight},
                       {"output tok/s", Align::kRight},
                       {LatencyTitle("TTFT s", percentiles), Align::kRight},
                       {LatencyTitle("TPOT ms", percentiles), Align::kRight},
                       {LatencyTitle("E2E s", percentiles), Align::kRight}},
                      {}};
  const bool scaled = std::ranges::any_of(stages, [&](const LoadStage& stage) {
    return stage.options.rate_scale != stages.front().options.rate_scale;
  });
  for (const LoadStage& stage : stages) {
    const LoadCounts total = stage.snapshot.Total();
    const workload::ClassReport& report = total.report;
    const workload::Rates rates = RatesOf(stage.options, stage.snapshot, total);
    table.rows.push_back({StageName(stage.options, scaled), std::to_string(report.offered),
                          std::to_string(report.completed), std::to_string(report.refused),
                          SloMet(report), RateText(rates.throughput), RateText(rates.goodput),
                          RateText(rates.output_tokens),
                          Latency(report, report.ttft, percentiles, 1, 2),
                          Latency(report, report.tpot, percentiles, 1e3, 1),
                          Latency(report, report.e2e, percentiles, 1, 2)});
  }
  return render::RenderText(table);
}

std::string RateLine(const LoadStage& stage) {
  const bool closed = stage.options.concurrency > 0;
  if (stage.snapshot.offered == 0 && stage.snapshot.not_counted.empty()) {
    return stage.snapshot.warm_up > 0 ? "All requests were the warm-up; none came after it.\n"
                                      : "No request came.\n";
  }
  if (stage.snapshot.offered == 0) return "All requests were left out; there are no rates.\n";
  if (!(stage.snapshot.arrivals > 0)) {
    return "The run was too short for rates: send more requests" +
           std::string(closed ? " than are open at a time" : "") + ".\n";
  }
  const workload::Rates rates = RatesOf(stage.options, stage.snapshot, stage.snapshot.Total());
  return "Per second of " + FormatNumber(stage.snapshot.arrivals) + " s" +
         (closed ? " with " + std::to_string(stage.options.concurrency) + " requests open"
                 : std::string(" of arrivals")) +
         ": " + FormatNumber(rates.throughput) + " requests completed, " +
         FormatNumber(rates.goodput) + " within their SLO (goodput), " +
         FormatNumber(rates.prompt_tokens) + " prompt and " + FormatNumber(rates.output_tokens) +
         " output tokens.\n";
}

std::string FailureLines(const LoadSnapshot& snapshot) {
  constexpr std::size_t kMost = 5;
  const auto failures = snapshot.CommonestFailures();
  std::string lines;
  for (std::size_t i = 0; i < std::min(failures.size(), kMost); ++i) {
    const auto& [reason, failure] = failures[i];
    if (failure.count == 0) continue;  // Of the warm-up.
    lines += std::to_string(failure.count) + " not completed: " + reason +
             (failure.example.empty() ? "" : ", e.g. \"" + failure.example + "\"") + "\n";
  }
  if (failures.size() > kMost) {
    lines += "and " + std::to_string(failures.size() - kMost) + " rarer reasons\n";
  }
  return lines;
}

std::string ProgressText(const LoadSnapshot& snapshot, Seconds duration, bool draining) {
  const workload::ClassReport report = snapshot.Total().report;
  std::string text = FormatFixed(snapshot.elapsed, 0);
  if (duration < kNever) text += " of " + FormatFixed(duration, 0);
  text += draining ? " s (draining): " : " s: ";
  return text + std::to_string(snapshot.offered) + " sent, " + std::to_string(snapshot.open) +
         " open, " + std::to_string(report.refused) + " refused, " +
         std::to_string(report.failed + report.timed_out) + " failed or late, SLO met by " +
         SloMet(report) + " of those that ended";
}

}  // namespace headrace::load
