// Tells AIBrix's GPU optimizer, through Redis, which requests there are.
#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "serving/finished_request.h"
#include "serving/served_model.h"
#include "store/redis.h"
#include "store/request_trace.h"
#include "telemetry/standing_faults.h"

namespace headrace::serving {

// Writes every model's trace at every full ten seconds of the clock, on a thread of its own. What
// cannot be written is dropped, and said. Thread-safe.
class RequestTraceFeed final : public RequestObserver {
 public:
  // What is passed in must outlive the feed.
  RequestTraceFeed(const store::RedisUrl& url,
                   const std::vector<std::unique_ptr<ServedModel>>& models,
                   telemetry::StandingFaults& faults);
  ~RequestTraceFeed() override;

  void OnArrived(std::string_view model, Seconds arrived) override;
  void OnFinished(const FinishedRequest& request) override;

 private:
  void Run();
  void Write(std::int64_t interval_end);

  const std::vector<std::unique_ptr<ServedModel>>& models_;
  telemetry::StandingFaults& faults_;
  store::Redis redis_;
  std::mutex mutex_;
  std::condition_variable stop_;
  bool stopping_ = false;                                           // Guarded by mutex_, as is:
  std::map<std::string, store::RequestTrace, std::less<>> traces_;  // By model; of this interval.
  std::thread thread_;
};

}  // namespace headrace::serving
