#include "replica/merger.h"

#include <gmock/gmock.h>

#include <deque>
#include <map>
#include <memory>

#include "base/random.h"
#include "fleet/littles_law.h"
#include "replica/outbox.h"

namespace headrace::replica {
namespace {

constexpr fleet::Load kShare = fleet::kCapacity / 20;

profile::GpuProfile Profile() {
  profile::GpuProfile profile;
  profile.deployment = "a10";
  profile.outputs = profile::BucketAxis({128});
  profile.inputs = profile::BucketAxis({128});
  profile.tput = profile::BucketMatrix(1, 1, 5);
  profile.e2e = profile::BucketMatrix(1, 1, 4);
  profile.ttft = profile::BucketMatrix(1, 1, 0.4);
  profile.slo.e2e = 1000;
  return profile;
}

// A scheduler with what it takes to hear of others.
struct Replica {
  Replica(std::string_view policy, Identity its_identity)
      : identity(std::move(its_identity)),
        scheduler({.policy = routing::FindPolicy(policy)}, std::make_unique<fleet::LittlesLaw>(),
                  HashOf(identity.name)),
        outbox(identity, "m"),
        merger(identity) {
    scheduler.KeepJournal(true);
    SetFleet({"h:1", "h:2", "h:3"});
    scheduler::Decisions none;
    scheduler.SetProfile("a10", std::make_shared<profile::GpuProfile>(Profile()), 0, none);
  }
  void SetFleet(const std::vector<std::string>& endpoints) {
    scheduler::Decisions none;
    scheduler.UpdateFleet(
        std::vector<fleet::DeploymentSpec>{{"a10", 512, {endpoints.begin(), endpoints.end()}}}, 0,
        none);
  }
  // Sends a request; where it runs.
  scheduler::RequestId Send(Seconds now, Tokens prompt = 100) {
    scheduler::Arrival arrival;
    arrival.prompt_tokens = prompt;
    arrival.reports_first_token = true;
    scheduler::Decisions decisions;
    const scheduler::RequestId id = scheduler.Arrive(arrival, now, decisions);
    EXPECT_EQ(decisions.size(), 1u);
    return id;
  }
  void End(scheduler::RequestId id, Tokens output, Seconds e2e, Seconds now) {
    scheduler::Decisions decisions;
    EXPECT_TRUE(scheduler.Complete(id, {100, output, e2e}, now, decisions));
  }
  std::optional<std::string> Tell(Seconds now) {
    outbox.Add(scheduler.TakeJournal(), scheduler.queue_state());
    const auto batch = outbox.Next(now);
    if (!batch) return std::nullopt;
    return Encode(*batch);
  }
  void Hear(const std::string& bytes, Seconds now) {
    const auto batch = Decode(bytes);
    ASSERT_TRUE(batch) << batch.error().message;
    scheduler::Decisions decisions;
    for (std::size_t at = 0; !merger.Apply(*batch, at, scheduler, now, decisions);) {
    }
  }
  void Age(Seconds now) {
    scheduler::Decisions decisions;
    while (!merger.Age(scheduler, now, decisions)) {
    }
  }
  std::vector<int> InFlight() const {
    std::vector<int> all;
    for (const auto& endpoint : scheduler.fleet().endpoints()) {
      all.push_back(endpoint.all_in_flight());
      EXPECT_GE(endpoint.foreign_in_flight, 0);
      EXPECT_GE(endpoint.in_flight, 0);
      EXPECT_GE(endpoint.prefilling, 0);
      EXPECT_EQ(endpoint.load->Order(), endpoint.all_in_flight() * kShare);
      if (scheduler.fleet().keeps_forecasts()) {
        EXPECT_EQ(endpoint.forecast->residents(), endpoint.all_in_flight());
      }
    }
    return all;
  }

