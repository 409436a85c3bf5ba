// What reaches the load model, and what changes while requests run and wait.
#include <gmock/gmock.h>

#include <map>
#include <set>

#include "scheduler/test_fleet.h"

namespace headrace::scheduler {
namespace {

using testing::ElementsAre;

// Little's law, and a diary of what it hears.
class Diary final : public fleet::LoadModel {
 public:
  explicit Diary(std::vector<std::string>& lines) : lines_(lines) {}

  std::unique_ptr<fleet::EndpointLoad> Join(const fleet::Deployment& deployment,
                                            const fleet::Endpoint& endpoint) const override {
    return std::make_unique<State>(little_.Join(deployment, endpoint), lines_);
  }
  std::optional<fleet::Load> Share(const profile::GpuProfile& profile,
                                   profile::ProfileCell cell) const override {
    return little_.Share(profile, cell);
  }
  fleet::Load HighestOrderWithRoom(fleet::Load share) const override {
    return little_.HighestOrderWithRoom(share);
  }

 private:
  class State final : public fleet::EndpointLoad {
   public:
    State(std::unique_ptr<fleet::EndpointLoad> little, std::vector<std::string>& lines)
        : little_(std::move(little)), lines_(lines) {}

    fleet::Fit Assess(const fleet::Demand& demand, Seconds now) const override {
      return little_->Assess(demand, now);
    }
    fleet::Resident Start(const fleet::Demand& demand, Seconds now) override {
      const auto name = ++named_;
      residents_[name] = little_->Start(demand, now);
      Write("start", name, demand.prompt_tokens);
      return fleet::Resident{name};
    }
    void FirstToken(fleet::Resident resident, Seconds) override {
      Write("first", static_cast<std::uint64_t>(resident), 1);
    }
    void Progress(fleet::Resident resident, Tokens generated, Seconds) override {
      Write("progress", static_cast<std::uint64_t>(resident), generated);
    }
    void End(fleet::Resident resident, const fleet::Completion& completion, Seconds now) override {
      const auto name = static_cast<std::uint64_t>(resident);
      ASSERT_TRUE(residents_.contains(name)) << "ended twice, or never started";
      little_->End(residents_[name], completion, now);
      residents_.erase(name);
      Write("end", name, completion.output_tokens);
    }
    fleet::Load Order() const override { return little_->Order(); }

   private:
    void Write(const std::string& what, std::uint64_t name, Tokens tokens) {
      lines_.push_back(what + " " + std::to_string(name) + " " + std::to_string(tokens));
    }

    std::unique_ptr<fleet::EndpointLoad> little_;
    std::vector<std::string>& lines_;
    std::map<std::uint64_t, fleet::Resident> residents_;
    std::uint64_t named_ = 0;
  };

  fleet::LittlesLaw little_;
  std::vector<std::string>& lines_;
};

struct Events : testing::Test {
  static SchedulerOptions Options(std::string_view policy) {
    SchedulerOptions options;
    options.policy = routing::FindPolicy(policy);
    return options;
  }
  RequestId Arrive(Tokens prompt = 128) {
    Arrival arrival;
    arrival.prompt_tokens = prompt;
    arrival.output_tokens = 128;
    return scheduler.Arrive(arrival, now, decisions);
  }
  void Fleet(std::vector<fleet::DeploymentSpec> specs) {
    scheduler.UpdateFleet(specs, now, decisions);
  }
  void Profile(const profile::GpuProfile& profile) {
    scheduler.SetProfile(profile.deployment, std::make_shared<profile::GpuProfile>(profile), now,
                         decisions);
  }

