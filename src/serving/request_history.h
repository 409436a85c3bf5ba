// The last requests that ended, for those who ask why one went where it went.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "serving/finished_request.h"
#include "system/mutex.h"

namespace headrace::serving {

// A request as it ended, with names of its own: `request.endpoint` is null, and request.request_id
// and .pool are empty.
struct PastRequest {
  std::string request_id;
  std::string pool;
  std::string deployment;  // That served it; empty if none did.
  std::string address;
  fleet::EndpointId endpoint = 0;
  FinishedRequest request;

  // One or two sentences: why it went there, or why nowhere.
  std::string Why() const;
};

// Remembers the last kMost requests of all pools. Thread-safe.
class RequestHistory final : public RequestObserver {
 public:
  static constexpr std::size_t kMost = 1024;
  // A longer id is cut, so that clients cannot fill the memory with them.
  static constexpr std::size_t kMostIdBytes = 256;

  void OnFinished(const FinishedRequest& request) override;
  // The latest of that id.
  std::optional<PastRequest> Find(std::string_view request_id) const;
  // So many, the latest first.
  std::vector<PastRequest> Latest(std::size_t most) const;

 private:
  // The request that ended `age` requests ago; 1 is the last one.
  const PastRequest& Past(std::size_t age) const HEADRACE_REQUIRES(mutex_) {
    return past_[(next_ + past_.size() - age) % past_.size()];
  }

  mutable system::Mutex mutex_;
  std::vector<PastRequest> past_ HEADRACE_GUARDED_BY(mutex_);  // A ring.
  std::size_t next_ HEADRACE_GUARDED_BY(mutex_) = 0;
};

}  // namespace headrace::serving
