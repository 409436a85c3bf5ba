#include "store/request_trace.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "store/redis.h"
#include "store/test_redis.h"

namespace headrace::store {
namespace {

TEST(RequestTrace, CountsFinishedRequestsByTenthsOfPowersOfTwo) {
  RequestTrace trace;
  for (int i = 0; i < 4; ++i) trace.Arrived();
  trace.Finished(1024, 64);  // 10.0 and 6.0.
  trace.Finished(1030, 64);  // 10.008 rounds to 10.0.
  trace.Finished(1100, 1);   // 10.103 rounds to 10.1.
  EXPECT_EQ(trace.ToJson(3, 2),
            R"({"100:60": 2, "101:0": 1, "meta_v": 4, "meta_interval_sec": 10, )"
            R"("meta_precision": 10, "meta_total_reqs": 4, "meta_pending_reqs": 3, )"
            R"("meta_queueing_reqs": 2})");
}

TEST(RequestTrace, AnEmptyIntervalIsSaidToo) {
  EXPECT_EQ(RequestTrace().ToJson(0, 0),
            R"({"meta_v": 4, "meta_interval_sec": 10, "meta_precision": 10, )"
            R"("meta_total_reqs": 0, "meta_pending_reqs": 0, "meta_queueing_reqs": 0})");
}

TEST(RequestTrace, SeveralGatewaysAddUp) {
  const TestRedis server;
  Redis redis(server.url());
  RequestTrace one;
  one.Arrived();
  one.Finished(1024, 64);
  RequestTrace other;
  for (int i = 0; i < 2'000'000; ++i) other.Arrived();
  other.Finished(1024, 64);
  other.Finished(2048, 64);
  for (const std::string& trace : {one.ToJson(1, 0), other.ToJson(3, 2), one.ToJson(0, 0)}) {
    ASSERT_TRUE(redis.SetOrMerge("k", trace, kAddRequestTraces, 600));
  }
  const auto sum = nlohmann::json::parse(*redis.Get(std::vector<std::string>{"k"})->at(0).text);
  EXPECT_EQ(sum, nlohmann::json::parse(R"({"100:60": 3, "110:60": 1, "meta_v": 4,
      "meta_interval_sec": 10, "meta_precision": 10, "meta_total_reqs": 2000002,
      "meta_pending_reqs": 4, "meta_queueing_reqs": 2})"));
}

TEST(RequestTrace, KeyNamesTheModelAndTheIntervalsEnd) {
  EXPECT_EQ(RequestTraceKey("llama2-7b", 1763990010), "aibrix:llama2-7b_request_trace_1763990010");
}

}  // namespace
}  // namespace headrace::store
