#include "fleet/circuit_breaker.h"

#include <gtest/gtest.h>

#include <limits>

namespace headrace::fleet {
namespace {

using State = CircuitBreaker::State;

// A breaker with a clock that the test turns.
struct Harness {
  void Fail(EngineFault fault = EngineFault::kStatus, bool spare = true, bool outlier = false) {
    breaker.Failed(breaker.Start(), fault, spare, outlier, options, now);
  }
  void Succeed() { breaker.Succeeded(breaker.Start(), now); }
  // Until its next change by time.
  void Wait() {
    ASSERT_NE(breaker.until(), kNever);
    now = breaker.until();
    breaker.Advance(now);
  }
  // How long it takes until a probe may go there.
  Seconds Away() {
    const Seconds from = now;
    EXPECT_EQ(breaker.state(), State::kEjected);
    Wait();
    EXPECT_EQ(breaker.state(), State::kProbing);
    return now - from;
  }
  void FailUntilEjected(EngineFault fault = EngineFault::kStatus) {
    for (int i = 0; i < options.failures; ++i) Fail(fault);
    ASSERT_EQ(breaker.state(), State::kEjected);
  }

  EjectionOptions options;
  CircuitBreaker breaker;
  Seconds now = 1000;
};

TEST(CircuitBreaker, RestsAfterAFailureAndLongerAfterEachThatFollows) {
  Harness h;
  Seconds last = 0;
  for (int i = 1; i < h.options.failures; ++i) {
    h.Fail();
    EXPECT_EQ(h.breaker.state(), State::kResting);
    EXPECT_FALSE(h.breaker.Admits());
    const Seconds from = h.now;
    h.Wait();
    EXPECT_TRUE(h.breaker.Admits());
    EXPECT_GT(h.now - from, last);
    last = h.now - from;
  }
  h.Fail();
  EXPECT_EQ(h.breaker.state(), State::kEjected);
}

TEST(CircuitBreaker, ASuccessForgetsTheFailuresBefore) {
  Harness h;
  for (int i = 0; i < 100; ++i) {
    h.Fail();
    h.Fail();
    h.Succeed();
    EXPECT_EQ(h.breaker.state(), State::kClosed);
    EXPECT_EQ(h.breaker.failures(), 0);
  }
}

TEST(CircuitBreaker, TheBackoffDoublesUpToItsBound) {
  Harness h;
  h.FailUntilEjected();
  for (const Seconds expected : {10, 20, 40, 80, 160, 300, 300}) {
    EXPECT_DOUBLE_EQ(h.Away(), expected);
    h.Fail();  // The probe.
  }
}

TEST(CircuitBreaker, OneProbeAtATime) {
  Harness h;
  h.FailUntilEjected();
  h.Wait();
  EXPECT_TRUE(h.breaker.Admits());
  const auto probe = h.breaker.Start();
  EXPECT_FALSE(h.breaker.Admits());
  h.breaker.Left(probe);  // Its client has gone: nothing is known.
  EXPECT_EQ(h.breaker.state(), State::kProbing);
  EXPECT_TRUE(h.breaker.Admits());
  const auto another = h.breaker.Start();
  h.breaker.FirstToken(another, h.now);
  EXPECT_EQ(h.breaker.state(), State::kSlowStart);
}

TEST(CircuitBreaker, InSlowStartItGetsMoreAndMoreAtATime) {
  Harness h;
  h.FailUntilEjected();
  h.Wait();
  h.Succeed();
  const Seconds from = h.now;
  int last = 0;
  while (h.breaker.state() == State::kSlowStart) {
    int running = 0;
    CircuitBreaker copy = h.breaker;
    for (; copy.Admits(); ++running) copy.Start();
    EXPECT_GT(running, last);
    last = running;
    h.Wait();
  }
  EXPECT_EQ(h.breaker.state(), State::kClosed);
  EXPECT_DOUBLE_EQ(h.now - from, CircuitBreaker::kSlowStart);
}

TEST(CircuitBreaker, OneFailureInSlowStartEjectsAgainForTwiceAsLong) {
  Harness h;
  h.FailUntilEjected();
  EXPECT_DOUBLE_EQ(h.Away(), 10);
  h.Succeed();
  h.Fail();
  EXPECT_DOUBLE_EQ(h.Away(), 20);
  h.Succeed();
  h.Fail(EngineFault::kBusy);  // Full: not a reason.
  EXPECT_EQ(h.breaker.state(), State::kSlowStart);
}

TEST(CircuitBreaker, AllIsForgottenOnceItHasServedForAsLongAsItWasAway) {
  Harness h;
  h.FailUntilEjected();
  EXPECT_DOUBLE_EQ(h.Away(), 10);
  h.Succeed();
  while (h.breaker.state() == State::kSlowStart) h.Wait();
  h.FailUntilEjected();
  EXPECT_DOUBLE_EQ(h.Away(), 10);
  h.Fail();
  EXPECT_DOUBLE_EQ(h.Away(), 20);
  h.Succeed();
  while (h.breaker.state() == State::kSlowStart) h.Wait();
  h.FailUntilEjected();  // After ten seconds of twenty.
  EXPECT_DOUBLE_EQ(h.Away(), 40);
}

TEST(CircuitBreaker, AFullEngineIsEjectedForATenthOfTheTime) {
  Harness h;
  h.Fail();
  for (int i = 1; i < h.options.failures; ++i) h.Fail(EngineFault::kBusy);
  EXPECT_EQ(h.breaker.state(), State::kResting);
  h.Fail(EngineFault::kBusy);
  EXPECT_DOUBLE_EQ(h.Away(), 1);
}

TEST(CircuitBreaker, RequestsOfAnEarlierEraSayNothing) {
  Harness h;
  const auto old = h.breaker.Start();
  const auto another = h.breaker.Start();
  h.FailUntilEjected();
  h.breaker.Succeeded(old, h.now);
  EXPECT_EQ(h.breaker.state(), State::kEjected);
  h.Wait();
  h.breaker.Failed(another, EngineFault::kCut, true, false, h.options, h.now);
  EXPECT_EQ(h.breaker.state(), State::kProbing);
  EXPECT_TRUE(h.breaker.Admits());
}

TEST(CircuitBreaker, WhatCannotBeSparedStays) {
  Harness h;
  for (int i = 0; i < 100; ++i) h.Fail(EngineFault::kTimeout, false, true);
  EXPECT_EQ(h.breaker.state(), State::kClosed);
  EXPECT_EQ(h.breaker.failures(), 100);
  h.Fail();  // Now it can.
  EXPECT_EQ(h.breaker.state(), State::kEjected);
}

TEST(CircuitBreaker, ARestartedEngineIsProbedAtOnce) {
  Harness h;
  h.FailUntilEjected();
  h.breaker.Restarted();
  EXPECT_EQ(h.breaker.state(), State::kProbing);
  EXPECT_EQ(h.breaker.until(), kNever);
}

TEST(CircuitBreaker, TheErrorRateIsThatOfTheLastRequests) {
  Harness h;
  for (int i = 0; i < 19; ++i) h.Succeed();
  h.Fail();
  h.Fail(EngineFault::kBusy);
  EXPECT_EQ(h.breaker.recent().At(h.now).all, 20);
  EXPECT_EQ(h.breaker.recent().At(h.now).failed, 1);
  h.now += RecentEnds::kWindow / 2;
  EXPECT_EQ(h.breaker.recent().At(h.now).all, 20);
  h.now += RecentEnds::kWindow / 2;
  EXPECT_EQ(h.breaker.recent().At(h.now).all, 0);
  h.Fail(EngineFault::kStatus, true, true);  // An outlier by its rate, not by failures in a row.
  EXPECT_EQ(h.breaker.state(), State::kEjected);
}

TEST(CircuitBreaker, RestsForAsLongAsABusyEndpointAsks) {
  Harness h;
  const auto running = h.breaker.Start();
  h.breaker.AskedForRest(h.now + 20);
  h.Fail(EngineFault::kBusy);
  EXPECT_FALSE(h.breaker.Admits());
  EXPECT_EQ(h.breaker.until(), h.now + 20);
  h.breaker.Succeeded(running, h.now);
  EXPECT_FALSE(h.breaker.Admits()) << "what it still does is no reason to send it more";
  h.Wait();
  EXPECT_TRUE(h.breaker.Admits());
  // Also while it is not trusted yet, and when it is ejected for less.
  h.FailUntilEjected();
  EXPECT_EQ(h.Away(), h.options.backoff);
  h.Succeed();
  ASSERT_EQ(h.breaker.state(), State::kSlowStart);
  h.breaker.AskedForRest(h.now + 7);
  h.Fail(EngineFault::kBusy);
  EXPECT_EQ(h.breaker.until(), h.now + 7);
}

TEST(CircuitBreaker, ARestInSlowStartDoesNotEndIt) {
  for (const bool served_meanwhile : {false, true}) {
    Harness h;
    h.FailUntilEjected();
    h.Away();
    h.Succeed();
    h.Wait();
    h.Wait();  // Eight at a time.
    const auto running = h.breaker.Start();
    h.breaker.AskedForRest(h.now + 7);
    h.Fail(EngineFault::kBusy);
    EXPECT_EQ(h.breaker.state(), State::kResting);
    if (served_meanwhile) h.breaker.Succeeded(running, h.now);
    h.Wait();
    ASSERT_EQ(h.breaker.state(), State::kSlowStart);
    const Seconds from = h.now;
    int more = 0;
    for (CircuitBreaker copy = h.breaker; copy.Admits(); ++more) copy.Start();
    EXPECT_EQ(more, served_meanwhile ? 2 : 1) << "it begins anew, with what runs there";
    while (h.breaker.state() == State::kSlowStart) h.Wait();
    EXPECT_EQ(h.breaker.state(), State::kClosed);
    EXPECT_DOUBLE_EQ(h.now - from, CircuitBreaker::kSlowStart);
  }
}

TEST(CircuitBreaker, AFailureWhileItsSlowStartRestsEjectsAgain) {
  Harness h;
  h.FailUntilEjected();
  h.Away();
  h.Succeed();
  const auto running = h.breaker.Start();
  h.breaker.AskedForRest(h.now + 3);
  h.Fail(EngineFault::kBusy);
  h.breaker.Failed(running, EngineFault::kClosed, true, false, h.options, h.now);
  EXPECT_DOUBLE_EQ(h.Away(), 20);
}

TEST(RecentEnds, WhatIsAddedCanBeRemoved) {
  RecentEnds pool;
  RecentEnds one;
  RecentEnds other;
  const auto end = [&](RecentEnds& of, bool failed, Seconds now) {
    of.Add(failed, now);
    pool.Add(failed, now);
  };
  end(one, true, 1);
  end(other, false, 2);
  end(other, true, 20);
  EXPECT_EQ(pool.At(20), (RecentEnds::Count{3, 2}));
  pool.Remove(one);
  EXPECT_EQ(pool.At(20), other.At(20));
  pool.Add(one);
  EXPECT_EQ(pool.At(20), (RecentEnds::Count{3, 2}));
  EXPECT_EQ(pool.At(31), (RecentEnds::Count{1, 1}));
  end(other, false, 50);
  pool.Remove(one);  // None of its are counted any more.
  EXPECT_EQ(pool.At(50), other.At(50));
}

}  // namespace
}  // namespace headrace::fleet
