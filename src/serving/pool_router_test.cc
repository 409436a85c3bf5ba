#include "serving/pool_router.h"

#include <gmock/gmock.h>

#include "serving/test_shell.h"

namespace headrace::serving {
namespace {

using testing::ElementsAre;
using testing::SizeIs;

std::vector<std::string> Addresses(const PoolRouter& router) {
  std::vector<std::string> addresses;
  for (const auto& endpoint : router.Endpoints()) addresses.push_back(endpoint->address);
  return addresses;
}

TEST(PoolRouter, DeliversTheCallersDecisionAtOnceAndOthersThroughTheirExecutor) {
  FakeServing serving;
  serving.SetEndpoints({"127.0.0.1:1"});
  serving.SetProfile(1);
  HandDrivenExecutor other_thread;
  std::optional<Route> first;
  std::optional<Route> second;
  RoutedRequest running(serving.router(), serving.executor,
                        [&](const Route& route) { first = route; });
  RoutedRequest waiting(serving.router(), other_thread,
                        [&](const Route& route) { second = route; });
  running.Arrive({});
  EXPECT_TRUE(first);
  waiting.Arrive({});
  EXPECT_FALSE(second);
  running.Complete({});
  EXPECT_FALSE(second) << "another thread's request";
  other_thread.Run();
  ASSERT_TRUE(second);
  EXPECT_EQ(second->endpoint->address, "127.0.0.1:1");
}

TEST(PoolRouter, DecisionForARequestThatIsGoneIsTakenBack) {
  FakeServing serving;
  serving.SetEndpoints({"127.0.0.1:1"});
  serving.SetProfile(1);
  RoutedRequest running(serving.router(), serving.executor, [](const Route&) {});
  running.Arrive({});
  {
    RoutedRequest waiting(serving.router(), serving.executor,
                          [](const Route&) { ADD_FAILURE() << "it is gone"; });
    waiting.Arrive({});
    running.Complete({});
    EXPECT_EQ(serving.router().Status().running, 1);
  }
  EXPECT_EQ(serving.router().Status().running, 0);
  serving.executor.Run();
  EXPECT_TRUE(serving.Idle());
}

TEST(PoolRouter, WakesItselfAtADeadlineWithoutFurtherEvents) {
  FakeServing serving({.queue_timeout = 5});
  serving.SetEndpoints({"127.0.0.1:1"});
  serving.SetProfile(1);
  std::optional<Route> route;
  RoutedRequest running(serving.router(), serving.executor, [](const Route&) {});
  RoutedRequest waiting(serving.router(), serving.executor,
                        [&](const Route& given) { route = given; });
  running.Arrive({});
  waiting.Arrive({});
  serving.executor.Advance(4);
  EXPECT_FALSE(route);
  serving.executor.Advance(2);
  ASSERT_TRUE(route);
  EXPECT_EQ(route->decision.refused, scheduler::RefusalReason::kQueueTimeout);
}

TEST(PoolRouter, WakeUpOnItsWayFindsTheRouterGone) {
  FakeServing serving;
  serving.SetEndpoints({"127.0.0.1:1"});
  serving.SetProfile(1);
  {
    RoutedRequest running(serving.router(), serving.executor, [](const Route&) {});
    RoutedRequest waiting(serving.router(), serving.executor, [](const Route&) {});
    running.Arrive({});
    waiting.Arrive({});
    serving.executor.Run();  // Sets the alarm.
  }
  serving.pools.Set({});
  serving.executor.Advance(1000);
}

TEST(PoolRouter, AnEndpointThatStaysKeepsItsInfoAndItsLoad) {
  FakeServing serving;
  serving.SetEndpoints({"127.0.0.1:1", "127.0.0.1:2"});
  serving.SetProfile(1);
  const EndpointList before = serving.router().Endpoints();
  std::optional<Route> route;
  RoutedRequest running(serving.router(), serving.executor,
                        [&](const Route& given) { route = given; });
  running.Arrive({});
  serving.SetEndpoints({"127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"});
  EXPECT_THAT(Addresses(serving.router()),
              ElementsAre("127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"));
  EXPECT_EQ(serving.router().Endpoints()[0], before[0]);
  EXPECT_EQ(serving.router().Endpoints()[1], before[1]);
  EXPECT_EQ(serving.router().Status().running, 1);
  running.Complete({});
  EXPECT_TRUE(serving.Idle());
}

TEST(PoolRouter, WhatIsFoundAtAnEndpointThatHasLeftIsIgnored) {
  FakeServing serving;
  serving.SetEndpoints({"127.0.0.1:1"});
  const auto left = serving.router().Endpoints()[0];
  serving.SetEndpoints({"127.0.0.1:2"});  // Has its id now.
  EXPECT_EQ(serving.router().Endpoints()[0]->id, left->id);
  serving.router().SetUp(*left, false, "it left");
  EXPECT_TRUE(serving.router().AnyUp());
  EXPECT_EQ(serving.faults.standing(), 0);
}

TEST(PoolRouter, OneThatGetsTheIdOfOneThatHasLeftGetsNothingElseOfIt) {
  FakeServing serving;
  serving.SetEndpoints({"127.0.0.1:1"});
  discovery::DiscoveredDeployment deployment{"a10", 512, {}};
  deployment.endpoints = {{.address = "engine:2", .resolved = {}, .fault = "no such host"}};
  serving.router().UpdateFleet({deployment});
  const auto pending = serving.router().Endpoints()[0];
  EXPECT_EQ(pending->id, 0u);
  EXPECT_FALSE(pending->socket) << "the address of the one before would get its requests and key";
  EXPECT_EQ(serving.router().Status().deployments[0].endpoints[0].fault, "no such host");
  EXPECT_FALSE(serving.router().AnyUp());
  deployment.endpoints[0].resolved = *system::Resolve({"127.0.0.1", 2});
  deployment.endpoints[0].fault = "";
  serving.router().UpdateFleet({deployment});
  serving.router().SetUp(*serving.router().Endpoints()[0], true);
  EXPECT_TRUE(serving.router().AnyUp());
  serving.router().SetUp(*serving.router().Endpoints()[0], false, "it broke");
  serving.SetEndpoints({"127.0.0.1:3"});
  EXPECT_TRUE(serving.router().AnyUp()) << "it was another one that broke";
}

TEST(PoolRouter, ARequestMayGoOnFromAnEndpointOfAnotherPool) {
  FakeServing serving;
  serving.SetEndpoints({"127.0.0.1:1"});
  EndpointInfo elsewhere;
  elsewhere.id = 1'000'000;
  std::optional<Route> route;
  RoutedRequest request(serving.router(), serving.executor,
                        [&](const Route& given) { route = given; });
  request.Arrive({}, {.only = &elsewhere});
  ASSERT_TRUE(route);
  EXPECT_EQ(route->endpoint->address, "127.0.0.1:1");
}

TEST(PoolRouter, AProfileWaitsForItsDeployment) {
  FakeServing serving;
  serving.SetProfile(1);
  serving.SetEndpoints({"127.0.0.1:1"});
  EXPECT_NE(serving.router().Status().deployments[0].profile, nullptr);
}

TEST(PoolRouter, ADeploymentThatHasLeftIsShownUntilItsLastRequestEnds) {
  FakeServing serving;
  serving.SetEndpoints({"127.0.0.1:1"});
  RoutedRequest running(serving.router(), serving.executor, [](const Route&) {});
  running.Arrive({});
  serving.router().UpdateFleet({});
  EXPECT_THAT(serving.router().Status().deployments, SizeIs(1));
  running.Complete({});
  EXPECT_THAT(serving.router().Status().deployments, SizeIs(0));
}

TEST(PoolRouter, WhatIsDrainedGetsNothingWhileItMovesToAnotherDeployment) {
  FakeServing serving({.down_timeout = 100}, "least-request");
  serving.SetEndpoints({"127.0.0.1:1"});
  serving.router().SetDrained("127.0.0.1:1", true);
  bool routed = false;
  RoutedRequest waiting(serving.router(), serving.executor, [&](const Route&) { routed = true; });
  waiting.Arrive({});
  serving.router().UpdateFleet(
      {{"l20", 512, {{"127.0.0.1:1", *system::Resolve({"127.0.0.1", 1})}}}});
  serving.executor.Run();
  EXPECT_FALSE(routed);
  serving.router().SetDrained("127.0.0.1:1", false);
  serving.executor.Run();
  EXPECT_TRUE(routed);
}

// A pod's address, and the UID of the pod that has it.
discovery::EndpointSnapshot PodAt(const std::string& address, const std::string& uid,
                                  const std::string& closed = "") {
  return {{"a10",
           512,
           {{.address = address,
             .resolved = *system::Resolve(*system::ParseHostPort(address)),
             .instance = uid,
             .closed = closed}}}};
}

TEST(PoolRouter, AnotherInstanceAtTheSameAddressIsAnotherEndpoint) {
  FakeServing serving({}, "least-request");
  serving.router().UpdateFleet(PodAt("127.0.0.1:1", "u1"));
  const auto before = serving.router().Endpoints()[0];
  RoutedRequest running(serving.router(), serving.executor, [](const Route&) {});
  running.Arrive({});
  serving.router().SetDrained("127.0.0.1:1", true);
  serving.router().UpdateFleet(PodAt("127.0.0.1:1", "u1"));
  EXPECT_EQ(serving.router().Endpoints()[0], before);
  serving.router().UpdateFleet(PodAt("127.0.0.1:1", "u2"));
  EXPECT_NE(serving.router().Endpoints()[0]->id, before->id);
  std::optional<Route> route;
  RoutedRequest next(serving.router(), serving.executor,
                     [&](const Route& given) { route = given; });
  next.Arrive({});
  ASSERT_TRUE(route) << "what was drained is gone";
  EXPECT_EQ(route->endpoint, serving.router().Endpoints()[0]);
  running.Complete({});
  next.Complete({});
  EXPECT_TRUE(serving.Idle());
}

TEST(PoolRouter, AnEndpointThatCannotBeLookedUpNowIsReachedAsBefore) {
  struct Tls final : discovery::EndpointAccess {
    bool Equals(const EndpointAccess&) const override { return true; }
  };
  FakeServing serving({}, "least-request");
  discovery::EndpointSnapshot pods = PodAt("127.0.0.1:1", "u1");
  pods[0].endpoints[0].access = std::make_shared<const Tls>();
  serving.router().UpdateFleet(pods);
  const auto before = serving.router().Endpoints()[0];
  pods[0].endpoints[0].access = nullptr;
  pods[0].endpoints[0].resolved.reset();
  pods[0].endpoints[0].fault = "its key cannot be read.";
  serving.router().UpdateFleet(pods);
  EXPECT_EQ(serving.router().Endpoints()[0], before) << "not without TLS or its key";
}

TEST(PoolRouter, AClosedEndpointFinishesWhatItHas) {
  FakeServing serving({.down_timeout = 100}, "least-request");
  serving.router().UpdateFleet(PodAt("127.0.0.1:1", "u1"));
  const auto before = serving.router().Endpoints()[0];
  RoutedRequest running(serving.router(), serving.executor, [](const Route&) {});
  running.Arrive({});
  serving.router().UpdateFleet(PodAt("127.0.0.1:1", "u1", "its pod is not ready"));
  EXPECT_EQ(serving.router().Endpoints()[0], before)
      << "what runs there, its probes and its responses still find it";
  bool routed = false;
  RoutedRequest waiting(serving.router(), serving.executor, [&](const Route&) { routed = true; });
  waiting.Arrive({});
  serving.executor.Run();
  EXPECT_FALSE(routed);
  const auto status = serving.router().Status().deployments[0].endpoints[0];
  EXPECT_EQ(status.in_flight, 1);
  EXPECT_TRUE(status.drained);
  EXPECT_EQ(status.fault, "its pod is not ready");
  EXPECT_FALSE(serving.router().SetDrained("127.0.0.1:1", false) == 0) << "what runs goes on";
  serving.executor.Run();
  EXPECT_FALSE(routed) << "an operator does not open what its place closes";
  serving.router().UpdateFleet(PodAt("127.0.0.1:1", "u1"));
  serving.executor.Run();
  EXPECT_TRUE(routed);
  EXPECT_EQ(serving.router().Endpoints()[0], before) << "what was learned of it stays";
}

// Who is late waits apart from those who can still be in time, and is shown apart.
TEST(PoolRouter, ItsStatusTellsWhoIsLate) {
  FakeServing serving({}, "slo-headroom");
  serving.SetEndpoints({"127.0.0.1:9001"});
  const std::string question = R"({"model":"llama","max_tokens":60,"stream":true,"prompt":")";
  FakeExchange fragile(serving, "fragile");
  fragile.Send(question + "Hello\"}", {{"x-slo-tpot-ms", "22"}}, openai::ApiKind::kCompletions);
  FakeExchange late(serving, "late");
  late.Send(question + std::string(40'000, 'x') + "\"}", {{"x-slo-e2e-ms", "1"}},
            openai::ApiKind::kCompletions);
  serving.executor.Advance(1);
  EXPECT_EQ(late.endpoint(), "");
  const auto queues = serving.router().Status().sub_queues;
  ASSERT_EQ(queues.size(), 1U);
  EXPECT_TRUE(queues[0].late);
  EXPECT_EQ(queues[0].length, 1U);
}

}  // namespace
}  // namespace headrace::serving
