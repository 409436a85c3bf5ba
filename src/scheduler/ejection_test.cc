// What a pool does about engines that fail.
#include <gmock/gmock.h>

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <numeric>
#include <string>
#include <vector>

#include "base/random.h"
#include "scheduler/test_fleet.h"

namespace headrace::scheduler {
namespace {

using fleet::CircuitBreaker;
using fleet::EngineFault;
using State = CircuitBreaker::State;

constexpr Seconds kServiceTime = 2;

// How an engine answers a request that is sent to it now: when, and with which fault.
struct Answer {
  Seconds after = kServiceTime;
  std::optional<EngineFault> fault = {};
};
using Engine = std::function<Answer(Seconds now)>;

Answer Well(Seconds) { return {}; }
Engine FailsAtOnce(EngineFault fault) {
  return [fault](Seconds) { return Answer{0.001, fault}; };
}

// Requests at a steady rate to one pool of engines, each with a way of its own; each request is
// sent until it has been served, three times at most.
class Pool {
 public:
  Pool(std::string_view policy, std::vector<Engine> engines, bool profiled = false,
       const SchedulerOptions& options = {})
      : h_(policy, options), engines_(std::move(engines)), sent_(engines_.size()) {
    fleet::DeploymentSpec spec{"a10", 512, {}};
    for (std::size_t i = 0; i < engines_.size(); ++i) spec.endpoints.push_back(std::to_string(i));
    h_.Fleet({spec});
    // Room for 40 requests at each endpoint.
    if (profiled) h_.Profile(FlatProfile("a10", 20, kServiceTime, E2eSlo(60)));
  }

  // Runs for so long, with so many arrivals per second.
  void Run(Seconds duration, double rate) {
    const Seconds end = h_.now + duration;
    Seconds arrival = h_.now + rng_.Exponential(1 / rate);
    for (;;) {
      const Seconds ends = running_.empty() ? kNever : running_.begin()->first;
      const Seconds next =
          std::min({arrival, ends, std::max(h_.now, h_.scheduler.NextWakeup()), end});
      h_.now = next;
      h_.decisions.clear();
      if (next == end) return;
      if (next == ends) {
        End();
      } else if (next == arrival) {
        arrival += rng_.Exponential(1 / rate);
        Arrival request;
        request.tag = arrived_++;
        request.prompt_tokens = 128;
        request.output_tokens = 128;
        tries_.push_back(0);
        h_.scheduler.Arrive(request, h_.now, h_.decisions);
      } else {
        h_.scheduler.Tick(h_.now, h_.decisions);
      }
      Take();
      CheckShare();
    }
  }

  SchedulerHarness& harness() { return h_; }
  // How many requests went to an engine since this was last called.
  std::vector<int> TakeSent() { return std::exchange(sent_, std::vector<int>(engines_.size())); }
  int failed() const { return failed_; }
  int served() const { return served_; }
  const CircuitBreaker& breaker(fleet::EndpointId id) const {
    return h_.scheduler.fleet().endpoint(id).breaker;
  }
  void Replace(std::size_t engine, Engine by) { engines_[engine] = std::move(by); }

 private:
  struct Running {
    RequestId id = 0;
    std::uint64_t tag = 0;
    std::optional<EngineFault> fault;
  };

  void Take() {
    const Decisions decisions = h_.decisions;
    for (const Decision& decision : decisions) {
      ASSERT_FALSE(decision.refused) << ToString(*decision.refused);
      ++sent_[decision.endpoint];
      ++tries_[decision.tag];
      const Answer answer = engines_[decision.endpoint](h_.now);
      running_.emplace(h_.now + answer.after, Running{decision.id, decision.tag, answer.fault});
    }
  }

  void End() {
    const Running ended = running_.begin()->second;
    running_.erase(running_.begin());
    if (ended.fault && tries_[ended.tag] < 3) {
      h_.scheduler.Return(ended.id, ended.fault, h_.now, h_.decisions);
      return;
    }
    (ended.fault ? failed_ : served_) += 1;
    h_.scheduler.Complete(ended.id, {128, 128, kServiceTime, ended.fault}, h_.now, h_.decisions);
  }

