#include "load/load_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace headrace::load {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

LoadSnapshot Snapshot() {
  LoadSnapshot snapshot;
  snapshot.elapsed = 12;
  snapshot.offered = 5;
  snapshot.open = 1;
  LoadCounts chat;
  chat.in_flight = 1;
  chat.report.offered = 5;
  chat.report.completed = 3;
  chat.report.attained = 2;
  chat.report.failed = 1;
  for (int i = 0; i < 3; ++i) chat.report.ttft.Add(0.5);
  snapshot.classes = {chat};
  snapshot.deployments = {{{"a-deployment-with-a-long-name", chat}}};
  snapshot.failures = {{"status 502", {.count = 1, .example = "upstream is away"}}};
  return snapshot;
}

TEST(LoadTable, HasARowPerClassAndDeploymentAndTheTotal) {
  EXPECT_EQ(LoadTable({"chat"}, Snapshot()),
            "class / GPU                      offered  in flight  queued  refused  SLO met"
            "  TTFT s p50/p99  TPOT ms p50/p99  TPAT ms p50/p99\n"
            "chat                                   5          1       0        0   50.0 %"
            "     0.50 / 0.50              n/a              n/a\n"
            "  a-deployment-with-a-long-name        5          1                    50.0 %"
            "     0.50 / 0.50              n/a              n/a\n"
            "all                                    5          1       0        0   50.0 %"
            "     0.50 / 0.50              n/a              n/a\n");
  EXPECT_EQ(FailureLines(Snapshot()), "1 not completed: status 502, e.g. \"upstream is away\"\n");
}

TEST(LoadTable, WhatNoResponseHadIsNotAvailable) {
  LoadSnapshot snapshot = Snapshot();
  snapshot.classes[0].report.ttft = Histogram();
  EXPECT_THAT(LoadTable({"chat"}, snapshot), HasSubstr("n/a"));
  EXPECT_THAT(LoadTable({"chat"}, Snapshot(), std::vector<double>{50, 95, 99.9}),
              AllOf(HasSubstr("TTFT s p50/p95/p99.9"), HasSubstr("0.50 / 0.50 / 0.50")));
}

TEST(LoadTable, TheCommonestFailuresComeFirst) {
  LoadSnapshot snapshot;
  for (int i = 1; i <= 7; ++i) {
    snapshot.failures["status 50" + std::to_string(i)].count = static_cast<std::uint64_t>(i);
  }
  const std::string lines = FailureLines(snapshot);
  EXPECT_THAT(lines, StartsWith("7 not completed: status 507\n6 not completed: status 506\n"));
  EXPECT_THAT(lines, HasSubstr("and 2 rarer reasons"));
}

TEST(LoadTable, StagesAreRowsOfOneTable) {
  workload::Workload workload;
  workload.classes.resize(1);
  LoadStage open{{}, Snapshot()};
  open.options.workload = &workload;
  open.options.rate_scale = 0.5;
  open.snapshot.arrivals = 10;
  open.snapshot.classes[0].report.output_tokens = 90;
  LoadStage faster = open;
  faster.options.rate_scale = 1;
  LoadStage closed = open;
  closed.options.concurrency = 4;
  closed.snapshot.classes[0].steady.completed = 2;
  EXPECT_EQ(StageTable(std::vector{open, faster, closed}),
            "stage        offered  completed  refused  SLO met  req/s  goodput/s  output tok/s"
            "  TTFT s p50/p99  TPOT ms p50/p99  E2E s p50/p99\n"
            "rate × 0.5         5          3        0   50.0 %    0.3        0.2             9"
            "     0.50 / 0.50              n/a            n/a\n"
            "rate × 1           5          3        0   50.0 %    0.3        0.2             9"
            "     0.50 / 0.50              n/a            n/a\n"
            "4 at a time        5          3        0   50.0 %    0.2          0             0"
            "     0.50 / 0.50              n/a            n/a\n");
  EXPECT_EQ(RateLine(open),
            "Per second of 10 s of arrivals: 0.3 requests completed, 0.2 within their SLO "
            "(goodput), 0 prompt and 9 output tokens.\n");
  LoadStage empty = open;
  empty.snapshot.offered = 0;
  EXPECT_EQ(RateLine(empty), "No request came.\n");
  empty.snapshot.warm_up = 5;
  EXPECT_EQ(RateLine(empty), "All requests were the warm-up; none came after it.\n");
  closed.snapshot.arrivals = 0;
  EXPECT_THAT(RateLine(closed), HasSubstr("send more requests than are open at a time"));
}

TEST(LoadTable, StagesOfOtherRatesHaveTheirRates) {
  workload::Workload slow;
  slow.classes.resize(2);
  slow.classes[0].arrivals = workload::GammaArrivals{2, 1};
  slow.classes[1].arrivals = workload::GammaArrivals{0.5, 1};
  workload::Workload fast = slow;
  fast.classes[0].arrivals = workload::GammaArrivals{8, 1};
  LoadStage first{{}, Snapshot()};
  first.options.workload = &slow;
  first.options.rate_scale = 2;
  LoadStage second = first;
  second.options.workload = &fast;
  EXPECT_THAT(StageTable(std::vector{first, second}),
              AllOf(HasSubstr("\n5/s "), HasSubstr("\n17/s ")));
}

TEST(LoadTable, TellsTheProgressInOneLine) {
  EXPECT_EQ(ProgressText(Snapshot(), 60, false),
            "12 of 60 s: 5 sent, 1 open, 0 refused, 1 failed or late, SLO met by 50.0 % of those "
            "that ended");
  EXPECT_THAT(ProgressText(Snapshot(), kNever, true), HasSubstr("12 s (draining): 5 sent"));
  EXPECT_THAT(ProgressText({}, 60, false), HasSubstr("SLO met by - of"));
}

}  // namespace
}  // namespace headrace::load
