// A pool none of whose endpoints is up.
#include <gmock/gmock.h>

#include <algorithm>
#include <string>
#include <vector>

#include "scheduler/test_fleet.h"

namespace headrace::scheduler {
namespace {

using Harness = SchedulerHarness;

SchedulerOptions Waiting(Seconds down_timeout) {
  SchedulerOptions options;
  options.queue_timeout = 10;
  options.down_timeout = down_timeout;
  return options;
}

struct AllDown : testing::TestWithParam<std::string_view> {
  static constexpr Seconds kWait = 30;

  AllDown() {
    h.Fleet({{"a10", 512, {"h:0", "h:1"}}});
    SetEndpoint(0, false);
    SetEndpoint(1, false);
  }
  Decisions SetEndpoint(fleet::EndpointId endpoint, bool up) {
    h.decisions.clear();
    h.scheduler.SetUp(endpoint, up, h.now, h.decisions);
    return h.decisions;
  }

  Harness h{GetParam(), Waiting(kWait)};
};

TEST_P(AllDown, RequestsWaitForTheFirstEndpointThatComesUp) {
  EXPECT_FALSE(h.Arrive());
  const RequestId first = h.last;
  h.now += kWait - 1;
  EXPECT_FALSE(h.Arrive());
  EXPECT_TRUE(h.Tick().empty());
  const Decisions decisions = SetEndpoint(1, true);
  ASSERT_EQ(decisions.size(), 2);
  EXPECT_EQ(decisions[0].id, first);
  for (const Decision& decision : decisions) {
    EXPECT_FALSE(decision.refused);
    EXPECT_EQ(decision.endpoint, 1);
    EXPECT_EQ(decision.hold, Hold::kDown);
  }
}

TEST_P(AllDown, AndAreRefusedWhenNoneDoes) {
  EXPECT_FALSE(h.Arrive());
  EXPECT_LE(h.scheduler.NextWakeup(), h.now + kWait + 0.001);
  h.now += kWait + 0.001;
  const Decisions decisions = h.Tick();
  ASSERT_EQ(decisions.size(), 1);
  EXPECT_EQ(decisions[0].refused, RefusalReason::kNoEndpoint);
  EXPECT_GT(decisions[0].retry_after, 0);
}

TEST_P(AllDown, TheQueuesTimeoutBeginsWhenOneIsUp) {
  h.Fleet({{"a10", 1, {"h:0", "h:1"}}});
  EXPECT_FALSE(h.Arrive());
  EXPECT_FALSE(h.Arrive());
  h.now += kWait - 1;
  ASSERT_EQ(SetEndpoint(0, true).size(), 1) << "there is room for one";
  h.now += 9;
  EXPECT_TRUE(h.Tick().empty());
  h.now += 2;
  const Decisions decisions = h.Tick();
  ASSERT_EQ(decisions.size(), 1);
  EXPECT_EQ(decisions[0].refused, RefusalReason::kQueueTimeout);
}

TEST_P(AllDown, ThoseThatWaitedForRoomWaitOn) {
  h.Fleet({{"a10", 1, {"h:0", "h:1"}}});
  SetEndpoint(0, true);
  ASSERT_TRUE(h.Arrive());
  EXPECT_FALSE(h.Arrive());
  h.now += 9;
  EXPECT_TRUE(SetEndpoint(0, false).empty());
  h.now += kWait - 1;
  EXPECT_TRUE(h.Tick().empty());
  EXPECT_EQ(SetEndpoint(1, true).size(), 1);
}

INSTANTIATE_TEST_SUITE_P(Policies, AllDown,
                         testing::Values("slo-headroom", "least-request", "lmetric", "random",
                                         "round-robin"),
                         [](const auto& test) {
                           std::string name(test.param);
                           std::ranges::replace(name, '-', '_');
                           return name;
                         });

TEST(AllDownAtOnce, RequestsAreRefusedByDefault) {
  Harness h("least-request");
  h.Fleet({{"a10", 1, {"h:0"}}});
  ASSERT_TRUE(h.Arrive());
  EXPECT_FALSE(h.Arrive());
  h.decisions.clear();
  h.scheduler.SetUp(0, false, h.now, h.decisions);
  ASSERT_EQ(h.decisions.size(), 1) << "what waits for room, too";
  EXPECT_EQ(h.decisions[0].refused, RefusalReason::kNoEndpoint);
  EXPECT_EQ(h.Arrive()->refused, RefusalReason::kNoEndpoint);
}

// --- Requests that wait when the fleet changes

TEST(Waiting, GoesOnWhenAnEndpointDrainsOrIsRemoved) {
  Harness h("least-request");
  h.Fleet({{"a10", 1, {"h:0"}}});
  ASSERT_TRUE(h.Arrive());
  EXPECT_FALSE(h.Arrive());
  const RequestId waiting = h.last;
  h.decisions.clear();
  h.Fleet({{"a10", 1, {"h:1"}}});
  ASSERT_EQ(h.decisions.size(), 1);
  EXPECT_EQ(h.decisions[0].id, waiting);
  EXPECT_EQ(h.scheduler.fleet().endpoint(h.decisions[0].endpoint).address, "h:1");
  EXPECT_EQ(h.scheduler.running(), 2) << "the old one finishes what it has";
}

}  // namespace
}  // namespace headrace::scheduler
