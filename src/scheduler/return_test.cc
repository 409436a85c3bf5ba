// A request that comes back from an endpoint that failed it.
#include <gmock/gmock.h>

#include <algorithm>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "scheduler/test_fleet.h"

namespace headrace::scheduler {
namespace {

using Harness = SchedulerHarness;
using fleet::EngineFault;

struct Returned : testing::TestWithParam<std::string_view> {
  // Sends the request that arrived last back, and returns where it goes then.
  std::optional<fleet::EndpointId> Return(EngineFault fault = EngineFault::kClosed) {
    h.decisions.clear();
    EXPECT_TRUE(h.scheduler.Return(h.last, fault, h.now, h.decisions));
    for (const Decision& decision : h.decisions) {
      if (decision.id == h.last && !decision.refused) return decision.endpoint;
    }
    return std::nullopt;
  }
  bool IsAvailable(fleet::EndpointId id) const { return h.scheduler.fleet().IsAvailable(id); }

  // Ejection, which keeps more requests away from what failed one, is another matter.
  static SchedulerOptions WithoutEjection() {
    SchedulerOptions options;
    options.ejection.enabled = false;
    return options;
  }

  Harness h{GetParam(), WithoutEjection()};
};

TEST_P(Returned, GoesToAllOthersBeforeItComesToTheSameOneAgain) {
  h.Fleet({{"a10", 512, {"h:0", "h:1"}}, {"l20", 512, {"h:2"}}});
  for (int i = 0; i < 20; ++i) {
    const auto first = h.Arrive();
    ASSERT_TRUE(first && !first->refused);
    std::set<fleet::EndpointId> tried{first->endpoint};
    EXPECT_TRUE(h.scheduler.HasAlternative(h.last));
    while (tried.size() < 3) {
      const auto next = Return();
      ASSERT_TRUE(next);
      EXPECT_TRUE(tried.insert(*next).second) << "it failed there already";
    }
    EXPECT_FALSE(h.scheduler.HasAlternative(h.last));
    EXPECT_TRUE(Return()) << "better than nowhere";
    h.Complete(h.last);
  }
  for (fleet::EndpointId id = 0; id < 3; ++id) EXPECT_TRUE(IsAvailable(id)) << "for others";
  EXPECT_EQ(h.TotalLoad(), 0);
  EXPECT_EQ(h.scheduler.running(), 0);
}

TEST_P(Returned, DoesNotWaitForWhatIsDown) {
  h.Fleet({{"a10", 512, {"h:0", "h:1"}}});
  const auto first = h.Arrive();
  const fleet::EndpointId other = 1 - first->endpoint;
  h.scheduler.SetUp(other, false, h.now, h.decisions);
  EXPECT_FALSE(h.scheduler.HasAlternative(h.last));
  EXPECT_EQ(Return(), first->endpoint);
}

TEST_P(Returned, WaitsForAnotherOneThatIsFullUntilThatGoesDown) {
  h.Fleet({{"a10", 1, {"h:0", "h:1"}}});
  h.Arrive();
  const auto first = h.Arrive();
  EXPECT_EQ(Return(), std::nullopt);
  EXPECT_EQ(h.scheduler.waiting(), 1);
  EXPECT_TRUE(IsAvailable(first->endpoint));
  h.decisions.clear();
  h.scheduler.SetUp(1 - first->endpoint, false, h.now, h.decisions);
  ASSERT_EQ(h.decisions.size(), 1);
  EXPECT_EQ(h.decisions[0].endpoint, first->endpoint);
}

TEST_P(Returned, TeachesNothing) {
  h.Fleet({{"a10", 512, {"h:0", "h:1"}}});
  Arrival arrival{.prompt_tokens = 500, .reports_first_token = true};
  const auto first = h.Arrive(arrival);
  h.now += 30;
  Return();
  const fleet::Fleet& fleet = h.scheduler.fleet();
  EXPECT_EQ(h.scheduler.length_predictor().samples(), 0);
  EXPECT_EQ(fleet.deployments()[0].engine->steps.samples(), 0);
  EXPECT_EQ(fleet.endpoint(first->endpoint).normalized_latency, 0);
  EXPECT_EQ(fleet.endpoint(first->endpoint).in_flight, 0);
  EXPECT_EQ(fleet.endpoint(first->endpoint).prefilling, 0);
}

INSTANTIATE_TEST_SUITE_P(Policies, Returned, testing::ValuesIn(PolicyNames()),
                         [](const auto& test) { return TestNameOf(test.param); });

TEST(ReturnedRequest, HasTheQueuesWholeTimeoutAgain) {
  SchedulerOptions options;
  options.queue_timeout = 10;
  Harness h("least-request", options);
  h.Fleet({{"a10", 1, {"h:0", "h:1"}}});
  h.Arrive();
  h.Arrive();
  h.now += 60;  // The endpoint hung: that is not the queue's fault.
  h.decisions.clear();
  h.scheduler.Return(h.last, EngineFault::kTimeout, h.now, h.decisions);
  EXPECT_TRUE(h.decisions.empty()) << "it waits";
  h.now += 9;
  EXPECT_TRUE(h.Tick().empty());
  h.now += 2;
  const Decisions decisions = h.Tick();
  ASSERT_EQ(decisions.size(), 1);
  EXPECT_EQ(decisions[0].refused, RefusalReason::kQueueTimeout);
  EXPECT_EQ(decisions[0].queued, 71) << "since its first arrival";
}

TEST(ReturnedRequest, IsNotChargedToItsTenant) {
  Harness h("slo-headroom");
  h.Fleet({{"a10", 512, {"h:0", "h:1"}}});
  h.Arrive({.prompt_tokens = 100, .output_tokens = 100, .tenant = 1});
  h.Arrive({.prompt_tokens = 100, .output_tokens = 100, .tenant = 2});
  const double once = h.scheduler.tenant_shares().Share(2);
  h.decisions.clear();
  h.scheduler.Return(h.last, EngineFault::kClosed, h.now, h.decisions);
  EXPECT_NEAR(h.scheduler.tenant_shares().Share(2), once, 1e-9) << "for the second try only";
}

}  // namespace
}  // namespace headrace::scheduler
