// Tells AIBrix's GPU optimizer, through Redis, which requests there are.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "serving/finished_request.h"
#include "serving/pool.h"
#include "store/redis.h"
#include "store/request_trace.h"
#include "system/mutex.h"
#include "telemetry/standing_faults.h"

namespace headrace::serving {

// Writes every pool's trace at every full ten seconds of the clock, on its own thread, while it has
// a Redis to write to. What cannot be written is dropped and logged. Thread-safe.
class RequestTraceFeed final : public RequestObserver {
 public:
  // What is passed in must outlive the feed.
  RequestTraceFeed(const Pools& pools, telemetry::StandingFaults& faults);
  ~RequestTraceFeed() override;

  // Where to write from now on; nullopt: nothing is written.
  void SetRedis(const std::optional<store::RedisUrl>& url);

  void OnArrived(std::string_view pool, Seconds arrived) override;
  void OnFinished(const FinishedRequest& request) override;

 private:
  void Run();
  void Write(std::int64_t interval_end);

  const Pools& pools_;
  telemetry::StandingFaults& faults_;
  std::atomic<bool> writes_ = false;
  system::Mutex mutex_;
  system::ConditionVariable stop_;
  bool stopping_ HEADRACE_GUARDED_BY(mutex_) = false;
  std::shared_ptr<store::Redis> redis_ HEADRACE_GUARDED_BY(mutex_);  // Null: nothing is written.
  // By pool; of this interval.
  std::map<std::string, store::RequestTrace, std::less<>> traces_ HEADRACE_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace headrace::serving
