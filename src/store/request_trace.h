// Which requests a model gets, as AIBrix's GPU optimizer reads it from Redis: the request trace,
// version 4.
//
//   key    aibrix:{model}_request_trace_{Unix seconds at which the interval ended}
//   value  {"100:62": 3, "121:45": 1, "meta_v": 4, "meta_interval_sec": 10, "meta_precision": 10,
//           "meta_total_reqs": 5, "meta_pending_reqs": 2, "meta_queueing_reqs": 0}
//
// "i:o" counts finished requests by i = round(10 · log2(prompt tokens)) and o = the same of the
// output tokens; total_reqs arrived in the interval, pending_reqs have not finished at its end,
// queueing_reqs of them have not been sent to an engine.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "base/units.h"

namespace headrace::store {

inline constexpr int kRequestTraceInterval = 10;  // Seconds.
inline constexpr int kRequestTraceExpiry = 600;   // Seconds for which a key is kept.
// For Redis::SetOrMerge: what several gateways count of one interval adds up.
extern const std::string_view kAddRequestTraces;

std::string RequestTraceKey(std::string_view model, std::int64_t interval_end);

// One interval of one model. Not thread-safe.
class RequestTrace {
 public:
  void Arrived() { ++arrived_; }
  void Finished(Tokens prompt_tokens, Tokens output_tokens);

  std::string ToJson(std::size_t pending, std::size_t queueing) const;

 private:
  std::int64_t arrived_ = 0;
  std::map<std::pair<int, int>, std::int64_t> finished_;
};

}  // namespace headrace::store
