// What became of the requests of the last half hour, ten seconds by ten seconds.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/histogram.h"
#include "base/units.h"
#include "serving/finished_request.h"
#include "system/mutex.h"
#include "telemetry/headrace_metrics.h"

namespace headrace::serving {

// The requests that ended in one interval.
struct TimelineInterval {
  std::int64_t number = 0;  // It begins at number · Timeline::kInterval on the monotonic clock.
  std::array<std::int64_t, telemetry::kOutcomes> ended = {};  // By outcome.
  std::int64_t promised = 0;                                  // Those that count for an SLO, …
  std::int64_t met = 0;                                       // … and those of them that met it.
  std::int64_t output_tokens = 0;
  // Of streams that were completed; 0: there were none.
  Seconds ttft_p50 = 0;
  Seconds ttft_p95 = 0;
  Seconds tpot_p50 = 0;
  Seconds tpot_p95 = 0;

  std::int64_t Ended() const;
};

// A request that did not get what it asked for.
struct TimelineFailure {
  Seconds at = 0;  // MonotonicNow.
  std::string pool;
  std::string request_id;
  telemetry::Outcome outcome = telemetry::Outcome::kFailed;
  std::string why;  // A sentence or a phrase.
};

// Keeps the last half hour of each pool, and the last failures of all. Thread-safe.
class Timeline final : public RequestObserver {
 public:
  static constexpr Seconds kInterval = 10;
  static constexpr std::int64_t kIntervals = 180;
  static constexpr std::size_t kMostFailures = 50;
  // Longer texts are cut, so that clients cannot fill the memory with them.
  static constexpr std::size_t kMostTextBytes = 512;

  void OnFinished(const FinishedRequest& request) override;
  // The same at a given time, for tests.
  void Add(const FinishedRequest& request, Seconds now);

  // Those intervals in which something ended, the oldest first.
  std::vector<TimelineInterval> Of(std::string_view pool, Seconds now) const;
  // The latest first.
  std::vector<TimelineFailure> Failures() const;

 private:
  struct Pool {
    std::deque<TimelineInterval> intervals;  // The last one lacks its quantiles: see Last.
    // Of the last interval.
    Histogram ttft;
    Histogram tpot;

    TimelineInterval Last() const;
  };

  static std::int64_t NumberOf(Seconds now) { return static_cast<std::int64_t>(now / kInterval); }
  void Forget(std::int64_t number) HEADRACE_REQUIRES(mutex_);

  mutable system::Mutex mutex_;
  std::map<std::string, Pool, std::less<>> pools_ HEADRACE_GUARDED_BY(mutex_);
  std::int64_t looked_at_ HEADRACE_GUARDED_BY(mutex_) = 0;  // For pools that are gone.
  std::deque<TimelineFailure> failures_ HEADRACE_GUARDED_BY(mutex_);
};

}  // namespace headrace::serving