  Seconds now = 100;
  Decisions decisions;
  std::vector<std::string> lines;
  Scheduler scheduler{Options("slo"), std::make_unique<Diary>(lines), 1};
};

TEST_F(Events, LoadModelHearsOfEveryStepOfARequest) {
  Fleet({{"a10", 512, {"h:1"}}});
  Profile(FlatProfile("a10", 1, 4, E2eSlo(10)));
  const RequestId id = Arrive(300);
  scheduler.FirstToken(id, now);
  scheduler.Progress(id, 20, now);
  scheduler.Progress(id, 40, now);
  scheduler.Complete(id, {300, 55, 1}, now, decisions);
  EXPECT_THAT(
      lines, ElementsAre("start 1 300", "first 1 1", "progress 1 20", "progress 1 40", "end 1 55"));
}

TEST_F(Events, EveryWayToLeaveAnEndpointIsOneEnd) {
  Fleet({{"a10", 512, {"h:1"}}});
  Profile(FlatProfile("a10", 1, 4, E2eSlo(10)));
  const RequestId returned = Arrive();
  scheduler.Return(returned, fleet::EngineFault::kClosed, now,
                   decisions);  // And is sent again at once.
  scheduler.Cancel(returned, now, decisions);
  EXPECT_FALSE(scheduler.Complete(returned, {1, 1, 1}, now, decisions));
  EXPECT_THAT(lines, ElementsAre("start 1 128", "end 1 0", "start 2 128", "end 2 0"));
}

TEST_F(Events, TokensOfARequestThatDoesNotRunAreIgnored) {
  Fleet({{"a10", 512, {"h:1"}}});
  Profile(FlatProfile("a10", 0.25, 4, E2eSlo(10)));
  const RequestId running = Arrive();
  const RequestId waiting = Arrive();
  scheduler.FirstToken(waiting, now);
  scheduler.Progress(waiting, 5, now);
  scheduler.Cancel(running, now, decisions);
  scheduler.Cancel(waiting, now, decisions);
  scheduler.FirstToken(waiting, now);
  EXPECT_THAT(lines, ElementsAre("start 1 128", "end 1 0", "start 2 128", "end 2 0"));
}

TEST(ForeignRequest, TakesRoomLikeAnyOther) {
  SchedulerHarness h;
  h.Fleet({{"a10", 512, {"h:1"}}});
  h.Profile(FlatProfile("a10", 0.5, 4, E2eSlo(10)));  // Two at a time.
  const auto foreign =
      h.scheduler.StartForeign(0, {.share = fleet::kCapacity / 2}, /*exact=*/true, h.now);
  EXPECT_TRUE(h.Arrive());
  EXPECT_FALSE(h.Arrive()) << "the other half is in use elsewhere";
  const RequestId waiting = h.last;
  h.scheduler.EndForeign(foreign, {128, 128, 1}, h.now);
  const Decisions freed = h.Tick();
  ASSERT_EQ(freed.size(), 1) << "what waits takes the room at once";
  EXPECT_EQ(freed[0].id, waiting);
  EXPECT_EQ(h.scheduler.length_predictor().samples(), 1) << "its length is one more sample";
}

// While what the others send is not known, each of three sends a third of what fits.
TEST(Replicas, ThatCannotHearEachOtherShareTheCapacity) {
  SchedulerHarness h;
  h.Fleet({{"a10", 512, {"h:1"}}});
  h.Profile(FlatProfile("a10", 3, 3, E2eSlo(100)));  // Nine at a time.
  h.scheduler.SetReplicas(3, h.now, h.decisions);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(h.Arrive());
  EXPECT_FALSE(h.Arrive());
  h.decisions.clear();
  h.scheduler.SetReplicas(1, h.now, h.decisions);
  EXPECT_EQ(h.decisions.size(), 1);
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(h.Arrive());
  EXPECT_FALSE(h.Arrive());
}

// What others free is looked at by one replica after the other, what it frees itself at once.
TEST(Replicas, TakeTurns) {
  SchedulerHarness h;
  h.Fleet({{"a10", 512, {"h:1"}}});
  h.Profile(FlatProfile("a10", 0.5, 4, E2eSlo(100)));  // Two at a time.
  h.scheduler.SetTurns({.index = 1, .count = 4, .length = 0.025});
  const auto foreign =
      h.scheduler.StartForeign(0, {.share = fleet::kCapacity / 2}, /*exact=*/true, h.now);
  EXPECT_TRUE(h.Arrive());
  const RequestId running = h.last;
  EXPECT_FALSE(h.Arrive());
  EXPECT_FALSE(h.Arrive());
  h.now = 100.06;
  h.decisions.clear();
  h.scheduler.EndForeign(foreign, {}, h.now);
  h.scheduler.HeardOfOthers(h.now, h.decisions);
  EXPECT_TRUE(h.decisions.empty());
  EXPECT_NEAR(h.scheduler.NextWakeup(), 100.125, 1e-9) << "rounds of 100 ms, the second turn";
  h.now = h.scheduler.NextWakeup();
  EXPECT_EQ(h.Tick().size(), 1);
  EXPECT_EQ(h.Complete(running).size(), 1);
}

// What opens is for the oldest of its kind, wherever it waits.
TEST(Replicas, KeepTheOrderOfOneQueue) {
  SchedulerHarness h;
  h.Fleet({{"a10", 512, {"h:1"}}});
  h.Profile(FlatProfile("a10", 0.25, 4, E2eSlo(100)));  // One at a time.
  h.now = 1;
  EXPECT_TRUE(h.Arrive());
  const RequestId running = h.last;
  h.now = 3;
  EXPECT_FALSE(h.Arrive());
  const QueueState state = h.scheduler.queue_state();
  EXPECT_EQ(state.in_time, 1);
  EXPECT_EQ(state.endpoints, 1);
  ASSERT_EQ(state.heads.size(), 1);
  EXPECT_EQ(state.heads[0].arrived, 3);
  // Another replica has one that came a second before.
  WaitingHead older = state.heads[0];
  older.arrived = 2;
  h.scheduler.SetForeignQueues(1, std::span(&older, 1));
  EXPECT_TRUE(h.Complete(running).empty());
  h.now = 3.5;
  h.decisions.clear();
  h.Arrive();
  EXPECT_TRUE(h.decisions.empty()) << "nor does a newcomer pass";
  h.scheduler.SetForeignQueues(0, {});
  EXPECT_EQ(h.Tick().size(), 1) << "the other one has gone";
}

TEST(Turns, ComeOncePerRoundAndNeverNow) {
  Rng rng(7);
  for (int i = 0; i < 10'000; ++i) {
    const Turns turns{.index = static_cast<int>(rng.Below(8)),
                      .count = 8,
                      .length = 0.001 + 0.05 * rng.Uniform(),
                      .offset = 1e9 * rng.Uniform()};
    Seconds now = 1e6 * rng.Uniform();
    for (int turn = 0; turn < 3; ++turn) {
      const Seconds next = turns.Next(now);
      ASSERT_GT(next, now);
      ASSERT_LE(next, now + 8 * turns.length + 2e-6);
      now = next;
    }
  }
}

// However many they are, an endpoint that is empty takes one.
TEST(Replicas, HaveARequestAtAnyEndpoint) {
  SchedulerHarness h("least-request");
  h.Fleet({{"a10", 2, {"h:1"}}});
  h.scheduler.SetReplicas(8, h.now, h.decisions);
  EXPECT_TRUE(h.Arrive());
  EXPECT_FALSE(h.Arrive());
}

TEST(SetOptions, HoldsForWhatWaitsAndForWhatComes) {
  SchedulerHarness h;
  h.Fleet({{"a10", 512, {"h:1"}}});
  h.Profile(FlatProfile("a10", 0.25, 4, E2eSlo(100)));
  h.Arrive();
  const RequestId running = h.last;
  EXPECT_FALSE(h.Arrive());
  const RequestId waiting = h.last;
  SchedulerOptions options = h.scheduler.options();
  options.queue_timeout = 5;
  options.max_queue_length = 1;
  h.decisions.clear();
  h.scheduler.SetOptions(options, h.now, h.decisions);
  EXPECT_EQ(h.decisions.size(), 0);
  EXPECT_EQ(h.Arrive()->refused, RefusalReason::kQueueFull);
  EXPECT_NEAR(h.scheduler.NextWakeup(), h.now + 5, 1e-3) << "the deadline of what waits has moved";
  options.slo = E2eSlo(1);  // The profile expects 4 s: out of reach.
  h.decisions.clear();
  h.scheduler.SetOptions(options, h.now, h.decisions);
  ASSERT_EQ(h.decisions.size(), 1);
  EXPECT_EQ(h.decisions[0].id, waiting);
  EXPECT_EQ(h.decisions[0].refused, RefusalReason::kSloUnattainable);
  options.policy = routing::FindPolicy("least-request");
  h.scheduler.SetOptions(options, h.now, h.decisions);
  EXPECT_EQ(h.Arrive()->policy, "least-request");
  h.Complete(running);
  EXPECT_EQ(h.scheduler.running(), 1);
}

TEST(Decision, CarriesTheSloThatHolds) {
  SchedulerHarness h;
  h.Fleet({{"a10", 512, {"h:1"}}});
  h.Profile(FlatProfile("a10", 10, 4, E2eSlo(30)));
  EXPECT_EQ(h.Arrive()->slo, E2eSlo(30)) << "the profile's";
  EXPECT_EQ(h.Arrive(128, E2eSlo(20))->slo, E2eSlo(20)) << "the request's own";
  EXPECT_EQ(h.Arrive(128, E2eSlo(2))->slo, E2eSlo(2)) << "refused";
  SchedulerOptions options = h.scheduler.options();
  options.slo = E2eSlo(25);
  h.scheduler.SetOptions(options, h.now, h.decisions);
  EXPECT_EQ(h.Arrive()->slo, E2eSlo(25)) << "the pool's";
}

}  // namespace
}  // namespace headrace::scheduler
