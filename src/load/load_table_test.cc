#include "load/load_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace headrace::load {
namespace {

using ::testing::HasSubstr;

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
  snapshot.failures = {{"status 502", 1}};
  return snapshot;
}

TEST(LoadTable, HasARowPerClassAndDeploymentAndTheTotal) {
  EXPECT_EQ(LoadTable({"chat"}, Snapshot()),
            "class / GPU                      offered  in flight  queued  refused  SLO met"
            "  TTFT s p50/p99  TPOT ms p50/p99  TPAT ms p50/p99\n"
            "chat                                   5          1       0        0   50.0 %"
            "     0.50 / 0.50                -                -\n"
            "  a-deployment-with-a-long-name        5          1                    50.0 %"
            "     0.50 / 0.50                -                -\n"
            "all                                    5          1       0        0   50.0 %"
            "     0.50 / 0.50                -                -\n");
  EXPECT_EQ(FailureLines(Snapshot()), "1 without a response: status 502\n");
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
