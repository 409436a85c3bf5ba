#include "workload/trace_summary.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <iterator>
#include <span>
#include <utility>

#include "base/text.h"

namespace headrace::workload {
namespace {

constexpr std::array<Seconds, 4> kWindows{1, 10, 60, 600};
constexpr std::size_t kMostParts = 120;
constexpr std::size_t kRequestsPerPart = 10;
constexpr std::size_t kLeastWindows = 10;
constexpr std::size_t kLeastInWindow = 20;

LengthSummary SummarizeLengths(std::vector<Tokens> lengths) {
  std::ranges::sort(lengths);
  // The nearest rank.
  const auto at = [&lengths](double percent) {
    const auto rank =
        static_cast<std::size_t>(std::ceil(percent / 100 * static_cast<double>(lengths.size())));
    return lengths[std::max(rank, std::size_t{1}) - 1];
  };
  LengthSummary summary{.p50 = at(50),
                        .p90 = at(90),
                        .p95 = at(95),
                        .p99 = at(99),
                        .most = lengths.back(),
                        .percentiles = {},
                        .doublings = {}};
  double sum = 0;
  summary.doublings.resize(std::bit_width(static_cast<unsigned>(lengths.back())));
  for (const Tokens tokens : lengths) {
    sum += tokens;
    ++summary.doublings[std::bit_width(static_cast<unsigned>(tokens)) - 1];
  }
  summary.mean = sum / static_cast<double>(lengths.size());
  for (int percent = 0; percent <= 100; ++percent) summary.percentiles.push_back(at(percent));
  return summary;
}

struct Moments {
  double mean = 0;
  double variance = 0;
};
Moments MomentsOf(std::span<const double> values) {
  Moments moments;
  for (const double value : values) moments.mean += value;
  moments.mean /= static_cast<double>(values.size());
  for (const double value : values) moments.variance += std::pow(value - moments.mean, 2);
  moments.variance /= static_cast<double>(values.size());
  return moments;
}

double CvOf(std::span<const double> values) {
  if (values.empty()) return 0;
  const auto [mean, variance] = MomentsOf(values);
  return mean > 0 ? std::sqrt(variance) / mean : 0;
}

std::vector<double> GapsOf(std::span<const TraceRow> rows) {
  std::vector<double> gaps;
  for (std::size_t i = 1; i < rows.size(); ++i) gaps.push_back(rows[i].at - rows[i - 1].at);
  return gaps;
}

BurstSummary SummarizeBursts(const Trace& trace, Seconds window) {
  BurstSummary bursts{.window = window, .gap_cv = {}};
  // Whole windows only: the rest at the end would count as a lull.
  const auto windows = static_cast<std::size_t>((trace.back().at - trace.front().at) / window);
  std::vector<double> counts;
  std::vector<double> cvs;
  std::size_t first = 0;
  for (std::size_t w = 0; w < windows; ++w) {
    const Seconds end = trace.front().at + window * static_cast<double>(w + 1);
    std::size_t next = first;
    while (next < trace.size() && trace[next].at < end) ++next;
    counts.push_back(static_cast<double>(next - first));
    if (next - first >= kLeastInWindow) {
      cvs.push_back(CvOf(GapsOf(std::span(trace).subspan(first, next - first))));
    }
    first = next;
  }
  const auto [mean, variance] = MomentsOf(counts);
  bursts.peak_rate = std::ranges::max(counts) / window;
  bursts.dispersion = mean > 0 ? variance / mean : 0;
  if (!cvs.empty()) {
    const auto middle = cvs.begin() + std::ssize(cvs) / 2;
    std::ranges::nth_element(cvs, middle);
    bursts.gap_cv = *middle;
  }
  return bursts;
}

}  // namespace

TraceSummary Summarize(const RequestFile& file) {
  const Trace& trace = file.rows;
  std::vector<Tokens> prompts;
  std::vector<Tokens> outputs;
  for (const TraceRow& row : trace) {
    prompts.push_back(row.length.prompt_tokens);
    outputs.push_back(row.length.output_tokens);
  }
  TraceSummary summary{.requests = trace.size(),
                       .timed = file.timed,
                       .prompt = SummarizeLengths(std::move(prompts)),
                       .output = SummarizeLengths(std::move(outputs)),
                       .rates = {},
                       .bursts = {}};
  summary.span = trace.back().at - trace.front().at;
  if (!file.timed || summary.span <= 0) return summary;
  summary.mean_rate = MeanRate(trace);
  summary.gap_cv = CvOf(GapsOf(trace));
  const std::size_t parts = std::clamp(trace.size() / kRequestsPerPart, std::size_t{1}, kMostParts);
  summary.rates.assign(parts, 0);
  const Seconds part = summary.span / static_cast<double>(parts);
  for (const TraceRow& row : trace) {
    const auto place = static_cast<std::size_t>((row.at - trace.front().at) / part);
    summary.rates[std::min(place, parts - 1)] += 1 / part;
  }
  for (const Seconds window : kWindows) {
    if (summary.span < window * kLeastWindows) break;
    summary.bursts.push_back(SummarizeBursts(trace, window));
  }
  return summary;
}

BeyondContext CountBeyond(const Trace& trace, Tokens context) {
  BeyondContext beyond;
  for (const TraceRow& row : trace) {
    if (row.length.prompt_tokens >= context) {
      ++beyond.prompts;
    } else if (row.length.output_tokens > context - row.length.prompt_tokens) {
      ++beyond.outputs;
    }
  }
  return beyond;
}

std::vector<std::string> DescribeReplays(const Workload& workload, Seconds duration,
                                         double rate_scale) {
  std::vector<std::string> sentences;
  for (const WorkloadClass& spec : workload.classes) {
    const auto* replay = std::get_if<ReplayArrivals>(&spec.arrivals);
    if (replay == nullptr || replay->trace->empty()) continue;
    const Trace& trace = *replay->trace;
    const double speed = replay->speed * rate_scale;
    const Seconds span = trace.back().at / speed;
    const std::string lasts = "class " + spec.name + ": its trace lasts " + FormatDuration(span) +
                              (speed == 1 ? "" : " at speed " + FormatNumber(speed));
    if (span < duration) {
      sentences.push_back(lasts + ", the run " + FormatDuration(duration) +
                          ", so nothing comes of it at the end; shorten the run, or the rate over "
                          "all of it is lower than the trace's");
      continue;
    }
    if (replay->random_start) {
      sentences.push_back(lasts + "; each run has " + FormatDuration(duration) +
                          " of it, from a time that the seed draws");
      continue;
    }
    const auto end = std::ranges::upper_bound(trace, duration * speed, {}, &TraceRow::at);
    if (end == trace.end()) continue;
    sentences.push_back(lasts + ", the run " + FormatDuration(duration) + ": it has the first " +
                        std::to_string(end - trace.begin()) + " of " +
                        std::to_string(trace.size()) + " requests");
  }
  return sentences;
}

}  // namespace headrace::workload
