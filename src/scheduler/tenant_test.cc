// Priorities and tenants through the scheduler: who goes first, who waits, who is refused.
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "base/random.h"
#include "scheduler/test_fleet.h"

namespace headrace::scheduler {
namespace {

using Harness = SchedulerHarness;

Arrival Chat(TenantId tenant, int priority = 0, std::optional<slo::Slo> slo = E2eSlo(20)) {
  return {.prompt_tokens = 100,
          .output_tokens = 100,
          .slo = slo,
          .bytes = 1000,
          .priority = priority,
          .tenant = tenant};
}

// --- Accounts

TEST(TenantShares, WhoHadMostIsAboveItsShare) {
  TenantShares shares;
  shares.Charge(1, 10, 5);
  EXPECT_FALSE(shares.IsAboveShare(1)) << "nobody else is there";
  shares.Charge(2, 2, 5);
  EXPECT_TRUE(shares.IsAboveShare(1));
  EXPECT_FALSE(shares.IsAboveShare(2));
  EXPECT_FALSE(shares.IsAboveShare(3)) << "has had nothing";
  shares.Charge(2, 7.5, 5);
  EXPECT_TRUE(shares.IsAboveShare(2)) << "about as much as the other";
  EXPECT_NEAR(shares.Share(1), 10 / 19.5, 1e-9);
  EXPECT_EQ(shares.Share(3), 0);
}

TEST(TenantShares, AWeightIsAMultipleOfTheShare) {
  TenantShares shares;
  shares.SetWeights(std::vector<TenantWeight>{{1, 3}});
  shares.Charge(1, 10, 5);
  shares.Charge(2, 5, 5);
  EXPECT_FALSE(shares.IsAboveShare(1));
  EXPECT_TRUE(shares.IsAboveShare(2));
  shares.SetWeights({});
  EXPECT_TRUE(shares.IsAboveShare(1));
}

TEST(TenantShares, WhatIsLongPastDoesNotCount) {
  TenantShares shares;
  shares.Charge(1, 100, 5);
  shares.Charge(2, 50, 5);
  // For hours tenant 2 goes on, and tenant 1 does nothing.
  for (Seconds now = 100; now < 20'000; now += 60) shares.Charge(2, 1, now);
  EXPECT_FALSE(shares.IsAboveShare(1));
  EXPECT_LT(shares.Share(1), 1e-9);
  // It cannot have saved up more than what it would have had in a minute or so.
  shares.Charge(1, 2.5, 20'000);
  EXPECT_TRUE(shares.IsAboveShare(1));
}

TEST(TenantShares, WhatWasChargedTooMuchIsGivenBack) {
  TenantShares shares;
  shares.Charge(1, 10, 5);
  shares.Charge(2, 5, 5);
  shares.Charge(1, -8, 6);
  EXPECT_FALSE(shares.IsAboveShare(1));
  EXPECT_TRUE(shares.IsAboveShare(2));
  shares.Charge(1, -100, 7);
  EXPECT_EQ(shares.Share(1), 0) << "never less than nothing";
}

TEST(TenantShares, ClientsThatInventNamesGetNoMoreAccounts) {
  TenantShares shares;
  for (TenantId tenant = 1; tenant <= 5000; ++tenant) shares.Charge(tenant, 1, 5);
  EXPECT_EQ(shares.tenants(), TenantShares::kMost);
  // The rest is one tenant, which had most of all.
  EXPECT_TRUE(shares.IsAboveShare(5000));
  EXPECT_TRUE(shares.IsAboveShare(9999));
  EXPECT_FALSE(shares.IsAboveShare(1));
  // An account that nobody uses any more is given to the next.
  shares.Charge(1, 100, 900);
  shares.Charge(7777, 1, 900);
  EXPECT_GT(shares.Share(7777), 0);
  EXPECT_FALSE(shares.IsAboveShare(7777));
}

// --- Who goes first

// One engine with room for one request. The first arrival takes it, the others wait.
class OneByOne : public testing::Test {
 protected:
  OneByOne() : h("slo-headroom") { h.Fleet({{"gpu", 1, {"h:1"}}}); }

  RequestId Arrive(const Arrival& arrival) {
    h.Arrive(arrival);
    return h.last;
  }
  // Ends what runs and returns what is sent instead.
  RequestId Next(RequestId running) {
    h.now += 0.5;
    for (const Decision& decision : h.Complete(running, 100, 100)) {
      if (!decision.refused) return decision.id;
    }
    return 0;
  }

  Harness h;
};

TEST_F(OneByOne, TheHigherPriorityFirst) {
  const RequestId running = Arrive(Chat(0));
  const RequestId low = Arrive(Chat(0, -1));
  const RequestId normal = Arrive(Chat(0));
  const RequestId high = Arrive(Chat(0, 5));
  EXPECT_EQ(Next(running), high);
  EXPECT_EQ(Next(high), normal);
  EXPECT_EQ(Next(normal), low);
}

TEST_F(OneByOne, OtherPoliciesServeAllAlike) {
  const auto* least_request = routing::FindPolicy("least-request");
  Arrival first = Chat(0, -5);
  Arrival second = Chat(0, 5);
  first.policy = second.policy = least_request;
  const RequestId running = Arrive(Chat(0));
  const RequestId waits = Arrive(first);
  Arrive(second);
  EXPECT_EQ(Next(running), waits);
}

TEST_F(OneByOne, ATenantAboveItsShareWaitsBehindTheOthers) {
  const RequestId first = Arrive(Chat(2));
  std::vector<RequestId> flood;
  for (int i = 0; i < 4; ++i) flood.push_back(Arrive(Chat(1)));
  ASSERT_EQ(Next(first), flood[0]);
  ASSERT_EQ(Next(flood[0]), flood[1]);
  // By now it has had more than the other.
  const RequestId behind = Arrive(Chat(1));
  const RequestId other = Arrive(Chat(2));
  ASSERT_EQ(Next(flood[1]), flood[2]) << "keeps its place";
  ASSERT_EQ(Next(flood[2]), flood[3]);
  EXPECT_EQ(Next(flood[3]), other);
  EXPECT_EQ(Next(other), behind);
}

// How many long prompts are sent at once to one engine, whose line they make longer and longer.
std::size_t SentAtOnce(bool others, int priority) {
  Harness h("slo-headroom");
  h.Fleet({{"gpu", 512, {"h:1"}}});
  if (others) h.Arrive(Chat(2));
  for (int i = 0; i < 40; ++i) {
    h.Arrive({.prompt_tokens = 4000,
              .output_tokens = 20,
              .slo = E2eSlo(30),
              .bytes = 1000,
              .priority = priority,
              .tenant = 1});
  }
  return h.scheduler.running() - (others ? 1 : 0);
}

TEST(Yielding, LeavesTheOthersThatHaveAsMuchTimeALineThatTheyCanBear) {
  const std::size_t alone = SentAtOnce(false, 0);
  EXPECT_GT(alone, 20);
  EXPECT_LT(SentAtOnce(true, 0), alone / 2) << "above its share";
  EXPECT_LT(SentAtOnce(false, -1), alone / 2) << "a priority below 0";
}

TEST(Priority, AFullQueueHasRoomForWhatStandsHigher) {
  Harness h("slo-headroom", {.max_queue_length = 2});
  h.Fleet({{"gpu", 1, {"h:1"}}});
  h.Arrive(Chat(0));
  h.Arrive(Chat(0, -1));
  const RequestId older = h.last;
  h.Arrive(Chat(0, -1));
  const RequestId newer = h.last;
  EXPECT_FALSE(h.Arrive(Chat(0))) << "waits";
  ASSERT_EQ(h.decisions.size(), 1);
  EXPECT_EQ(h.decisions[0].id, newer);
  EXPECT_EQ(h.decisions[0].refused, RefusalReason::kQueueFull);
  EXPECT_GE(h.decisions[0].retry_after, 1);
  const auto third = h.Arrive(Chat(0, -1));
  ASSERT_TRUE(third);
  EXPECT_EQ(third->refused, RefusalReason::kQueueFull) << "not at the cost of its equals";
  EXPECT_EQ(h.scheduler.waiting(), 2);
  h.Arrive(Chat(0));
  EXPECT_EQ(h.decisions[0].id, older);
}

TEST(Priority, ALowerOneDoesNotBreakAPromiseToAHigherOne) {
  Harness h("slo-headroom");
  h.Fleet({{"gpu", 512, {"h:1"}}});
  Arrival chat{.prompt_tokens = 100, .output_tokens = 2000, .slo = slo::Slo{.tpot = 0.022}};
  chat.priority = 1;
  ASSERT_TRUE(h.Arrive(chat));  // Runs for 40 s and has no slack.
  Arrival code{.prompt_tokens = 8000, .output_tokens = 30, .slo = E2eSlo(4)};
  EXPECT_FALSE(h.Arrive(code));
  const RequestId waiting = h.last;
  bool sent = false;
  for (int i = 0; i < 100; ++i) {
    h.now += 0.1;
    for (const Decision& decision : h.Tick()) sent |= decision.id == waiting && !decision.refused;
  }
  EXPECT_FALSE(sent) << "it gives up its own promise instead";
}

// --- In the long run

// Engines that take so many requests each, and are never without work: every tenant keeps its own
// number of requests waiting.
class Saturated {
 public:
  Saturated(std::vector<TenantWeight> weights, std::vector<int> backlogs, std::uint64_t seed)
      : h_("slo-headroom", {.queue_timeout = 30, .tenant_weights = std::move(weights)}, seed),
        backlogs_(std::move(backlogs)),
        served_(backlogs_.size()),
        waiting_(backlogs_.size()),
        rng_(seed) {
    h_.Fleet({{"gpu", 4, {"h:1", "h:2"}}});
  }

  void Run(Seconds duration) {
    const Seconds end = h_.now + duration;
    for (; h_.now < end; h_.now += 0.25) {
      for (std::size_t t = 0; t < backlogs_.size(); ++t) {
        while (waiting_[t] < backlogs_[t]) Arrive(t);
      }
      Take(h_.Tick());
      // Each engine ends a request twice a second.
      if (!running_.empty()) {
        const auto [id, tenant] =
            *std::next(running_.begin(), static_cast<long>(rng_.Below(running_.size())));
        running_.erase(id);
        served_[tenant] += 1;
        Take(h_.Complete(id, 100, 100));
      }
    }
  }
  double ServedShare(std::size_t tenant) const {
    double all = 0;
    for (const double served : served_) all += served;
    return served_[tenant] / all;
  }
  Seconds longest_wait() const { return longest_wait_; }

 private:
  void Arrive(std::size_t tenant) {
    const auto id_before = h_.last;
    ++waiting_[tenant];
    h_.decisions.clear();
    h_.last = h_.scheduler.Arrive(Chat(tenant + 1, 0, E2eSlo(5 + 20 * rng_.Uniform())), h_.now,
                                  h_.decisions);
    (void)id_before;
    tenants_[h_.last] = tenant;
    Take(h_.decisions);
  }
  void Take(const Decisions& decisions) {
    for (const Decision& decision : decisions) {
      const std::size_t tenant = tenants_.at(decision.id);
      --waiting_[tenant];
      longest_wait_ = std::max(longest_wait_, decision.queued);
      if (!decision.refused) running_[decision.id] = tenant;
    }
  }

  Harness h_;
  std::vector<int> backlogs_;
  std::vector<double> served_;
  std::vector<int> waiting_;
  std::map<RequestId, std::size_t> tenants_;
  std::map<RequestId, std::size_t> running_;
  Seconds longest_wait_ = 0;
  Rng rng_;
};

TEST(Fairness, SharesComeToTheWeightsWhateverTheAppetite) {
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    Saturated equal({}, {3, 30, 10}, seed);
    equal.Run(1200);
    for (std::size_t t = 0; t < 3; ++t) EXPECT_NEAR(equal.ServedShare(t), 1.0 / 3, 0.05) << t;
    Saturated weighted({{1, 3}, {2, 1}}, {10, 40}, seed);
    weighted.Run(1200);
    EXPECT_NEAR(weighted.ServedShare(0), 0.75, 0.05);
  }
}

// Decisions about requests at this rate, by one of so many tenants each.
std::string LogOf(double rate, int tenants, std::uint64_t seed) {
  Harness h("slo-headroom", {}, seed);
  h.Fleet({{"a10", 512, {"h:1", "h:2"}}, {"l20", 512, {"h:3", "h:4"}}});
  Rng rng(seed);
  std::vector<RequestId> running;
  std::string log;
  const auto take = [&] {
    for (const Decision& decision : h.decisions) {
      log += std::to_string(decision.id) + (decision.refused ? 'x' : '>') +
             std::to_string(decision.endpoint) + ';';
      if (!decision.refused) running.push_back(decision.id);
    }
  };
  for (int i = 0; i < 2000; ++i) {
    h.now += rng.Exponential(1 / rate);
    const auto drawn = rng.Below(5);
    const TenantId tenant = tenants == 0 ? kNoTenant : 1 + drawn % static_cast<TenantId>(tenants);
    h.Arrive({.prompt_tokens = static_cast<Tokens>(50 + rng.Below(4000)),
              .output_tokens = static_cast<Tokens>(10 + rng.Below(400)),
              .slo = E2eSlo(5 + 20 * rng.Uniform()),
              .tenant = tenant});
    take();
    // As many end as come, once there are some.
    while (running.size() > static_cast<std::size_t>(rate * 4)) {
      const RequestId id = running.front();
      running.erase(running.begin());
      h.Complete(id, 1000, 200);
      take();
    }
  }
  return log;
}

TEST(Fairness, HasNoEffectWithoutContention) {
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    EXPECT_TRUE(LogOf(20, 1, seed) == LogOf(20, 0, seed)) << "a tenant alone, whatever the load";
    EXPECT_TRUE(LogOf(0.5, 5, seed) == LogOf(0.5, 0, seed))
        << "nothing waits, here or in an engine";
  }
}

TEST(Fairness, NobodyWaitsLongerThanTheQueueAllows) {
  Saturated fleet({{1, 100}}, {20, 20}, 1);
  fleet.Run(600);
  EXPECT_LE(fleet.longest_wait(), 31);
}

}  // namespace
}  // namespace headrace::scheduler