  void CheckShare() {
    const fleet::Fleet& fleet = h_.scheduler.fleet();
    ASSERT_LE(fleet.out(), fleet.up() / 2);
  }

  SchedulerHarness h_;
  std::vector<Engine> engines_;
  std::vector<int> sent_;
  std::multimap<Seconds, Running> running_;
  std::vector<int> tries_;
  std::uint64_t arrived_ = 0;
  int failed_ = 0;
  int served_ = 0;
  Rng rng_{5};
};

class EveryPolicy : public testing::TestWithParam<std::tuple<std::string_view, bool>> {
 protected:
  std::string_view policy() const { return std::get<0>(GetParam()); }
  bool profiled() const { return std::get<1>(GetParam()); }
  Pool MakePool(std::vector<Engine> engines) const {
    return {policy(), std::move(engines), profiled()};
  }
};

TEST_P(EveryPolicy, AnEngineThatFailsAtOnceGetsOnlyProbes) {
  Pool pool = MakePool({Well, Well, FailsAtOnce(EngineFault::kStatus), Well});
  pool.Run(60, 20);
  const auto sent = pool.TakeSent();
  // Five until it is ejected, then a probe after 10, 30, … seconds.
  EXPECT_LE(sent[2], 9);
  EXPECT_EQ(pool.failed(), 0);
  EXPECT_GT(pool.served(), 1000);
  EXPECT_EQ(pool.breaker(2).last_fault(), EngineFault::kStatus);
}

TEST_P(EveryPolicy, AnEngineThatHangsGetsOnlyProbes) {
  // Its time-out is long: until the first, it holds what went there.
  Pool pool =
      MakePool({Well, Well, [](Seconds) { return Answer{20, EngineFault::kTimeout}; }, Well});
  pool.Run(30, 20);
  pool.TakeSent();
  pool.Run(120, 20);
  EXPECT_LE(pool.TakeSent()[2], 4);
  EXPECT_EQ(pool.failed(), 0);
}

TEST_P(EveryPolicy, OneThatComesAndGoesIsTrustedLessAndLess) {
  // Five seconds well, five seconds not.
  Pool pool =
      MakePool({Well, Well,
                [](Seconds now) {
                  return std::fmod(now, 10) < 5 ? Answer{} : Answer{0.001, EngineFault::kClosed};
                },
                Well});
  pool.Run(300, 20);
  EXPECT_EQ(pool.failed(), 0);
  EXPECT_LT(pool.TakeSent()[2], 300 * 20 / 8);  // Half of its share.
}

TEST_P(EveryPolicy, OneThatIsWellAgainGetsItsShareAgain) {
  Pool pool = MakePool({Well, Well, FailsAtOnce(EngineFault::kConnect), Well});
  pool.Run(30, 20);
  pool.Replace(2, Well);
  pool.Run(60, 20);
  EXPECT_EQ(pool.breaker(2).state(), State::kClosed);
  pool.TakeSent();
  pool.Run(60, 60);
  EXPECT_GT(pool.TakeSent()[2], 60 * 60 / 20);
}

TEST_P(EveryPolicy, IfAllFailTheyAreStillTried) {
  std::vector<Engine> engines(4, FailsAtOnce(EngineFault::kStatus));
  Pool pool = MakePool(engines);
  pool.Run(30, 20);
  EXPECT_GT(pool.failed(), 500);
  for (std::size_t i = 0; i < engines.size(); ++i) pool.Replace(i, Well);
  pool.Run(5, 20);
  const int before = pool.failed();
  pool.Run(60, 20);
  EXPECT_EQ(pool.failed(), before);
}

TEST_P(EveryPolicy, TheOnlyEngineIsNeverEjected) {
  Pool pool = MakePool({FailsAtOnce(EngineFault::kCut)});
  pool.Run(10, 20);
  EXPECT_GT(pool.TakeSent()[0], 3 * 150);
  EXPECT_EQ(pool.breaker(0).state(), State::kClosed);
}

TEST_P(EveryPolicy, AFullEngineIsTriedAgainSoon) {
  Pool pool = MakePool({Well, Well, FailsAtOnce(EngineFault::kBusy), Well});
  pool.Run(60, 20);
  EXPECT_EQ(pool.failed(), 0);
  EXPECT_LE(pool.TakeSent()[2], 15);
}

INSTANTIATE_TEST_SUITE_P(All, EveryPolicy,
                         testing::Combine(testing::ValuesIn(PolicyNames()), testing::Bool()),
                         [](const auto& info) {
                           return TestNameOf(std::get<0>(info.param)) +
                                  (std::get<1>(info.param) ? "_profiled" : "");
                         });

// --- Beside policies

SchedulerOptions Off() {
  SchedulerOptions options;
  options.ejection.enabled = false;
  return options;
}

TEST(Ejection, CanBeTurnedOff) {
  Pool pool("least-request", {Well, Well, FailsAtOnce(EngineFault::kStatus), Well}, false, Off());
  pool.Run(30, 20);
  const auto sent = pool.TakeSent();
  // What it is there for: the one that fails at once looks idle.
  EXPECT_GT(sent[2], 2 * sent[0]);
  EXPECT_EQ(pool.breaker(2).state(), State::kClosed);
}

TEST(Ejection, EndsWhenItIsTurnedOff) {
  Pool pool("least-request", {Well, FailsAtOnce(EngineFault::kStatus)});
  pool.Run(15, 20);
  ASSERT_EQ(pool.breaker(1).state(), State::kEjected);
  SchedulerHarness& h = pool.harness();
  SchedulerOptions options = h.scheduler.options();
  options.ejection.enabled = false;
  h.scheduler.SetOptions(options, h.now, h.decisions);
  EXPECT_EQ(pool.breaker(1).state(), State::kClosed);
  EXPECT_TRUE(h.scheduler.fleet().IsAvailable(1));
}

// Fails what arrives until the endpoint that it goes to is out.
void Eject(SchedulerHarness& h, fleet::EndpointId endpoint) {
  for (int i = 0; i < 1000; ++i) {
    if (h.scheduler.fleet().endpoint(endpoint).breaker.state() == State::kEjected) return;
    const auto decision = h.Arrive();
    if (!decision) {
      h.scheduler.Cancel(h.last, h.now, h.decisions);
      h.now = std::max(h.now, h.scheduler.NextWakeup());
      h.Tick();
      continue;
    }
    if (decision->endpoint == endpoint) {
      h.scheduler.Complete(h.last, {.fault = EngineFault::kStatus}, h.now, h.decisions);
    } else {
      h.Complete(h.last);
      h.now += 1;
      h.Tick();
    }
  }
  FAIL() << "endpoint " << endpoint << " was never ejected";
}

TEST(Ejection, TheLastOneThatIsLeftComesBackAtOnce) {
  SchedulerHarness h("least-request");
  h.Fleet({{"a10", 512, {"h:1", "h:2"}}});
  Eject(h, 0);
  EXPECT_FALSE(h.scheduler.fleet().IsAvailable(0));
  h.scheduler.SetUp(1, false, h.now, h.decisions);
  EXPECT_TRUE(h.scheduler.fleet().IsAvailable(0));
  ASSERT_TRUE(h.Arrive());
}

TEST(Ejection, NoneThatAloneHasALongContext) {
  SchedulerHarness h("least-request");
  h.Fleet({{"a10", 512, {"h:1", "h:2", "h:3"}, 4096}, {"l20", 512, {"h:4"}, 32768}});
  for (int i = 0; i < 200; ++i) {
    const auto decision = h.Arrive();
    ASSERT_TRUE(decision);
    const bool fails = decision->endpoint == 3;
    h.scheduler.Complete(h.last,
                         {1, 1, 1, fails ? std::optional(EngineFault::kStatus) : std::nullopt},
                         h.now, h.decisions);
  }
  EXPECT_EQ(h.scheduler.fleet().endpoint(3).breaker.state(), State::kClosed);
  EXPECT_GT(h.scheduler.fleet().endpoint(3).breaker.failures(), 5);
}

TEST(Ejection, WhatDiesWithAnEndpointThatIsDownIsNotHeldAgainstIt) {
  SchedulerHarness h("least-request");
  h.Fleet({{"a10", 512, {"h:1", "h:2"}}});
  std::vector<RequestId> there;
  for (int i = 0; i < 40; ++i) {
    if (h.Arrive()->endpoint == 0) there.push_back(h.last);
  }
  h.scheduler.SetUp(0, false, h.now, h.decisions);
  for (const RequestId id : there) {
    h.scheduler.Complete(id, {.fault = EngineFault::kCut}, h.now, h.decisions);
  }
  h.scheduler.SetUp(0, true, h.now, h.decisions);
  EXPECT_TRUE(h.scheduler.fleet().IsAvailable(0));
}

TEST(Ejection, ARestartedEngineIsProbedAtOnce) {
  SchedulerHarness h("least-request");
  h.Fleet({{"a10", 512, {"h:1", "h:2"}}});
  Eject(h, 0);
  h.scheduler.SetUp(0, false, h.now, h.decisions);
  h.scheduler.SetUp(0, true, h.now, h.decisions);
  EXPECT_TRUE(h.scheduler.fleet().IsAvailable(0));
  EXPECT_EQ(h.scheduler.fleet().endpoint(0).breaker.state(), State::kProbing);
}

TEST(Ejection, AHighErrorRateIsEnough) {
  // Two of three fail, but never five in a row.
  int count = 0;
  Pool pool("round-robin", {Well, Well, Well, [&](Seconds) {
                              return ++count % 3 == 0 ? Answer{} : Answer{1, EngineFault::kCut};
                            }});
  pool.Run(120, 40);
  const auto sent = pool.TakeSent();
  EXPECT_LT(sent[3], sent[0] / 4);
}

TEST(Ejection, AnErrorRateThatAllHaveInCommonIsNobodysOwn) {
  // Some request in three is one that no engine can serve.
  const auto some = [count = 0](Seconds) mutable {
    return ++count % 3 == 0 ? Answer{kServiceTime, EngineFault::kStatus} : Answer{};
  };
  Pool pool("round-robin", {some, some, some, some});
  pool.Run(120, 40);
  const auto sent = pool.TakeSent();
  const int all = std::accumulate(sent.begin(), sent.end(), 0);
  for (const int one : sent) EXPECT_GT(one, all / 6);
}

TEST(Ejection, ARequestThatFailedDoesNotWaitForOneThatIsEjected) {
  SchedulerHarness h("least-request");
  h.Fleet({{"a10", 512, {"h:1", "h:2"}}});
  Eject(h, 0);
  ASSERT_EQ(h.Arrive()->endpoint, 1);
  EXPECT_FALSE(h.scheduler.HasAlternative(h.last));
  h.decisions.clear();
  h.scheduler.Return(h.last, EngineFault::kClosed, h.now, h.decisions);
  ASSERT_EQ(h.decisions.size(), 1);
  EXPECT_EQ(h.decisions[0].endpoint, 1);
}

TEST(Ejection, AFailureTeachesNothing) {
  SchedulerHarness h("slo-headroom");
  h.Fleet({{"a10", 512, {"h:1"}}});
  h.Arrive();
  h.scheduler.Complete(h.last, {128, 100, 0.001, EngineFault::kCut}, h.now, h.decisions);
  EXPECT_EQ(h.scheduler.length_predictor().samples(), 0);
  EXPECT_EQ(h.scheduler.fleet().endpoint(0).normalized_latency, 0);
  EXPECT_EQ(h.scheduler.fleet().deployments()[0].engine->steps.samples(), 0);
  EXPECT_EQ(h.TotalLoad(), 0);
}

}  // namespace
}  // namespace headrace::scheduler
