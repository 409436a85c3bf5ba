#include "scheduler/scheduler.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>

#include "scheduler/test_fleet.h"

namespace headrace::scheduler {
namespace {

using Harness = SchedulerHarness;

profile::GpuProfile Plain(std::string name, double tput = 1, Seconds e2e = 2) {
  return FlatProfile(std::move(name), tput, e2e, E2eSlo(10));
}

// --- The reference behaviours

TEST(Reference, NoProfileFallsBackToLeastRequestAndTheDecisionNamesIt) {
  Harness h;
  h.Fleet({{"a10", 512, {"h:1", "h:2"}}});
  const auto decision = h.Arrive();
  ASSERT_TRUE(decision && !decision->refused);
  EXPECT_EQ(decision->policy, "least-request");
  EXPECT_EQ(decision->fallback, FallbackCause::kNoProfile);
}

TEST(Reference, NoSloFallsBack) {
  Harness h;
  h.Fleet({{"a10", 512, {"h:1"}}});
  h.Profile(FlatProfile("a10", 1, 2, {}));
  const auto decision = h.Arrive();
  EXPECT_EQ(decision->policy, "least-request");
  EXPECT_EQ(decision->fallback, FallbackCause::kNoSlo);
  // Any SLO, wherever it comes from, makes the profile usable.
  EXPECT_EQ(h.Arrive(128, E2eSlo(10))->policy, "slo");
}

TEST(Reference, MissingMatrixFallsBack) {
  Harness h;
  h.Fleet({{"a10", 512, {"h:1"}}});
  profile::GpuProfile profile = Plain("a10");
  profile.e2e.reset();
  h.Profile(profile);
  const auto decision = h.Arrive();
  EXPECT_EQ(decision->policy, "least-request");
  EXPECT_EQ(decision->fallback, FallbackCause::kMissingMatrix);
}

TEST(Reference, LoadPoliciesFallBackToRandom) {
  Harness h("least-load");
  h.Fleet({{"a10", 512, {"h:1"}}});
  EXPECT_EQ(h.Arrive()->policy, "random");
  h.Profile(FlatProfile("a10", 1, 2, {}));
  EXPECT_EQ(h.Arrive()->policy, "least-load") << "it needs a profile but no SLO";
}

TEST(Reference, ViolationPredictedEverywhereIsRefused) {
  Harness h;
  h.Fleet({{"a10", 512, {"h:1"}}, {"l20", 512, {"h:2"}}});
  h.Profile(Plain("a10", 0));
  h.Profile(Plain("l20", 0));
  const auto decision = h.Arrive();
  EXPECT_EQ(decision->refused, RefusalReason::kSloUnattainable);
  EXPECT_GT(decision->retry_after, 0);
  EXPECT_EQ(h.scheduler.running() + h.scheduler.waiting(), 0);
}

TEST(Reference, TputZeroOnOneGpuTypeLeavesTheOther) {
  Harness h;
  h.Fleet({{"a10", 512, {"h:1"}}, {"l20", 512, {"h:2"}}});
  h.Profile(Plain("a10", 0));
  h.Profile(Plain("l20"));
  const auto decision = h.Arrive();
  EXPECT_EQ(decision->policy, "slo");
  EXPECT_EQ(h.scheduler.fleet().deployment_of(decision->endpoint).name, "l20");
}

TEST(Reference, ColdStartRoutesWithALengthThatMakesSense) {
  Harness h;
  h.Fleet({{"a10", 512, {"h:1"}}});
  h.Profile(Plain("a10"));
  Arrival arrival;
  arrival.prompt_tokens = 100;
  const auto decision = h.Arrive(arrival);
  ASSERT_TRUE(decision && !decision->refused);
  EXPECT_EQ(decision->length.tokens, 128);
  EXPECT_EQ(decision->length.source, predict::LengthSource::kProfile);
}

TEST(Reference, PackLoadPrefersTheSameEndpointUntilItIsFull) {
  Harness h("slo-pack-load");
  h.Fleet({{"a10", 512, {"h:1", "h:2"}}});
  h.Profile(Plain("a10", 2, 2));  // Four in flight.
  const fleet::EndpointId first = h.Arrive()->endpoint;
  for (int i = 0; i < 3; ++i) EXPECT_EQ(h.Arrive()->endpoint, first);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(h.Arrive()->endpoint, 1 - first);
  EXPECT_FALSE(h.Arrive()) << "all full: it waits";
}

TEST(Reference, FullFleetBlocksAndACompletionReleasesToTheFreedEndpoint) {
  Harness h;
  h.Fleet({{"a10", 512, {"h:1", "h:2"}}});
  h.Profile(Plain("a10", 0.5, 2));  // One in flight.
  h.Arrive();
  const RequestId first = h.last;
  const auto second = h.Arrive();
  EXPECT_FALSE(h.Arrive());
  const RequestId waiting = h.last;
  EXPECT_EQ(h.scheduler.waiting(), 1);
  h.now += 1;
  const auto freed = h.Complete(first);
  ASSERT_EQ(freed.size(), 1);
  EXPECT_EQ(freed[0].id, waiting);
  EXPECT_NE(freed[0].endpoint, second->endpoint);
  EXPECT_EQ(freed[0].queued, 1);
  EXPECT_EQ(h.scheduler.waiting(), 0);
}

TEST(Reference, FinishedRequestIsLearnedFromOnce) {
  Harness h;
  h.Fleet({{"a10", 512, {"h:1"}}});
  h.Profile(Plain("a10"));
  h.Arrive();
  EXPECT_TRUE(h.scheduler.Complete(h.last, {128, 100, 1}, h.now, h.decisions));
  EXPECT_FALSE(h.scheduler.Complete(h.last, {128, 100, 1}, h.now, h.decisions));
  EXPECT_FALSE(h.scheduler.Cancel(h.last, h.now, h.decisions));
  EXPECT_EQ(h.scheduler.length_predictor().samples(), 1);
  // What failed or was broken off teaches nothing.
  h.Arrive();
  h.scheduler.Complete(h.last, {128, 0, 1}, h.now, h.decisions);
  h.Arrive();
  h.scheduler.Cancel(h.last, h.now, h.decisions);
  EXPECT_EQ(h.scheduler.length_predictor().samples(), 1);
  EXPECT_EQ(h.TotalLoad(), 0);
}

// --- Ranks and deadlines

TEST(Rank, FollowsTheFirstSloThatIsSet) {
  fleet::Deployment deployment;
  auto profile = std::make_shared<profile::GpuProfile>(FlatProfile("a10", 1, 4, {}));
  deployment.profile = profile;
  const fleet::LittlesLaw model;
  std::optional<slo::Slo> own{slo::Slo{}};
  slo::Slo& slo = *own;
  const std::optional<slo::Slo> none;
  const auto latest = [&] {
    const SizedRequest request{.arrived = 1000,
                               .prompt_tokens = 300,
                               .output_tokens = 100,
                               .own_slo = own,
                               .pool_slo = none,
                               .needs = routing::PolicyNeeds::kSlo};
    const Verdict verdict = Assess(request, deployment, 0, model);
    EXPECT_EQ(verdict.kind, Verdict::Kind::kCandidate);
    return verdict.candidate.latest_start - 1000;
  };
  slo.e2e = 20;
  EXPECT_NEAR(latest(), 20 - 4, 1e-9);
  slo.tpat = 0.05;
  EXPECT_NEAR(latest(), 0.05 * 400 - 4, 1e-9);
  slo.ttft = 2;
  EXPECT_NEAR(latest(), 2 - 0.4, 1e-9) << "the TTFT matrix";
  slo.tpot = 0.06;
  EXPECT_NEAR(latest(), 0.06 * 100 + 2 - 4, 1e-9);
  slo.ttft.reset();
  EXPECT_NEAR(latest(), 0.06 * 100 - 4, 1e-9);
}

TEST(Deadline, RefusesWhenTheSloBecomesUnattainableNotAtTheNextArrival) {
  Harness h;
  h.Fleet({{"a10", 512, {"h:1"}}});
  h.Profile(Plain("a10", 0.5, 2));  // Latest start: 8 s after the arrival.
  h.Arrive();
  EXPECT_EQ(h.scheduler.NextWakeup(), kNever);
  h.Arrive();
  const RequestId waiting = h.last;
  EXPECT_NEAR(h.scheduler.NextWakeup(), 108, 1e-5);
  h.now = 108;
  EXPECT_TRUE(h.Tick().empty()) << "at the deadline itself a start would be in time";
  h.now = h.scheduler.NextWakeup();
  const auto refused = h.Tick();
  ASSERT_EQ(refused.size(), 1);
  EXPECT_EQ(refused[0].id, waiting);
  EXPECT_EQ(refused[0].refused, RefusalReason::kSloDeadline);
  EXPECT_EQ(h.scheduler.NextWakeup(), kNever);
}

TEST(Deadline, RequestBehindTheHeadIsRefusedInTimeToo) {
  Harness h;
  h.Fleet({{"a10", 512, {"h:1"}}});
  h.Profile(Plain("a10", 0.5, 2));
  h.Arrive();
  h.Arrive(128, E2eSlo(50));
  h.Arrive(128, E2eSlo(3));
  const RequestId tight = h.last;
  h.now = h.scheduler.NextWakeup();
  EXPECT_NEAR(h.now, 101, 1e-5);
  const auto refused = h.Tick();
  ASSERT_EQ(refused.size(), 1);
  EXPECT_EQ(refused[0].id, tight);
}

TEST(Deadline, TightOwnSloIsRefusedAtOnce) {
  Harness h;
  h.Fleet({{"a10", 512, {"h:1"}}});
  h.Profile(Plain("a10", 0.5, 2));
  EXPECT_EQ(h.Arrive(128, E2eSlo(1))->refused, RefusalReason::kSloUnattainable);
  EXPECT_EQ(h.Arrive(128, E2eSlo(2))->policy, "slo");
}

TEST(Deadline, RequestThatIsShorterThanItsBucketIsNotRefusedForRounding) {
  Harness h;
  h.Fleet({{"a10", 512, {"h:1"}}});
  slo::Slo slo;
  slo.tpat = 0.05;
  // The cell's middle, 128 + 128 tokens, may take 12.8 s and takes 11; a request of 90 + 90 tokens
  // may take 9 s, and nothing in the profile says that it would take 11.
  h.Profile(FlatProfile("a10", 1, 11, slo));
  EXPECT_EQ(h.Arrive(90, std::nullopt, 90)->policy, "slo");
}

// The figures of an L20 with a 7B model: 159 requests at once take 0.75 s, one alone takes 0.17 s.
profile::GpuProfile ShortAnswers() {
  profile::GpuProfile profile = FlatProfile("l20", 213, 0.747, E2eSlo(1));
  profile.outputs = profile::BucketAxis({8});
  profile.inputs = profile::BucketAxis({16});
  return profile;
}

TEST(Deadline, OnlyWhatNoIdleEngineCouldServeInTimeIsUnattainable) {
  Harness h;
  h.Fleet({{"l20", 512, {"h:1"}}});
  h.Profile(ShortAnswers());
  EXPECT_EQ(h.Arrive(7, E2eSlo(0.3), 8)->policy, "slo") << "0.747 s is what a full GPU takes";
  EXPECT_EQ(h.Arrive(7, E2eSlo(0.03), 8)->refused, RefusalReason::kSloUnattainable);
  slo::Slo ttft;
  ttft.ttft = 0.05;
  EXPECT_EQ(h.Arrive(7, ttft, 8)->policy, "slo") << "0.075 s on a full GPU";
  ttft.ttft = 0.005;
  EXPECT_EQ(h.Arrive(7, ttft, 8)->refused, RefusalReason::kSloUnattainable);
}

TEST(Deadline, AResponseThatMayBeShortEnoughIsTried) {
  Harness h;
  h.Fleet({{"l20", 512, {"h:1"}}});
  h.Profile(ShortAnswers());
  for (int i = 0; i < 100; ++i) {
    h.Arrive(7, std::nullopt, 500);
    h.Complete(h.last, 7, 500);
  }
  EXPECT_EQ(h.Arrive(7, E2eSlo(0.5), 500)->refused, RefusalReason::kSloUnattainable)
      << "it is known to be long";
  EXPECT_EQ(h.Arrive(7, E2eSlo(0.5), std::nullopt)->policy, "slo")
      << "500 tokens are only what is expected";
}

TEST(Deadline, WhatIsTooTightForAFullGpuWaitsForAsLongAsAnIdleOneWouldDo) {
  Harness h;
  h.Fleet({{"l20", 512, {"h:1"}}});
  h.Profile(ShortAnswers());
  while (h.Arrive(7, std::nullopt, 8)) {
  }
  const RequestId patient = h.last;
  EXPECT_FALSE(h.Arrive(7, E2eSlo(0.5), 8));
  h.scheduler.Cancel(patient, h.now, h.decisions);
  const Seconds deadline = h.scheduler.NextWakeup();
  EXPECT_GT(deadline, h.now + 0.2);
  EXPECT_LT(deadline, h.now + 0.45);
  h.now = deadline;
  EXPECT_EQ(h.Tick().at(0).refused, RefusalReason::kSloDeadline);
}

TEST(Deadline, AnotherSloThanTheProfilesIsNotBoundByItsEmptyCells) {
  Harness h;
  h.Fleet({{"l20", 512, {"h:1"}}});
  profile::GpuProfile profile = FlatProfile("l20", 0, 4, E2eSlo(1));
  h.Profile(profile);
  EXPECT_EQ(h.Arrive()->refused, RefusalReason::kSloUnattainable) << "no rate keeps 1 s";
  EXPECT_EQ(h.Arrive(128, E2eSlo(60))->policy, "slo");
  EXPECT_FALSE(h.Arrive(128, E2eSlo(60))) << "which rate keeps 60 s is not known: one at a time";
}

TEST(Deadline, QueueTimeoutBoundsEveryWait) {
  SchedulerOptions options;
  options.queue_timeout = 5;
  Harness h("least-request", options);
  h.Fleet({{"a10", 1, {"h:1"}}});
  h.Arrive();
  EXPECT_FALSE(h.Arrive());
  h.now = h.scheduler.NextWakeup();
  EXPECT_NEAR(h.now, 105, 1e-5);
  EXPECT_EQ(h.Tick().at(0).refused, RefusalReason::kQueueTimeout);
}

// --- The queue

TEST(Queue, MostUrgentHeadGoesFirst) {
  Harness h;
  h.Fleet({{"a10", 512, {"h:1"}}});
  profile::GpuProfile profile = Plain("a10", 0.5, 2);
  h.Profile(profile);
  h.Arrive();
  const RequestId running = h.last;
  h.Arrive(128, E2eSlo(60));
  h.Arrive(1024, E2eSlo(20));
  const RequestId urgent = h.last;
  h.Arrive(4096, E2eSlo(40));
  EXPECT_EQ(h.scheduler.queue().heads().size(), 3);
  const auto next = h.Complete(running);
  ASSERT_EQ(next.size(), 1);
  EXPECT_EQ(next[0].id, urgent);
}

TEST(Queue, ServesInOrderOfArrivalWithinASubQueueForAnySlo) {
  Harness h;
  h.Fleet({{"a10", 512, {"h:1"}}});
  h.Profile(Plain("a10", 0.5, 2));
  h.Arrive();
  RequestId running = h.last;
  std::vector<RequestId> order;
  for (const Seconds e2e : {50, 20, 40}) {
    h.Arrive(128, E2eSlo(e2e));
    order.push_back(h.last);
  }
  for (const RequestId expected : order) {
    const auto next = h.Complete(running);
    ASSERT_EQ(next.size(), 1);
    EXPECT_EQ(next[0].id, expected);
    running = next[0].id;
  }
}

TEST(Queue, BoundedByLengthAndByBytes) {
  SchedulerOptions options;
  options.max_queue_length = 2;
  options.max_queue_bytes = 1000;
  Harness h("slo", options);
  h.Fleet({{"a10", 512, {"h:1"}}});
  h.Profile(Plain("a10", 0.5, 2));
  h.Arrive();
  Arrival big;
  big.output_tokens = 128;
  big.bytes = 600;
  EXPECT_FALSE(h.Arrive(big));
  const RequestId waiting = h.last;
  EXPECT_EQ(h.Arrive(big)->refused, RefusalReason::kQueueFull);
  EXPECT_EQ(h.scheduler.queue_bytes(), 600);
  big.bytes = 10;
  EXPECT_FALSE(h.Arrive(big));
  const auto refused = h.Arrive(big);
  EXPECT_EQ(refused->refused, RefusalReason::kQueueFull);
  EXPECT_GE(refused->retry_after, 1);
  h.scheduler.Cancel(waiting, h.now, h.decisions);
  EXPECT_EQ(h.scheduler.queue_bytes(), 10);
}

TEST(Queue, WhatWaitsForOneEndpointHoldsUpNothingThatMayGoElsewhere) {
  Harness h("least-request");
  h.Fleet({{"a10", 1, {"h:1", "h:2"}}});
  const auto first = h.Arrive();
  ASSERT_TRUE(first && !first->refused);
  const RequestId running = h.last;
  Arrival bound;
  bound.only = first->endpoint;
  EXPECT_FALSE(h.Arrive(bound)) << "its endpoint is full";
  const RequestId waiting = h.last;
  const auto other = h.Arrive();
  ASSERT_TRUE(other);
  EXPECT_NE(other->endpoint, first->endpoint);
  const Decisions freed = h.Complete(running);
  ASSERT_EQ(freed.size(), 1u);
  EXPECT_EQ(freed[0].id, waiting);
  EXPECT_EQ(freed[0].endpoint, first->endpoint);
}

TEST(Queue, CancelledHeadLetsTheNextOneThrough) {
  Harness h;
  h.Fleet({{"big", 512, {"h:1"}}});
  profile::GpuProfile profile = Plain("big");
  profile.inputs = profile::BucketAxis({128, 8192});
  profile.tput = profile::BucketMatrix(1, 2, 1);
  profile.e2e = profile::BucketMatrix(1, 2, 2);
  profile.tput.at(0, 1) = 0.5;  // A long prompt takes the whole endpoint, a short one half of it.
  h.Profile(profile);
  h.Arrive();
  EXPECT_FALSE(h.Arrive(8192));
  const RequestId whole = h.last;
  EXPECT_FALSE(h.Arrive(8192, E2eSlo(9)));
  h.decisions.clear();
  EXPECT_TRUE(h.scheduler.Cancel(whole, h.now, h.decisions));
  EXPECT_TRUE(h.decisions.empty());
  EXPECT_EQ(h.scheduler.waiting(), 1);
  EXPECT_EQ(h.Arrive()->policy, "slo") << "half an endpoint is free for a short one";
}

TEST(Queue, ReturnedRequestGoesBackToTheFront) {
  Harness h;
  h.Fleet({{"a10", 512, {"h:1", "h:2"}}});
  h.Profile(Plain("a10", 0.5, 2));
  const auto first = h.Arrive();
  h.Arrive();
  const RequestId other = h.last;
  h.Arrive();
  h.decisions.clear();
  // Its endpoint turns out to be gone: it must not lose its place to the one that came later.
  h.scheduler.SetUp(first->endpoint, false, h.now, h.decisions);
  EXPECT_TRUE(h.scheduler.Return(first->id, fleet::EngineFault::kConnect, h.now, h.decisions));
  EXPECT_TRUE(h.decisions.empty());
  const auto next = h.Complete(other);
  ASSERT_EQ(next.size(), 1);
  EXPECT_EQ(next[0].id, first->id);
}

// --- Mixed fleets and changes

TEST(Fleet, OneBadProfileDoesNotSwitchOffTheOthers) {
  Harness h;
  h.Fleet({{"a10", 512, {"h:1"}}, {"l20", 512, {"h:2"}}});
  h.Profile(Plain("l20", 0.5, 2));
  EXPECT_EQ(h.Arrive()->policy, "slo");
  // No room left by SLO: the overflow goes where nothing is known, by the fallback, and the
  // decision names it.
  const auto overflow = h.Arrive();
  EXPECT_EQ(overflow->policy, "least-request");
  EXPECT_EQ(overflow->fallback, FallbackCause::kUnprofiledDeployment);
  EXPECT_EQ(h.scheduler.fleet().deployment_of(overflow->endpoint).name, "a10");
  // But not without bound: with as many there as on the others, it waits.
  EXPECT_FALSE(h.Arrive());
  // At its deadline it is not refused, since nothing says that it would fail there.
  h.now = h.scheduler.NextWakeup();
  const auto late = h.Tick();
  ASSERT_EQ(late.size(), 1);
  EXPECT_EQ(late[0].policy, "least-request");
}

TEST(Fleet, ProfileThatArrivesAndGoesIsFollowedByWhatWaits) {
  Harness h;
  h.Fleet({{"a10", 1, {"h:1"}}});
  h.Arrive();
  const RequestId running = h.last;
  EXPECT_FALSE(h.Arrive()) << "max_in_flight holds for every policy";
  const RequestId waiting = h.last;
  h.Profile(Plain("a10", 10, 2));
  EXPECT_NEAR(h.scheduler.NextWakeup(), 108, 1e-5) << "it has a deadline now";
  const auto next = h.Complete(running);
  ASSERT_EQ(next.size(), 1);
  EXPECT_EQ(next[0].id, waiting);
  EXPECT_EQ(next[0].policy, "slo");

  EXPECT_FALSE(h.Arrive());
  h.decisions.clear();
  h.scheduler.SetProfile("a10", nullptr, h.now, h.decisions);
  EXPECT_EQ(h.Complete(waiting).at(0).policy, "least-request");
}

TEST(Fleet, ManyWaitingRequestsAreReassessedInSlices) {
  Harness h;
  h.Fleet({{"a10", 512, {"h:1"}}});
  h.Profile(Plain("a10", 0.5, 2));
  h.Arrive();
  for (int i = 0; i < 2000; ++i) h.Arrive(128 + i % 7 * 500);
  profile::GpuProfile slower = Plain("a10", 0.25, 9);  // Latest start: 1 s after the arrival.
  h.Profile(slower);
  int ticks = 0;
  while (h.scheduler.NextWakeup() <= h.now) {
    EXPECT_TRUE(h.Tick().empty());
    ++ticks;
  }
  EXPECT_GT(ticks, 3);
  EXPECT_NEAR(h.scheduler.NextWakeup(), 101, 1e-5);
  h.now = h.scheduler.NextWakeup();
  std::size_t refused = 0;
  while (h.scheduler.NextWakeup() <= h.now) refused += h.Tick().size();
  EXPECT_EQ(refused, 2000);
}

TEST(Fleet, OneEventDecidesAboutABoundedNumberAndTheRestFollowsInOrder) {
  Harness h;
  h.Fleet({{"a10", 512, {"h:1"}}});
  h.Profile(Plain("a10", 0.5, 2));
  h.Arrive();
  for (int i = 0; i < 2000; ++i) h.Arrive();
  h.decisions.clear();
  // Without a profile nothing holds them back.
  h.scheduler.SetProfile("a10", nullptr, h.now, h.decisions);
  EXPECT_LT(h.decisions.size(), 500);
  EXPECT_LE(h.scheduler.NextWakeup(), h.now);
  Decisions all = h.decisions;
  EXPECT_FALSE(h.Arrive()) << "it would overtake those whose turn comes with the next tick";
  while (h.scheduler.NextWakeup() <= h.now) {
    const Decisions next = h.Tick();
    EXPECT_LT(next.size(), 500);
    all.insert(all.end(), next.begin(), next.end());
  }
  ASSERT_EQ(all.size(), 511) << "the endpoint takes 512 at once";
  EXPECT_TRUE(std::ranges::is_sorted(all, {}, &Decision::id));

  h.decisions.clear();
  h.scheduler.SetUp(0, false, h.now, h.decisions);
  std::size_t refused = h.decisions.size();
  EXPECT_LT(refused, 500);
  while (h.scheduler.NextWakeup() <= h.now) refused += h.Tick().size();
  EXPECT_EQ(refused, 1490);
  EXPECT_EQ(h.scheduler.waiting(), 0);
}

TEST(Fleet, AnEventThatWasJustLongEnoughLeavesNothingToGoOnWith) {
  Harness h;
  h.Fleet({{"a10", 512, {"h:1"}}});
  h.Profile(Plain("a10", 0.5, 2));
  h.Arrive();
  for (int i = 0; i < 128; ++i) ASSERT_FALSE(h.Arrive());
  h.decisions.clear();
  h.scheduler.SetProfile("a10", nullptr, h.now, h.decisions);
  ASSERT_EQ(h.decisions.size(), 128);
  EXPECT_EQ(h.scheduler.NextWakeup(), kNever);
  EXPECT_TRUE(h.Arrive()) << "nobody waits before it";
}

TEST(Fleet, NoEndpointUpIsRefusedAtOnceAndSoIsWhatWaits) {
  Harness h;
  h.Fleet({{"a10", 512, {"h:1"}}});
  h.Profile(Plain("a10", 0.5, 2));
  h.Arrive();
  const RequestId running = h.last;
  h.Arrive();
  h.decisions.clear();
  h.scheduler.SetUp(0, false, h.now, h.decisions);
  ASSERT_EQ(h.decisions.size(), 1);
  EXPECT_EQ(h.decisions[0].refused, RefusalReason::kNoEndpoint);
  EXPECT_EQ(h.Arrive()->refused, RefusalReason::kNoEndpoint);
  h.Complete(running);
  EXPECT_EQ(h.TotalLoad(), 0);
}

TEST(Fleet, RequestsOfOtherPoliciesCountToo) {
  Harness h;
  h.Fleet({{"a10", 512, {"h:1"}}});
  h.Profile(Plain("a10", 1, 2));  // Two in flight.
  Arrival arrival;
  arrival.output_tokens = 128;
  arrival.policy = routing::FindPolicy("least-request");
  EXPECT_EQ(h.Arrive(arrival)->policy, "least-request");
  EXPECT_EQ(h.TotalLoad(), fleet::kCapacity / 2);
  EXPECT_EQ(h.Arrive()->policy, "slo");
  EXPECT_FALSE(h.Arrive());
}

// --- Contexts of different lengths

Arrival Sized(Tokens prompt, std::optional<Tokens> max_tokens = std::nullopt) {
  Arrival arrival;
  arrival.prompt_tokens = prompt;
  arrival.max_tokens = max_tokens;
  arrival.context = prompt + max_tokens.value_or(1);
  return arrival;
}

TEST(Context, ALongRequestWaitsForTheLongContextAndHoldsUpNobody) {
  Harness h("least-request");
  h.Fleet({{"short", 512, {"h:1"}, 4096}, {"long", 1, {"h:2"}, 8192}});
  EXPECT_EQ(h.Arrive(Sized(6000))->endpoint, 1);
  const RequestId running = h.last;
  EXPECT_FALSE(h.Arrive(Sized(4000, 200))) << "there is room, but not in the context";
  const RequestId waiting = h.last;
  EXPECT_EQ(h.Arrive(Sized(4000, 96))->endpoint, 0);
  const auto next = h.Complete(running);
  ASSERT_EQ(next.size(), 1);
  EXPECT_EQ(next[0].id, waiting);
  EXPECT_EQ(next[0].endpoint, 1);
}

TEST(Context, WhatFitsNowhereGoesWhereTheContextIsLongest) {
  Harness h("least-request");
  h.Fleet({{"short", 512, {"h:1"}, 4096}, {"long", 512, {"h:2"}, 8192}});
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(h.Arrive(Sized(9000))->endpoint, 1) << "the engine says that it is too long";
  }
  // A context that is not known may hold it.
  h.Fleet({{"short", 512, {"h:1"}, 4096}, {"long", 512, {"h:2"}, 8192}, {"new", 512, {"h:3"}}});
  EXPECT_EQ(h.Arrive(Sized(9000))->endpoint, 2);
}

TEST(Context, IsRefusedWhereOnlyTooShortOnesAreUp) {
  for (const char* policy : {"slo", "least-request"}) {
    Harness h(policy);
    h.Fleet({{"short", 512, {"h:1"}, 4096}, {"long", 1, {"h:2"}, 8192}});
    h.Profile(Plain("short", 5, 2));
    h.Profile(Plain("long", 5, 2));
    h.Arrive(Sized(6000));
    EXPECT_FALSE(h.Arrive(Sized(6000)));
    const RequestId waiting = h.last;
    h.decisions.clear();
    h.scheduler.SetUp(1, false, h.now, h.decisions);
    ASSERT_EQ(h.decisions.size(), 1);
    EXPECT_EQ(h.decisions[0].id, waiting);
    EXPECT_EQ(h.decisions[0].refused, RefusalReason::kNoEndpoint);
    EXPECT_EQ(h.Arrive(Sized(6000))->refused, RefusalReason::kNoEndpoint);
    EXPECT_EQ(h.Arrive(Sized(4000))->endpoint, 0);
  }
}

TEST(Context, IsLearnedFromEndpointsAndFollowedByWhatWaits) {
  Harness h("least-request");
  h.Fleet({{"a", 512, {"h:1"}}, {"b", 1, {"h:2"}}});
  h.scheduler.SetMaxModelLen(0, 4096, h.now, h.decisions);
  EXPECT_EQ(h.Arrive(Sized(6000))->endpoint, 1);
  EXPECT_FALSE(h.Arrive(Sized(6000)));
  const RequestId waiting = h.last;
  h.decisions.clear();
  h.scheduler.SetMaxModelLen(0, 8192, h.now, h.decisions);
  ASSERT_EQ(h.decisions.size(), 1);
  EXPECT_EQ(h.decisions[0].id, waiting);
  EXPECT_EQ(h.decisions[0].endpoint, 0);
}

TEST(Context, IsOneOfTheReasonsInAnExplanation) {
  Harness h;
  h.Fleet({{"short", 512, {"h:1"}, 4096}, {"long", 512, {"h:2"}, 8192}});
  h.Profile(Plain("long", 0));
  const auto verdicts = h.scheduler.Explain(Sized(6000), 128, 0);
  EXPECT_EQ(verdicts[0].kind, Verdict::Kind::kTooLong);
  EXPECT_EQ(verdicts[1].kind, Verdict::Kind::kInfeasible);
  EXPECT_EQ(h.Arrive(Sized(6000))->refused, RefusalReason::kSloUnattainable)
      << "short has no profile and would take it, if it fitted";
}

TEST(Explain, GivesEachDeploymentsReasons) {
  Harness h;
  h.Fleet({{"a10", 512, {"h:1"}}, {"l20", 512, {"h:2"}}, {"l4", 512, {"h:3"}}});
  h.Profile(Plain("a10", 0));
  h.Profile(Plain("l20", 1, 4));
  const auto verdicts = h.scheduler.Explain({}, 128, 0);
  ASSERT_EQ(verdicts.size(), 3);
  EXPECT_EQ(verdicts[0].kind, Verdict::Kind::kInfeasible);
  EXPECT_EQ(verdicts[1].kind, Verdict::Kind::kCandidate);
  EXPECT_EQ(verdicts[1].expected, 4);
  EXPECT_EQ(verdicts[1].target->seconds, 10);
  EXPECT_EQ(verdicts[2].cause, FallbackCause::kNoProfile);
}

}  // namespace
}  // namespace headrace::scheduler
