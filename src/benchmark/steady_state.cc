#include "benchmark/steady_state.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace headrace::benchmark {
namespace {

double Percentile(const std::vector<double>& sorted, double share) {
  const double at = share * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(at);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  const double part = at - static_cast<double>(below);
  return sorted[below] * (1 - part) + sorted[above] * part;
}

}  // namespace

Statistics Summarize(std::vector<double>& sample) {
  if (sample.empty()) return {};
  std::sort(sample.begin(), sample.end());
  Statistics statistics;
  statistics.mean =
      std::accumulate(sample.begin(), sample.end(), 0.0) / static_cast<double>(sample.size());
  statistics.p50 = Percentile(sample, 0.5);
  statistics.p90 = Percentile(sample, 0.9);
  statistics.p95 = Percentile(sample, 0.95);
  statistics.p99 = Percentile(sample, 0.99);
  return statistics;
}

double RelativeErrorOfMean(std::span<const double> series) {
  constexpr int kBatches = 10;
  const std::size_t length = series.size() / kBatches;
  if (length < 2) return std::numeric_limits<double>::infinity();
  double sum = 0;
  double squares = 0;
  for (std::size_t batch = 0; batch < kBatches; ++batch) {
    double mean = 0;
    for (const double value : series.subspan(batch * length, length)) mean += value;
    mean /= static_cast<double>(length);
    sum += mean;
    squares += mean * mean;
  }
  const double mean = sum / kBatches;
  if (!(mean > 0)) return std::numeric_limits<double>::infinity();
  const double variance = std::max(0.0, squares / kBatches - mean * mean);
  return std::sqrt(variance / (kBatches - 1)) / mean;
}

bool BacklogGrew(std::span<const TimedRequest> requests, Seconds begin, Seconds end, double rate,
                 double share) {
  const Seconds half = (end - begin) / 2;
  double before = 0;
  double after = 0;
  const auto overlap = [](const TimedRequest& request, Seconds from, Seconds to) {
    return std::max(0.0, std::min(request.finished, to) - std::max(request.arrival, from));
  };
  for (const TimedRequest& request : requests) {
    before += overlap(request, begin, begin + half) / half;
    after += overlap(request, begin + half, end) / half;
  }
  const double growth = after - before;
  return growth > share * rate * half && growth > 3 * std::sqrt(before + 1);
}

Measurement MeasureWindow(std::span<const TimedRequest> requests, Seconds begin, Seconds end,
                          const GridPoint& point) {
  std::vector<double> e2e;
  std::vector<double> ttft;
  std::vector<double> tpot;
  std::int64_t completed = 0;
  for (const TimedRequest& request : requests) {
    if (request.finished >= begin && request.finished < end) ++completed;
    if (request.arrival < begin || request.arrival >= end || request.finished == kNever) continue;
    e2e.push_back(request.finished - request.arrival);
    ttft.push_back(request.first_token - request.arrival);
    tpot.push_back(point.output > 1 ? (request.finished - request.first_token) / (point.output - 1)
                                    : 0);
  }
  Measurement measured{.point = point};
  measured.tput = static_cast<double>(completed) / (end - begin);
  measured.tt = measured.tput * point.output;
  measured.samples = static_cast<std::int64_t>(e2e.size());
  measured.e2e_error = RelativeErrorOfMean(e2e);
  measured.e2e = Summarize(e2e);
  measured.ttft = Summarize(ttft);
  measured.tpot = Summarize(tpot);
  measured.sustained = !BacklogGrew(requests, begin, end, point.rate, 0.05);
  return measured;
}

}  // namespace headrace::benchmark
