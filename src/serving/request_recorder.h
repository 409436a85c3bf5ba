// Records requests while an operator asks for them: what `headrace simulate --replay` reads.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/units.h"
#include "serving/finished_request.h"
#include "system/mutex.h"

namespace headrace::serving {

// The requests of one pool that arrive in a span of time, one line of JSON per request, written
// when it ends. One whose body has not come in full by then is left out. Only lengths and times,
// never text of a prompt or a response. Mooncake's format with more keys:
//
//   {"timestamp": 1042.125, "input_length": 812, "output_length": 97, "outcome": "completed",
//    "deployment": "a10", "queued_ms": 0.1, "ttft_ms": 301.5, "e2e_ms": 2417.0}
//
// Where the policy predicts times (slo-headroom), three more keys say what it expected when it sent
// the request: "predicted_ttft_ms", "predicted_e2e_ms" (of a response of this length) and
// "predicted_miss", the probability that it misses its SLO.
//
// A request that went to another endpoint after some had failed it has "failed_tries": what they
// did, such as ["closed", "busy"].
//
// timestamp: milliseconds from the beginning of the recording. A length that no engine has counted
// (for example that of a request that was refused) is the gateway's estimate: `"estimated": true`.
// Thread-safe.
class Recording {
 public:
  // Bytes of lines that a slow reader may leave behind before the recording is given up.
  static constexpr std::size_t kMostBytes = std::size_t{8} << 20;

  Recording(std::string pool, Seconds begin, Seconds end)
      : pool_(std::move(pool)), begin_(begin), end_(end) {}

  // The lines since the last call.
  std::string Take();
  // It is over and each of its requests has ended; lines may still be left to take.
  bool Done(Seconds now) const;
  // Lines were lost because the reader did not take them in time.
  bool overflowed() const;

 private:
  friend class RequestRecorder;
  bool Covers(std::string_view pool, Seconds arrived) const {
    return pool == pool_ && arrived >= begin_ && arrived < end_;
  }
  void Arrived();
  void Finished(const FinishedRequest& request);

  const std::string pool_;
  const Seconds begin_;
  const Seconds end_;
  mutable system::Mutex mutex_;
  std::string lines_ HEADRACE_GUARDED_BY(mutex_);
  std::int64_t open_ HEADRACE_GUARDED_BY(mutex_) = 0;  // Arrived, not ended.
  bool overflowed_ HEADRACE_GUARDED_BY(mutex_) = false;
};

// Hands every request to the recordings in progress; costs one atomic read when there is none.
// Thread-safe.
class RequestRecorder final : public RequestObserver {
 public:
  static constexpr std::size_t kMostRecordings = 8;

  // Begins now. Null if kMostRecordings are in progress. It ends when the last pointer to it goes.
  std::shared_ptr<Recording> Start(const std::string& pool, Seconds duration);

  void OnArrived(std::string_view pool, Seconds arrived) override;
  void OnFinished(const FinishedRequest& request) override;

 private:
  std::vector<std::shared_ptr<Recording>> Current();

  system::Mutex mutex_;
  std::vector<std::weak_ptr<Recording>> recordings_ HEADRACE_GUARDED_BY(mutex_);
  std::atomic<std::size_t> count_{0};  // Of these, or more.
};

}  // namespace headrace::serving
