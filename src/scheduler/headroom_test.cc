// slo-headroom through the scheduler: who is sent, who waits, who may pass, who is late.
#include <gtest/gtest.h>

#include <map>
#include <vector>

#include "scheduler/test_fleet.h"

namespace headrace::scheduler {
namespace {

using Harness = SchedulerHarness;

slo::Slo Tpot(Seconds tpot) { return {.tpot = tpot}; }

TEST(SloHeadroom, NeedsNeitherProfileNorSlo) {
  Harness h("slo-headroom");
  h.Fleet({{"gpu", 512, {"h:1", "h:2"}}});
  const auto plain = h.Arrive();
  ASSERT_TRUE(plain);
  EXPECT_EQ(plain->policy, "slo-headroom");
  EXPECT_EQ(plain->fallback, FallbackCause::kNone);
  const auto promised = h.Arrive(128, E2eSlo(10));
  ASSERT_TRUE(promised);
  EXPECT_NE(promised->endpoint, plain->endpoint);
}

TEST(SloHeadroom, SaysWhatItExpectsOfARequestWhereItSendsIt) {
  Harness h("slo-headroom");
  h.Fleet({{"gpu", 512, {"h:1"}}});
  const auto decision = h.Arrive(1000, E2eSlo(100), 200);
  ASSERT_TRUE(decision && decision->outlook);
  const fleet::Outlook& outlook = *decision->outlook;
  EXPECT_GT(outlook.first_token, h.now);
  EXPECT_GT(outlook.pace, 0);
  EXPECT_DOUBLE_EQ(outlook.EndOf(200), outlook.end) << "of the expected length";
  EXPECT_LT(outlook.miss, 0.01);
  Arrival other{.prompt_tokens = 100, .output_tokens = 100};
  other.policy = routing::FindPolicy("least-request");
  EXPECT_FALSE(h.Arrive(other)->outlook) << "predicts nothing";
}

Arrival Asking(Detail detail, Tokens prompt, Tokens output, const slo::Slo& slo) {
  Arrival arrival{.prompt_tokens = prompt, .output_tokens = output, .slo = slo, .detail = detail};
  return arrival;
}

TEST(SloHeadroom, ExplainsWhatItConsideredAndWhoWouldHaveBeenHarmed) {
  Harness h("slo-headroom");
  h.Fleet({{"gpu", 512, {"h:1", "h:2"}}});
  // It has no slack: a long prompt at its endpoint breaks its promise.
  Arrival fragile{.tag = 77, .prompt_tokens = 100, .output_tokens = 60, .slo = Tpot(0.022)};
  const auto chat = h.Arrive(fragile);
  ASSERT_TRUE(chat);
  EXPECT_EQ(chat->explanation, nullptr) << "nobody asked";
  const auto plain = h.Arrive(Asking(Detail::kConsidered, 8000, 30, E2eSlo(60)));
  ASSERT_TRUE(plain && plain->explanation);
  EXPECT_TRUE(plain->explanation->harms.empty());
  h.scheduler.Cancel(h.last, h.now, h.decisions);
  const auto code = h.Arrive(Asking(Detail::kHarmed, 8000, 30, E2eSlo(60)));
  ASSERT_TRUE(code && code->explanation);
  EXPECT_NE(code->endpoint, chat->endpoint);
  const Explanation& why = *code->explanation;
  ASSERT_EQ(why.options.size(), 2);
  for (const routing::Option& option : why.options) {
    if (option.endpoint == code->endpoint) {
      EXPECT_EQ(option.outlook.end, code->outlook->end);
      ASSERT_TRUE(option.outlook.harm);
      EXPECT_LT(*option.outlook.harm, 0.01);
    } else {
      EXPECT_EQ(option.cost, kNever)
          << "the other one harms nobody and ends first: no more was asked";
    }
  }
  ASSERT_EQ(why.harms.size(), 1);
  EXPECT_EQ(why.harms[0].endpoint, chat->endpoint);
  EXPECT_EQ(why.harms[0].harmed.tag, 77);
  EXPECT_LT(why.harms[0].harmed.miss_before, 0.5);
  EXPECT_GT(why.harms[0].harmed.miss_after, 0.5);
}

TEST(SloHeadroom, SaysWhyARequestWaited) {
  Harness h("slo-headroom");
  h.Fleet({{"gpu", 512, {"h:1"}}});
  ASSERT_TRUE(h.Arrive(100, Tpot(0.022), 200));
  const RequestId fragile = h.last;
  EXPECT_FALSE(h.Arrive(8000, E2eSlo(60), 30)) << "breaks the other's promise, and has time";
  const RequestId held = h.last;
  h.now += 4;
  std::optional<Decision> sent;
  for (const Decision& decision : h.Complete(fragile, 100, 200)) {
    if (decision.id == held) sent = decision;
  }
  ASSERT_TRUE(sent);
  EXPECT_EQ(ToString(sent->hold), "promise");
  EXPECT_GT(sent->held_cost, 0.02);
  EXPECT_EQ(ToString(h.Arrive(100, E2eSlo(600), 20)->hold), "none");

  Harness full("slo-headroom");
  full.Fleet({{"gpu", 1, {"h:1"}}});
  ASSERT_TRUE(full.Arrive(100, E2eSlo(10), 100));
  const RequestId running = full.last;
  EXPECT_FALSE(full.Arrive(100, E2eSlo(50), 100));
  full.now += 1;
  Decisions decisions = full.Complete(running);
  ASSERT_EQ(decisions.size(), 1);
  EXPECT_EQ(ToString(decisions[0].hold), "no_room");
  EXPECT_FALSE(full.Arrive(100, E2eSlo(5), 100));
  full.now += 20;
  full.Tick();
  decisions = full.Complete(decisions[0].id);
  ASSERT_EQ(decisions.size(), 1);
  EXPECT_EQ(ToString(decisions[0].hold), "late");
}

TEST(Explanation, OfAPolicyThatReadsProfilesAreItsDeployments) {
  Harness h("slo");
  h.Fleet({{"a", 512, {"h:1"}}, {"b", 512, {"h:2"}}});
  h.Profile(FlatProfile("a", 10, 1, E2eSlo(10)));
  h.Profile(FlatProfile("b", 10, 2, E2eSlo(10)));
  const auto decision = h.Arrive(Asking(Detail::kConsidered, 128, 128, E2eSlo(10)));
  ASSERT_TRUE(decision && decision->explanation);
  EXPECT_TRUE(decision->explanation->options.empty()) << "it predicts nothing";
  const auto& deployments = decision->explanation->deployments;
  ASSERT_EQ(deployments.size(), 2);
  EXPECT_DOUBLE_EQ(deployments[0].candidate.latest_start, h.now + 9);
  EXPECT_DOUBLE_EQ(deployments[1].candidate.latest_start, h.now + 8);
  EXPECT_EQ(deployments[0].least_load, 0) << "before the request itself";
}

TEST(SloHeadroom, KeepsALongPromptAwayFromWhoItWouldHarm) {
  Harness h("slo-headroom");
  h.Fleet({{"gpu", 512, {"h:1", "h:2"}}});
  // One endpoint has chat that can hardly spare a step, the other has more, but patient, requests.
  const auto chat = h.Arrive(100, Tpot(0.022), 60);
  std::vector<fleet::EndpointId> patient;
  for (int i = 0; i < 3; ++i) patient.push_back(h.Arrive(100, E2eSlo(600), 60)->endpoint);
  const auto code = h.Arrive(8000, E2eSlo(60), 30);
  ASSERT_TRUE(code);
  EXPECT_NE(code->endpoint, chat->endpoint);
}

TEST(SloHeadroom, WaitsWhileThatCostsNothingAndGoesAtTheLatestStart) {
  Harness h("slo-headroom");
  h.Fleet({{"gpu", 512, {"h:1"}}});
  ASSERT_TRUE(h.Arrive(100, Tpot(0.022), 2000));  // Runs for 40 s and has no slack.
  EXPECT_FALSE(h.Arrive(8000, E2eSlo(20), 30)) << "breaks the other's promise, and has time";
  const RequestId waiting = h.last;
  EXPECT_LT(h.scheduler.NextWakeup(), h.now + 1) << "forecasts change without an event";
  std::optional<Seconds> sent;
  for (int i = 0; i < 300 && !sent; ++i) {
    h.now += 0.1;
    for (const Decision& decision : h.Tick()) {
      if (decision.id == waiting && !decision.refused) sent = decision.queued;
    }
  }
  // Of two promises, one has to be broken: whichever it is, nobody is refused.
  EXPECT_EQ(h.scheduler.running() + h.scheduler.waiting(), 2);
}

TEST(SloHeadroom, WhatIsLateIsServedByAnIdleEndpointNotRefused) {
  Harness h("slo-headroom");
  h.Fleet({{"gpu", 1, {"h:1"}}});
  ASSERT_TRUE(h.Arrive(100, E2eSlo(10), 100));
  const RequestId running = h.last;
  EXPECT_FALSE(h.Arrive(100, E2eSlo(5), 100));
  const RequestId late = h.last;
  h.now += 20;
  EXPECT_TRUE(h.Tick().empty()) << "refused when its deadline passed";
  const Decisions decisions = h.Complete(running);
  ASSERT_EQ(decisions.size(), 1);
  EXPECT_EQ(decisions[0].id, late);
  EXPECT_FALSE(decisions[0].refused);
}

TEST(SloHeadroom, LateRequestsLeaveWithTheQueueTimeout) {
  Harness h("slo-headroom");
  h.Fleet({{"gpu", 1, {"h:1"}}});
  ASSERT_TRUE(h.Arrive(100, E2eSlo(10), 100));
  EXPECT_FALSE(h.Arrive(100, E2eSlo(5), 100));
  h.now += 61;
  const Decisions decisions = h.Tick();
  ASSERT_EQ(decisions.size(), 1);
  EXPECT_TRUE(decisions[0].refused);
  EXPECT_EQ(h.scheduler.waiting(), 0);
}

TEST(SloHeadroom, AnotherPromiseOnTheSameSizeDoesNotWaitInTheSameLine) {
  Harness h("slo-headroom");
  h.Fleet({{"gpu", 512, {"h:1"}}});
  ASSERT_TRUE(h.Arrive(100, Tpot(0.022), 2000));
  EXPECT_FALSE(h.Arrive(8000, E2eSlo(100), 30));
  // The same size without time to wait for the first: it may break one promise to keep its own.
  EXPECT_TRUE(h.Arrive(8000, E2eSlo(2.5), 30) || h.scheduler.queue().SubQueues().size() == 2);
}

TEST(SloHeadroom, ALateRequestHoldsUpNobody) {
  Harness h("slo-headroom");
  h.Fleet({{"gpu", 1, {"h:1"}}});
  ASSERT_TRUE(h.Arrive(100, E2eSlo(10), 100));
  const RequestId running = h.last;
  EXPECT_FALSE(h.Arrive(100, E2eSlo(5), 100));
  h.now += 20;
  h.Tick();  // From now on it is late.
  Arrival other{.prompt_tokens = 100, .output_tokens = 100};
  other.policy = routing::FindPolicy("least-request");
  EXPECT_FALSE(h.Arrive(other));
  const RequestId next = h.last;
  const Decisions decisions = h.Complete(running);
  ASSERT_EQ(decisions.size(), 1);
  EXPECT_EQ(decisions[0].id, next) << "stands behind one that waits for what is left";
}

TEST(SloHeadroom, WithoutAnSloAWaitHasAnEnd) {
  Harness h("slo-headroom");
  h.Fleet({{"gpu", 512, {"h:1"}}});
  // Somebody without slack is always there.
  ASSERT_TRUE(h.Arrive(100, Tpot(0.022), 2000));
  EXPECT_FALSE(h.Arrive(8000, std::nullopt, 30)) << "breaks the other's promise, and can wait";
  const RequestId waiting = h.last;
  bool sent = false;
  for (int i = 0; i < 590 && !sent; ++i) {
    h.now += 0.1;
    for (const Decision& decision : h.Tick()) sent |= decision.id == waiting && !decision.refused;
  }
  EXPECT_TRUE(sent);
}

TEST(SloHeadroom, NothingIsUpNothingWaits) {
  Harness h("slo-headroom");
  h.Fleet({{"gpu", 512, {"h:1"}}});
  h.scheduler.SetUp(0, false, h.now, h.decisions);
  const auto decision = h.Arrive(100, E2eSlo(10));
  ASSERT_TRUE(decision);
  EXPECT_EQ(decision->refused, RefusalReason::kNoEndpoint);
}

TEST(SloHeadroom, ALargeFleetIsServedFromAShortList) {
  Harness h("slo-headroom");
  std::vector<fleet::EndpointSpec> endpoints;
  for (int i = 0; i < 200; ++i) endpoints.emplace_back("h:" + std::to_string(i));
  h.Fleet({{"gpu", 512, endpoints}});
  std::map<fleet::EndpointId, int> sent;
  for (int i = 0; i < 400; ++i) {
    const auto decision = h.Arrive(100, E2eSlo(10), 100);
    ASSERT_TRUE(decision);
    ++sent[decision->endpoint];
  }
  EXPECT_GT(sent.size(), 150) << "spread over the fleet while nothing presses";
}

}  // namespace
}  // namespace headrace::scheduler