  Identity identity;
  scheduler::Scheduler scheduler;
  Outbox outbox;
  Merger merger;
};

struct Wire {
  double lost = 0;
  double doubled = 0;
  double late = 0;  // By up to 50 ms, so that others overtake it.
};

// Replicas that serve a random history, with a wire that does what it likes.
class Group {
 public:
  Group(std::string_view policy, int count, Wire wire, std::uint64_t seed)
      : rng_(seed), wire_(wire) {
    for (int i = 0; i < count; ++i) {
      replicas_.push_back(std::make_unique<Replica>(policy, Identity{"r" + std::to_string(i), 1}));
    }
    running_.resize(replicas_.size());
  }

  Replica& operator[](std::size_t i) { return *replicas_[i]; }

  void Step(bool arrivals) {
    now_ += rng_.Exponential(0.005);
    const std::size_t at = rng_.Below(replicas_.size());
    auto& running = running_[at];
    const auto what = rng_.Below(10);
    if (arrivals && what < 4) {
      running[replicas_[at]->Send(now_, static_cast<Tokens>(1 + rng_.Below(2000)))] = now_;
      ++sent_;
    } else if (!running.empty()) {
      const auto one = std::next(running.begin(), static_cast<long>(rng_.Below(running.size())));
      if (arrivals && what < 7) {
        replicas_[at]->scheduler.FirstToken(one->first, now_);
        replicas_[at]->scheduler.Progress(one->first, static_cast<Tokens>(rng_.Below(100)), now_);
      } else if (rng_.Below(5) == 0) {
        scheduler::Decisions none;
        replicas_[at]->scheduler.Cancel(one->first, now_, none);
        running.erase(one);
      } else {
        ++ended_;
        replicas_[at]->End(one->first, static_cast<Tokens>(1 + rng_.Below(300)), now_ - one->second,
                           now_);
        running.erase(one);
      }
    }
    Talk(wire_);
  }
  bool AnyRuns() const {
    return std::ranges::any_of(running_, [](const auto& some) { return !some.empty(); });
  }
  // Until everybody has heard a whole state of everybody.
  void Quiet() {
    for (Seconds until = now_ + 1.2; now_ < until; now_ += 0.02) Talk({});
  }
  std::vector<int> Truth() {
    std::vector<int> all(3);
    for (const auto& replica : replicas_) {
      for (std::size_t id = 0; id < 3; ++id) {
        all[id] +=
            replica->scheduler.fleet().endpoint(static_cast<fleet::EndpointId>(id)).in_flight;
      }
    }
    return all;
  }
  std::int64_t ended() const { return ended_; }
  int sent() const { return sent_; }
  std::size_t size() const { return replicas_.size(); }

 private:
  void Talk(const Wire& wire) {
    for (std::size_t i = 0; i < replicas_.size(); ++i) {
      if (now_ < last_[i] + 0.02) continue;
      last_[i] = now_;
      const auto bytes = replicas_[i]->Tell(now_);
      if (!bytes) continue;
      for (std::size_t to = 0; to < replicas_.size(); ++to) {
        if (rng_.Uniform() < wire.lost) continue;
        const Seconds due = now_ + (rng_.Uniform() < wire.late ? 0.05 * rng_.Uniform() : 0);
        on_their_way_.emplace(due, std::pair(to, *bytes));
        if (rng_.Uniform() < wire.doubled) on_their_way_.emplace(due, std::pair(to, *bytes));
      }
    }
    while (!on_their_way_.empty() && on_their_way_.begin()->first <= now_) {
      const auto& [to, bytes] = on_their_way_.begin()->second;
      replicas_[to]->Hear(bytes, now_);
      replicas_[to]->InFlight();
      on_their_way_.erase(on_their_way_.begin());
    }
  }

