// Requests whose transport offers some endpoints only, tries others by itself, and says which one
// served.
#include <gmock/gmock.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "scheduler/test_fleet.h"

namespace headrace::scheduler {
namespace {

using fleet::EndpointId;
using fleet::EngineFault;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

struct Limited : testing::TestWithParam<std::string_view> {
  Limited() {
    h.Fleet({{"a10", 4, {"h:0", "h:1", "h:2"}}, {"l20", 4, {"h:3", "h:4"}}});
    h.Profile(FlatProfile("a10", 3, 1, E2eSlo(30)));
    h.Profile(FlatProfile("l20", 3, 1, E2eSlo(30)));
  }
  Arrival Among(const std::vector<EndpointId>& ids, std::size_t fallbacks = 0) {
    auto among = std::make_shared<std::vector<fleet::EndpointHandle>>();
    for (const EndpointId id : ids) among->push_back(h.scheduler.fleet().HandleOf(id));
    return {.prompt_tokens = 128, .output_tokens = 128, .among = among, .fallbacks = fallbacks};
  }
  void SetUp(EndpointId id, bool up) {
    h.decisions.clear();
    h.scheduler.SetUp(id, up, h.now, h.decisions);
  }
  using testing::TestWithParam<std::string_view>::SetUp;

  SchedulerHarness h{GetParam()};
};

TEST_P(Limited, GoesNowhereElse) {
  for (int i = 0; i < 3; ++i) {
    const auto decision = h.Arrive(Among({1, 4}));
    ASSERT_TRUE(decision && !decision->refused);
    EXPECT_TRUE(decision->endpoint == 1 || decision->endpoint == 4) << decision->endpoint;
    h.now += 0.01;
  }
  EXPECT_EQ(h.scheduler.fleet().available(), 5) << "the others are there for others";
}

TEST_P(Limited, WaitsForItsOwnWhileOthersPass) {
  std::vector<RequestId> running;
  while (h.scheduler.waiting() == 0) {
    h.Arrive(Among({2}));
    running.push_back(h.last);
    ASSERT_LT(running.size(), 10);
  }
  const RequestId waits = running.back();
  const auto other = h.Arrive(Among({0, 1, 3, 4}));
  ASSERT_TRUE(other && !other->refused);
  EXPECT_NE(other->endpoint, 2);
  EXPECT_TRUE(h.Arrive()) << "one without a limit passes too";
  h.now += 1;
  for (const Decision& decision : h.Complete(running.front())) {
    EXPECT_EQ(decision.id, waits);
    EXPECT_EQ(decision.endpoint, 2);
  }
  EXPECT_EQ(h.scheduler.waiting(), 0);
}

TEST_P(Limited, IsRefusedWhereNothingIsLeft) {
  const auto none = h.Arrive(Among({}));
  ASSERT_TRUE(none);
  EXPECT_EQ(none->refused, RefusalReason::kNoEndpoint);
  SetUp(1, false);
  EXPECT_EQ(h.Arrive(Among({1}))->refused, RefusalReason::kNoEndpoint);
  EXPECT_EQ(h.Arrive(Among({1, 3}))->endpoint, 3);
}

TEST_P(Limited, IsRefusedWhenItsLastOneLeavesWhileItWaits) {
  while (h.scheduler.waiting() == 0) h.Arrive(Among({2}));
  SetUp(2, false);
  ASSERT_EQ(h.decisions.size(), 1);
  EXPECT_EQ(h.decisions[0].refused, RefusalReason::kNoEndpoint);
}

TEST_P(Limited, DoesNotGoToAnotherEndpointThatGotTheId) {
  Arrival arrival = Among({2});
  h.Fleet({{"a10", 4, {"h:0", "h:1"}}, {"l20", 4, {"h:3", "h:4"}}});
  h.Fleet({{"a10", 4, {"h:0", "h:1", "h:9"}}, {"l20", 4, {"h:3", "h:4"}}});
  ASSERT_EQ(h.scheduler.fleet().endpoint(2).address, "h:9");
  EXPECT_EQ(h.Arrive(arrival)->refused, RefusalReason::kNoEndpoint);
  EXPECT_EQ(h.Arrive(Among({2}))->endpoint, 2);
}

TEST_P(Limited, ReturnsToTheOthersOfItsLimit) {
  const auto first = h.Arrive(Among({0, 3}));
  h.decisions.clear();
  h.scheduler.Return(h.last, EngineFault::kClosed, h.now, h.decisions);
  ASSERT_EQ(h.decisions.size(), 1);
  EXPECT_EQ(h.decisions[0].endpoint, first->endpoint == 0 ? 3 : 0);
  EXPECT_FALSE(h.scheduler.HasAlternative(h.last)) << "three more are up, but not for it";
}

TEST_P(Limited, LeavesNoTraceInTheDecisionsOfOthers) {
  SchedulerHarness alone{GetParam()};
  alone.Fleet({{"a10", 9, {"h:0", "h:1", "h:2", "h:3"}}});
  SchedulerHarness beside{GetParam()};
  beside.Fleet({{"a10", 9, {"h:0", "h:1", "h:2", "h:3"}}});
  const auto none = std::make_shared<const std::vector<fleet::EndpointHandle>>();
  for (int i = 0; i < 20; ++i) {
    beside.Arrive(Arrival{.among = none});
    const auto with = beside.Arrive();
    const auto without = alone.Arrive();
    ASSERT_TRUE(with && without);
    EXPECT_EQ(with->endpoint, without->endpoint);
  }
}

TEST_P(Limited, FallbacksAreTheOthersThatWouldTakeIt) {
  SetUp(0, false);
  const auto decision = h.Arrive({.prompt_tokens = 128, .output_tokens = 128, .fallbacks = 9});
  ASSERT_TRUE(decision && !decision->refused);
  std::vector<EndpointId> all = decision->fallbacks;
  all.push_back(decision->endpoint);
  EXPECT_THAT(all, UnorderedElementsAre(1, 2, 3, 4));

  const auto two = h.Arrive({.prompt_tokens = 128, .output_tokens = 128, .fallbacks = 2});
  EXPECT_EQ(two->fallbacks.size(), 2);
  EXPECT_THAT(h.Arrive()->fallbacks, IsEmpty()) << "nobody has asked";
  const auto few = h.Arrive(Among({1, 4}, 2));
  ASSERT_TRUE(few);
  EXPECT_THAT(few->fallbacks, ElementsAre(few->endpoint == 1 ? 4 : 1));
}

TEST_P(Limited, FallbacksHaveTheContext) {
  h.Fleet({{"a10", 4, {"h:0", "h:1", "h:2"}, 1000}, {"l20", 4, {"h:3", "h:4"}, 4000}});
  const auto decision =
      h.Arrive({.prompt_tokens = 128, .context = 2000, .output_tokens = 128, .fallbacks = 3});
  ASSERT_TRUE(decision && !decision->refused);
  EXPECT_THAT(decision->fallbacks, ElementsAre(decision->endpoint == 3 ? 4 : 3));
}

TEST_P(Limited, FallbacksDoNotChangeWhatComesNext) {
  SchedulerHarness with{GetParam()};
  with.Fleet({{"a10", 9, {"h:0", "h:1", "h:2", "h:3"}}});
  SchedulerHarness without{GetParam()};
  without.Fleet({{"a10", 9, {"h:0", "h:1", "h:2", "h:3"}}});
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(with.Arrive(Arrival{.fallbacks = 2})->endpoint, without.Arrive()->endpoint);
  }
}

TEST_P(Limited, MovesWithAllItsLoad) {
  const auto first = h.Arrive({.prompt_tokens = 500, .reports_first_token = true});
  const EndpointId from = first->endpoint;
  const EndpointId to = from == 3 ? 0 : 3;
  const fleet::Fleet& fleet = h.scheduler.fleet();
  h.decisions.clear();
  ASSERT_TRUE(h.scheduler.Move(h.last, to, EngineFault::kClosed, h.now, h.decisions));
  EXPECT_EQ(fleet.endpoint(from).in_flight, 0);
  EXPECT_EQ(fleet.endpoint(from).prefilling, 0);
  EXPECT_EQ(fleet.endpoint(from).load->Order(), 0);
  EXPECT_EQ(fleet.endpoint(from).forecast->residents(), 0);
  EXPECT_EQ(fleet.endpoint(from).breaker.failures(), 1) << "it failed the request";
  EXPECT_EQ(fleet.endpoint(to).in_flight, 1);
  EXPECT_EQ(fleet.endpoint(to).prefilling, 500);
  EXPECT_GT(fleet.endpoint(to).load->Order(), 0);
  EXPECT_THAT(h.scheduler.RunningAt(to), testing::SizeIs(1));
  h.scheduler.FirstToken(h.last, h.now);
  EXPECT_EQ(fleet.endpoint(to).prefilling, 0);

  ASSERT_TRUE(h.scheduler.Move(h.last, to, EngineFault::kClosed, h.now, h.decisions));
  EXPECT_EQ(fleet.endpoint(to).in_flight, 1) << "said twice";
  EXPECT_EQ(fleet.endpoint(to).breaker.failures(), 0);
  h.Complete(h.last);
  EXPECT_EQ(h.TotalLoad(), 0);
  EXPECT_EQ(h.scheduler.running(), 0);
  EXPECT_EQ(h.scheduler.length_predictor().samples(), 1) << "its length is as good as any";
  EXPECT_EQ(fleet.endpoint(to).normalized_latency, 0) << "nobody knows when it was sent there";
  EXPECT_EQ(fleet.deployment_of(to).engine->steps.samples(), 0);
}

TEST_P(Limited, MovesOutOfTheFleet) {
  const auto first = h.Arrive();
  h.decisions.clear();
  ASSERT_TRUE(h.scheduler.Move(h.last, std::nullopt, EngineFault::kClosed, h.now, h.decisions));
  EXPECT_EQ(h.scheduler.running(), 0);
  EXPECT_EQ(h.TotalLoad(), 0);
  EXPECT_EQ(h.scheduler.fleet().endpoint(first->endpoint).breaker.failures(), 1);
  EXPECT_FALSE(h.scheduler.Complete(h.last, {}, h.now, h.decisions));
}

INSTANTIATE_TEST_SUITE_P(Policies, Limited, testing::ValuesIn(PolicyNames()),
                         [](const auto& test) { return TestNameOf(test.param); });

TEST(Fallbacks, AreInTheOrderOfWhatThePolicyCompared) {
  SchedulerHarness h("slo-headroom");
  h.Fleet({{"a10", 9, {"h:0", "h:1", "h:2"}}});
  for (int i = 0; i < 12; ++i) {
    const auto decision = h.Arrive(Arrival{.detail = Detail::kConsidered, .fallbacks = 2});
    ASSERT_TRUE(decision);
    ASSERT_EQ(decision->fallbacks.size(), 2);
    const auto& options = decision->explanation->options;
    const auto cost = [&](EndpointId id) {
      return std::ranges::find(options, id, &routing::Option::endpoint)->cost;
    };
    EXPECT_LE(cost(decision->fallbacks[0]), cost(decision->fallbacks[1]));
  }
}

TEST(LimitedRequest, WaitsForAnEndpointOfItsOwnToComeUp) {
  SchedulerOptions options;
  options.down_timeout = 5;
  SchedulerHarness h("least-request", options);
  h.Fleet({{"a10", 9, {"h:0", "h:1", "h:2"}}});
  h.scheduler.SetUp(1, false, h.now, h.decisions);
  const auto handle = h.scheduler.fleet().HandleOf(1);
  const Arrival arrival{.among =
                            std::make_shared<const std::vector<fleet::EndpointHandle>>(1, handle)};
  EXPECT_FALSE(h.Arrive(arrival)) << "it waits";
  h.decisions.clear();
  h.scheduler.SetUp(1, true, h.now, h.decisions);
  ASSERT_EQ(h.decisions.size(), 1);
  EXPECT_EQ(h.decisions[0].endpoint, 1);
  // One that is in the fleet no more is not waited for.
  h.Fleet({{"a10", 9, {"h:0", "h:2"}}});
  EXPECT_EQ(h.Arrive(arrival)->refused, RefusalReason::kNoEndpoint);
}

}  // namespace
}  // namespace headrace::scheduler
