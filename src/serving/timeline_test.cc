#include "serving/timeline.h"

#include <gmock/gmock.h>

namespace headrace::serving {
namespace {

using telemetry::Outcome;

FinishedRequest Stream(Seconds ttft, Seconds e2e, Tokens tokens, std::string_view pool = "m") {
  FinishedRequest request;
  request.pool = pool;
  request.stream = true;
  request.outcome = Outcome::kCompleted;
  request.slo.ttft = 1;
  request.latency = {.ttft = ttft, .e2e = e2e, .prompt_tokens = 10, .output_tokens = tokens};
  return request;
}

TEST(Timeline, CountsWhatEndedInEachInterval) {
  Timeline timeline;
  timeline.Add(Stream(0.5, 2.5, 21), 5);
  timeline.Add(Stream(1.5, 3.5, 21), 9.9);
  EXPECT_NEAR(timeline.Of("m", 9.9).at(0).ttft_p95, 1.5, 0.01);  // Before it is over, too.
  FinishedRequest refused;
  refused.pool = "m";
  refused.outcome = Outcome::kRefused;
  refused.slo.ttft = 1;
  refused.refusal = "Too full.";
  refused.request_id = "r1";
  timeline.Add(refused, 31);
  const auto intervals = timeline.Of("m", 35);
  ASSERT_EQ(intervals.size(), 2u);
  EXPECT_EQ(intervals[0].number, 0);
  EXPECT_EQ(intervals[0].Ended(), 2);
  EXPECT_EQ(intervals[0].promised, 2);
  EXPECT_EQ(intervals[0].met, 1);
  EXPECT_EQ(intervals[0].output_tokens, 42);
  EXPECT_NEAR(intervals[0].ttft_p50, 0.5, 0.01);
  EXPECT_NEAR(intervals[0].ttft_p95, 1.5, 0.01);
  EXPECT_NEAR(intervals[0].tpot_p50, 0.1, 0.001);
  EXPECT_EQ(intervals[1].number, 3);
  EXPECT_EQ(intervals[1].promised, 1);
  EXPECT_EQ(intervals[1].met, 0);
  EXPECT_EQ(intervals[1].ttft_p50, 0);
  const auto failures = timeline.Failures();
  ASSERT_EQ(failures.size(), 1u);
  EXPECT_EQ(failures[0].why, "Too full.");
  EXPECT_EQ(failures[0].request_id, "r1");
}

TEST(Timeline, ForgetsWhatIsHalfAnHourOld) {
  Timeline timeline;
  for (int i = 0; i < 1000; ++i) timeline.Add(Stream(0.1, 1, 2), i * 10);
  EXPECT_EQ(timeline.Of("m", 9999).size(), 180u);
  EXPECT_EQ(timeline.Of("m", 9999 + 1000).size(), 80u);
  EXPECT_TRUE(timeline.Of("m", 20'000).empty());
  // A pool that is gone leaves nothing behind.
  timeline.Add(Stream(0.1, 1, 2, "n"), 20'000);
  EXPECT_TRUE(timeline.Of("m", 9999).empty());
}

TEST(Timeline, KeepsABoundedNumberOfBoundedFailures) {
  Timeline timeline;
  FinishedRequest failed;
  failed.pool = "m";
  const std::string id(10'000, 'x');
  failed.request_id = id;
  for (int i = 0; i < 200; ++i) timeline.Add(failed, i);
  const auto failures = timeline.Failures();
  EXPECT_EQ(failures.size(), Timeline::kMostFailures);
  EXPECT_EQ(failures.front().at, 199);
  EXPECT_EQ(failures.front().request_id.size(), Timeline::kMostTextBytes);
  EXPECT_EQ(failures.front().why, "failed");
}

}  // namespace
}  // namespace headrace::serving