  Rng rng_;
  Wire wire_;
  Seconds now_ = 100;
  std::vector<std::unique_ptr<Replica>> replicas_;
  std::vector<std::map<scheduler::RequestId, Seconds>> running_;  // Since when.
  std::map<std::size_t, Seconds> last_;
  std::multimap<Seconds, std::pair<std::size_t, std::string>> on_their_way_;
  std::int64_t ended_ = 0;
  int sent_ = 0;
};

class AnyHistory : public testing::TestWithParam<std::tuple<std::string_view, int>> {};

// Once all that was told has arrived, everybody knows what one router would know.
TEST_P(AnyHistory, EverybodyComesToTheLoadOfOne) {
  const auto [policy, seed] = GetParam();
  for (const Wire& wire : {Wire{}, Wire{.lost = 0.2}, Wire{.doubled = 0.3, .late = 0.3},
                           Wire{.lost = 0.1, .doubled = 0.2, .late = 0.2}}) {
    Group group(policy, 3, wire, static_cast<std::uint64_t>(seed));
    for (int i = 0; i < 1500; ++i) group.Step(true);
    group.Quiet();
    for (std::size_t i = 0; i < group.size(); ++i) {
      EXPECT_EQ(group[i].InFlight(), group.Truth());
      EXPECT_EQ(group[i].merger.replicas(), 3);
      if (wire.lost == 0 && wire.late == 0) {
        EXPECT_EQ(group[i].scheduler.length_predictor().samples(), group.ended());
        EXPECT_EQ(group[i].merger.missed(), 0);
      }
      if (wire.lost > 0) EXPECT_GT(group[i].merger.missed(), 0);
    }
    while (group.AnyRuns()) group.Step(false);
    group.Quiet();
    for (std::size_t i = 0; i < group.size(); ++i) {
      EXPECT_THAT(group[i].InFlight(), testing::Each(0));
      for (const auto& endpoint : group[i].scheduler.fleet().endpoints()) {
        EXPECT_EQ(endpoint.prefilling, 0);
      }
    }
    EXPECT_GT(group.sent(), 300);
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, AnyHistory,
                         testing::Combine(testing::Values("least-request", "slo-headroom"),
                                          testing::Range(1, 6)));

// What one learns of steps from its own requests and those of another, it would have learned of
// them all as its own.
TEST(Merger, TeachesWhatOthersSaw) {
  Replica one("slo-headroom", {"one", 1});
  Replica hears("slo-headroom", {"hears", 1});
  Seconds now = 1;
  for (int i = 0; i < 200; ++i) {
    const scheduler::RequestId id = one.Send(now);
    hears.Hear(one.Tell(now).value(), now);
    one.scheduler.FirstToken(id, now + 0.1);
    hears.Hear(one.Tell(now + 0.1).value(), now + 0.1);
    one.End(id, 100, 0.1 + 99 * 0.03, now + 3.07);
    now += 3.07;
    hears.Hear(one.Tell(now).value(), now);
  }
  const fleet::StepLearner& taught = one.scheduler.fleet().deployments()[0].engine->steps;
  const fleet::StepLearner& heard = hears.scheduler.fleet().deployments()[0].engine->steps;
  EXPECT_GT(taught.samples(), 150);
  EXPECT_EQ(heard.samples(), taught.samples());
  EXPECT_NEAR(heard.belief().a, taught.belief().a, 1e-6);
  EXPECT_NEAR(heard.belief().b, taught.belief().b, 1e-8);
}

struct Pair : testing::Test {
  Replica a{"least-request", {"a", 1}};
  Replica b{"least-request", {"b", 1}};

  void AToB(Seconds now) { b.Hear(a.Tell(now).value(), now); }
};

TEST_F(Pair, ASilentReplicaLeavesNoGhosts) {
  for (int i = 0; i < 6; ++i) a.Send(1);
  AToB(1);
  EXPECT_THAT(b.InFlight(), testing::ElementsAre(2, 2, 2));
  EXPECT_EQ(b.merger.replicas(), 2);
  b.Age(3.9);
  EXPECT_THAT(b.InFlight(), testing::ElementsAre(2, 2, 2));
  b.Age(4.1);
  EXPECT_THAT(b.InFlight(), testing::Each(0));
  EXPECT_EQ(b.merger.replicas(), 1);
  // It was only slow.
  AToB(5);
  EXPECT_THAT(b.InFlight(), testing::ElementsAre(2, 2, 2));
  EXPECT_TRUE(b.merger.TakeNewcomer());
}

// Exactly as many as one turn drops: what waits is tried all the same.
TEST_F(Pair, ASilentReplicaLeavesRoomHoweverMuchItHad) {
  constexpr int kAll = Merger::kMostPerTurn;
  scheduler::Decisions decisions;
  for (Replica* replica : {&a, &b}) {
    replica->scheduler.UpdateFleet(std::vector<fleet::DeploymentSpec>{{"a10", kAll, {"h:1"}}}, 0,
                                   decisions);
  }
  for (int i = 0; i < kAll; ++i) a.Send(1);
  AToB(1);
  scheduler::Arrival arrival;
  arrival.prompt_tokens = 100;
  b.scheduler.Arrive(arrival, 2, decisions);
  EXPECT_EQ(b.scheduler.waiting(), 1u);
  b.Age(4.1);
  EXPECT_EQ(b.scheduler.waiting(), 0u);
}

TEST_F(Pair, OneThatStopsIsGoneAtOnce) {
  a.Send(1);
  AToB(1);
  b.Hear(Encode(a.outbox.Leave()), 1.1);
  b.Age(1.1);
  EXPECT_THAT(b.InFlight(), testing::Each(0));
  EXPECT_EQ(b.merger.replicas(), 1);
}

TEST_F(Pair, ARestartedReplicaHasNothingRunning) {
  a.Send(1);
  AToB(1);
  Replica again("least-request", {"a", 2});
  b.Hear(again.Tell(1.5).value(), 1.5);
  b.Age(1.5);
  EXPECT_THAT(b.InFlight(), testing::Each(0));
  EXPECT_EQ(b.merger.replicas(), 2);
}

// A host's name that is not its own must not make two replicas take turns.
TEST_F(Pair, TwoUnderOneNameBothStay) {
  Replica twin("least-request", {"a", 2});
  for (const Seconds now : {1.0, 2.1, 3.2, 4.3}) {
    AToB(now);
    b.Hear(twin.Tell(now).value(), now);
    b.Age(now);
  }
  EXPECT_EQ(b.merger.replicas(), 3);
}

TEST_F(Pair, ANewcomerLearnsWhatRuns) {
  for (int i = 0; i < 3; ++i) a.Send(1);
  a.Tell(1);
  const std::string missed = Encode(*Decode(a.Tell(2.5).value()));
  Replica late("least-request", {"late", 1});
  late.Hear(missed, 2.5);
  EXPECT_THAT(late.InFlight(), testing::Each(1));
  EXPECT_TRUE(late.merger.TakeNewcomer()) << "and is told of itself in turn";
  EXPECT_FALSE(late.merger.TakeNewcomer());
}

// Replicas hear of a new endpoint at different times.
TEST_F(Pair, WhatRunsWhereNothingIsKnownCountsOnceItIs) {
  a.SetFleet({"h:1", "h:2", "h:3", "h:4"});
  for (int i = 0; i < 4; ++i) a.Send(1);
  AToB(1);
  EXPECT_THAT(b.InFlight(), testing::Each(1));
  b.SetFleet({"h:1", "h:2", "h:3", "h:4"});
  AToB(2.5);
  EXPECT_THAT(b.InFlight(), testing::ElementsAre(1, 1, 1, 1));
}

// An id is given out again only once nobody's request runs under it.
TEST_F(Pair, AnEndpointThatLeftKeepsItsIdUntilItIsEmpty) {
  for (int i = 0; i < 3; ++i) a.Send(1);
  AToB(1);
  b.SetFleet({"h:2", "h:3"});
  b.SetFleet({"h:2", "h:3", "h:5"});
  EXPECT_EQ(b.scheduler.fleet().endpoint(*b.scheduler.fleet().FindEndpoint("a10", "h:5")).key,
            fleet::KeyOf("a10", "h:5"));
  EXPECT_THAT(b.InFlight(), testing::ElementsAre(1, 1, 1, 0));
  b.Age(10);
  EXPECT_THAT(b.InFlight(), testing::Each(0));
}

// Nobody hears: what was to be told would only be old.
TEST_F(Pair, AfterSilenceOnlyTheStateIsTold) {
  const scheduler::RequestId first = a.Send(1);
  a.Tell(1);
  a.Send(1.1);
  a.End(first, 10, 0.1, 1.1);
  a.outbox.Add(a.scheduler.TakeJournal(), {});
  a.outbox.Hush();
  const Batch batch = *Decode(a.Tell(1.2).value());
  EXPECT_TRUE(batch.whole);
  EXPECT_TRUE(batch.events.empty());
  EXPECT_EQ(batch.state.size(), 1u);
}

// Whatever their clocks say, one may look for gaps when the other does not.
TEST_F(Pair, TakeTurnsWithoutACommonClock) {
  constexpr Seconds kAhead = 1234.567;  // b's clock.
  a.merger.SetTurnLength(0.025);
  b.merger.SetTurnLength(0.025);
  for (Replica* replica : {&a, &b}) {
    const Seconds offset = replica == &b ? kAhead : 0;
    // All endpoints are full, and one waits.
    scheduler::Decisions decisions;
    scheduler::SchedulerOptions options = replica->scheduler.options();
    options.policy = routing::FindPolicy("slo-headroom");
    options.down_timeout = 60;
    replica->scheduler.SetOptions(options, offset, decisions);
    replica->SetFleet({});
    replica->scheduler.Arrive({}, 0.5 + offset, decisions);
    EXPECT_TRUE(decisions.empty());
  }
  for (const Seconds at : {1.0, 2.0}) {
    const std::string of_a = a.Tell(at).value();
    const std::string of_b = b.Tell(at + kAhead).value();
    // Both hear both at the same moments.
    for (Replica* replica : {&a, &b}) {
      const Seconds offset = replica == &b ? kAhead : 0;
      replica->Hear(of_a, at + 0.003 + offset);
      replica->Hear(of_b, at + 0.004 + offset);
    }
  }
  scheduler::Decisions none;
  a.scheduler.Tick(2.1, none);
  b.scheduler.Tick(2.1 + kAhead, none);
  const Seconds turn_of_a = a.scheduler.NextWakeup();
  const Seconds turn_of_b = b.scheduler.NextWakeup() - kAhead;
  EXPECT_NEAR(std::abs(turn_of_a - turn_of_b), 0.025, 1e-6);
}

TEST_F(Pair, QueuesKeepOneOrder) {
  b.SetFleet({});
  scheduler::SchedulerOptions options = b.scheduler.options();
  options.down_timeout = 60;
  scheduler::Decisions decisions;
  b.scheduler.SetOptions(options, 1, decisions);
  b.scheduler.Arrive({}, 1, decisions);
  ASSERT_TRUE(decisions.empty());
  const auto batch = Decode(b.Tell(3).value());
  ASSERT_TRUE(batch);
  EXPECT_EQ(batch->queue.waiting, 1u);
  EXPECT_EQ(batch->queue.endpoints, 0u);
  ASSERT_EQ(batch->queue.heads.size(), 1u);
  EXPECT_NEAR(batch->queue.heads[0].age, 2, 1e-5);
  // b reaches nothing, so a, which does, waits for none of it.
  a.Hear(Encode(*batch), 3);
  a.Send(3);
}

TEST_F(Pair, OwnBatchesAreNoNews) {
  a.Send(1);
  a.Hear(a.Tell(1).value(), 1);
  EXPECT_EQ(a.merger.replicas(), 1);
  EXPECT_THAT(a.InFlight(), testing::ElementsAre(1, 0, 0));
}

}  // namespace
}  // namespace headrace::replica
