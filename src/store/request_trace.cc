#include "store/request_trace.h"

#include <cmath>

namespace headrace::store {
namespace {

constexpr int kVersion = 4;
constexpr int kPrecision = 10;  // Buckets per power of two.

int BucketOf(Tokens tokens) {
  return tokens > 0 ? static_cast<int>(std::lround(kPrecision * std::log2(tokens))) : 0;
}

}  // namespace

std::string RequestTraceKey(std::string_view model, std::int64_t interval_end) {
  return "aibrix:" + std::string(model) + "_request_trace_" + std::to_string(interval_end);
}

void RequestTrace::Finished(Tokens prompt_tokens, Tokens output_tokens) {
  ++finished_[{BucketOf(prompt_tokens), BucketOf(output_tokens)}];
}

std::string RequestTrace::ToJson(std::size_t pending, std::size_t queueing) const {
  std::string json = "{";
  for (const auto& [bucket, count] : finished_) {
    json += "\"" + std::to_string(bucket.first) + ":" + std::to_string(bucket.second) +
            "\": " + std::to_string(count) + ", ";
  }
  const auto add = [&json](const char* key, auto value) {
    json += std::string(json.back() == '{' || json.back() == ' ' ? "" : ", ") + "\"meta_" + key +
            "\": " + std::to_string(value);
  };
  add("v", kVersion);
  add("interval_sec", kRequestTraceInterval);
  add("precision", kPrecision);
  add("total_reqs", arrived_);
  add("pending_reqs", pending);
  add("queueing_reqs", queueing);
  return json + "}";
}

}  // namespace headrace::store
