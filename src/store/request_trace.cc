#include "store/request_trace.h"

#include <cmath>

#include "base/json_writer.h"

namespace headrace::store {
namespace {

constexpr int kVersion = 4;
constexpr int kPrecision = 10;  // Buckets per power of two.

int BucketOf(Tokens tokens) {
  return tokens > 0 ? static_cast<int>(std::lround(kPrecision * std::log2(tokens))) : 0;
}

}  // namespace

const std::string_view kAddRequestTraces = R"(
  local sum = cjson.decode(ARGV[1])
  local constant = {meta_v = true, meta_interval_sec = true, meta_precision = true}
  for name, count in pairs(cjson.decode(ARGV[2])) do
    if constant[name] then sum[name] = count else sum[name] = (sum[name] or 0) + count end
  end
  return cjson.encode(sum)
)";

std::string RequestTraceKey(std::string_view model, std::int64_t interval_end) {
  return "aibrix:" + std::string(model) + "_request_trace_" + std::to_string(interval_end);
}

void RequestTrace::Finished(Tokens prompt_tokens, Tokens output_tokens) {
  ++finished_[{BucketOf(prompt_tokens), BucketOf(output_tokens)}];
}

std::string RequestTrace::ToJson(std::size_t pending, std::size_t queueing) const {
  JsonWriter json(JsonWriter::Layout::kSpaced);
  json.BeginObject();
  for (const auto& [bucket, count] : finished_) {
    json.Member(std::to_string(bucket.first) + ":" + std::to_string(bucket.second), count);
  }
  return json.Member("meta_v", kVersion)
      .Member("meta_interval_sec", kRequestTraceInterval)
      .Member("meta_precision", kPrecision)
      .Member("meta_total_reqs", arrived_)
      .Member("meta_pending_reqs", pending)
      .Member("meta_queueing_reqs", queueing)
      .EndObject()
      .Take();
}

}  // namespace headrace::store
