#include "serving/request_history.h"

#include <algorithm>

#include "base/text.h"

namespace headrace::serving {

std::string PastRequest::Why() const {
  std::string tries;
  for (const FailedTry& failed : request.failed_tries) {
    tries += "Failed at " + failed.deployment + " " + failed.address + ": " + failed.why + ". ";
  }
  if (request.refused) return tries + request.refusal;
  if (address.empty()) {
    return tries + "It ended after " + FormatDuration(request.queued) +
           " in the queue, before an endpoint was found for it.";
  }
  return tries + DescribeChoice({.policy = request.policy,
                                 .moved = request.moved,
                                 .fallback = request.fallback,
                                 .endpoint = endpoint,
                                 .sent = request.arrived + request.queued,
                                 .hold = request.hold,
                                 .held_cost = request.held_cost,
                                 .queued = request.queued},
                                request.considered);
}

void RequestHistory::OnFinished(const FinishedRequest& request) {
  const system::MutexLock lock(mutex_);
  if (past_.size() < kMost) past_.emplace_back();
  // Its strings are assigned to, so that their memory is used again.
  PastRequest& past = past_[next_];
  next_ = (next_ + 1) % kMost;
  past.request_id = request.request_id.substr(0, kMostIdBytes);
  past.pool = request.pool;
  past.deployment.clear();
  past.address.clear();
  if (request.endpoint != nullptr) {
    past.deployment = request.endpoint->deployment;
    past.address = request.endpoint->address;
    past.endpoint = request.endpoint->id;
  }
  past.request = request;
  past.request.endpoint = nullptr;
  past.request.request_id = past.request.pool = past.request.model = past.request.tenant = {};
  past.request.exchange = {};
}

std::optional<PastRequest> RequestHistory::Find(std::string_view request_id) const {
  const std::string_view id = request_id.substr(0, kMostIdBytes);
  const system::MutexLock lock(mutex_);
  for (std::size_t age = 1; age <= past_.size(); ++age) {
    if (Past(age).request_id == id) return Past(age);
  }
  return std::nullopt;
}

std::vector<PastRequest> RequestHistory::Latest(std::size_t most) const {
  std::vector<PastRequest> latest;
  latest.reserve(std::min(most, kMost));
  const system::MutexLock lock(mutex_);
  for (std::size_t age = 1; age <= std::min(most, past_.size()); ++age) {
    latest.push_back(Past(age));
  }
  return latest;
}

}  // namespace headrace::serving
