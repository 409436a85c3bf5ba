#include "serving/timeline.h"

#include <numeric>
#include <utility>

namespace headrace::serving {
namespace {

std::string WhyOf(const FinishedRequest& request) {
  if (!request.refusal.empty()) return request.refusal;
  if (request.fault) {
    std::string why(ToString(*request.fault));
    if (request.endpoint != nullptr) why += " at " + request.endpoint->address;
    return why;
  }
  return std::string(ToString(request.outcome));
}

bool IsFailure(telemetry::Outcome outcome) {
  using telemetry::Outcome;
  return outcome == Outcome::kEngineError || outcome == Outcome::kRefused ||
         outcome == Outcome::kTimedOut || outcome == Outcome::kFailed;
}

}  // namespace

std::int64_t TimelineInterval::Ended() const {
  return std::accumulate(ended.begin(), ended.end(), std::int64_t{0});
}

// Each of these looks at a thousand numbers: not for every request.
TimelineInterval Timeline::Pool::Last() const {
  TimelineInterval last = intervals.back();
  last.ttft_p50 = ttft.Quantile(0.5);
  last.ttft_p95 = ttft.Quantile(0.95);
  last.tpot_p50 = tpot.Quantile(0.5);
  last.tpot_p95 = tpot.Quantile(0.95);
  return last;
}

void Timeline::OnFinished(const FinishedRequest& request) {
  Add(request, request.arrived + request.whole);
}

void Timeline::Add(const FinishedRequest& request, Seconds now) {
  const std::int64_t number = NumberOf(now);
  const system::MutexLock lock(mutex_);
  if (number != looked_at_) Forget(number);
  auto found = pools_.find(request.pool);
  if (found == pools_.end()) found = pools_.emplace(std::string(request.pool), Pool()).first;
  Pool& pool = found->second;
  if (pool.intervals.empty() || pool.intervals.back().number < number) {
    if (!pool.intervals.empty()) pool.intervals.back() = pool.Last();
    pool.intervals.push_back({.number = number});
    pool.ttft = pool.tpot = Histogram();
    while (pool.intervals.front().number <= number - kIntervals) pool.intervals.pop_front();
  }
  TimelineInterval& interval = pool.intervals.back();
  ++interval.ended[static_cast<std::size_t>(request.outcome)];
  if (request.CountsForSlo()) {
    ++interval.promised;
    interval.met += request.MetSlo();
  }
  const slo::RequestLatency& latency = request.latency;
  if (request.outcome == telemetry::Outcome::kCompleted) {
    interval.output_tokens += latency.output_tokens;
    if (latency.ttft) {
      pool.ttft.Add(*latency.ttft);
      if (latency.output_tokens > 1) pool.tpot.Add(*latency.Tpot());
    }
  }
  if (!IsFailure(request.outcome)) return;
  failures_.push_front({.at = now,
                        .pool = std::string(request.pool),
                        .request_id = std::string(request.request_id.substr(0, kMostTextBytes)),
                        .outcome = request.outcome,
                        .why = WhyOf(request).substr(0, kMostTextBytes)});
  if (failures_.size() > kMostFailures) failures_.pop_back();
}

void Timeline::Forget(std::int64_t number) {
  looked_at_ = number;
  std::erase_if(pools_, [number](const auto& entry) {
    return entry.second.intervals.back().number <= number - kIntervals;
  });
}

std::vector<TimelineInterval> Timeline::Of(std::string_view pool, Seconds now) const {
  const std::int64_t number = NumberOf(now);
  const system::MutexLock lock(mutex_);
  const auto found = pools_.find(pool);
  std::vector<TimelineInterval> intervals;
  if (found == pools_.end()) return intervals;
  const std::deque<TimelineInterval>& kept = found->second.intervals;
  for (const TimelineInterval& interval : kept) {
    if (interval.number <= number - kIntervals) continue;
    intervals.push_back(&interval == &kept.back() ? found->second.Last() : interval);
  }
  return intervals;
}

std::vector<TimelineFailure> Timeline::Failures() const {
  const system::MutexLock lock(mutex_);
  return {failures_.begin(), failures_.end()};
}

}  // namespace headrace::serving
