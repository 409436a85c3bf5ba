// Writes requests down while somebody listens: what `headrace simulate --replay` reads.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/units.h"
#include "serving/finished_request.h"

namespace headrace::serving {

// The requests of one model that arrive in a span of time, each a line of JSON, written when it
// ends. One whose body has not come in full by then is left out. Lengths and times only, never a
// word of anybody's. Mooncake's format with more keys:
//
//   {"timestamp": 1042.125, "input_length": 812, "output_length": 97, "outcome": "completed",
//    "deployment": "a10", "queued_ms": 0.1, "ttft_ms": 301.5, "e2e_ms": 2417.0}
//
// timestamp: milliseconds from the beginning of the recording. A length that no engine has counted
// (of a request that was refused, say) is the gateway's own estimate: `"estimated": true`.
// Thread-safe.
class Recording {
 public:
  // Lines that a slow reader may leave behind before the recording is given up.
  static constexpr std::size_t kMostBytes = std::size_t{8} << 20;

  Recording(std::string model, Seconds begin, Seconds end)
      : model_(std::move(model)), begin_(begin), end_(end) {}

  // The lines since the last call.
  std::string Take();
  // Whether it is over and every request of it has ended; lines may still be left to take.
  bool Done(Seconds now) const;
  // Whether lines were lost because nobody took them.
  bool overflowed() const;

 private:
  friend class RequestRecorder;
  bool Covers(std::string_view model, Seconds arrived) const {
    return model == model_ && arrived >= begin_ && arrived < end_;
  }
  void Arrived();
  void Finished(const FinishedRequest& request);

  const std::string model_;
  const Seconds begin_;
  const Seconds end_;
  mutable std::mutex mutex_;
  std::string lines_;      // Guarded by mutex_, as are the others.
  std::int64_t open_ = 0;  // Arrived, not ended.
  bool overflowed_ = false;
};

// Hands every request to the recordings under way; costs one atomic read when there is none.
// Thread-safe.
class RequestRecorder final : public RequestObserver {
 public:
  static constexpr std::size_t kMostRecordings = 8;

  // Begins now. Null when kMostRecordings are under way. It ends when nobody holds it any more.
  std::shared_ptr<Recording> Start(const std::string& model, Seconds duration);

  void OnArrived(std::string_view model, Seconds arrived) override;
  void OnFinished(const FinishedRequest& request) override;

 private:
  std::vector<std::shared_ptr<Recording>> Current();

  std::mutex mutex_;
  std::vector<std::weak_ptr<Recording>> recordings_;  // Guarded by mutex_.
  std::atomic<std::size_t> count_{0};                 // Of these, or more.
};

}  // namespace headrace::serving
