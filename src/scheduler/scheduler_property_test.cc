// What holds for the scheduler in every history of events: random ones.
#include <gmock/gmock.h>

#include <map>
#include <set>
#include <tuple>

#include "scheduler/test_fleet.h"

namespace headrace::scheduler {
namespace {

// One random history: arrivals of all sizes and SLOs, ends of every kind, endpoints and profiles
// that come and go, time that passes.
class History {
 public:
  History(std::string_view policy, std::uint64_t seed, bool mixed_policies, bool changing_fleet)
      : rng_(seed),
        mixed_policies_(mixed_policies),
        changing_fleet_(changing_fleet),
        policy_(routing::FindPolicy(policy)) {
    SchedulerOptions options;
    options.policy = policy_;
    options.max_queue_length = 60;
    options.queue_timeout = 20;
    scheduler_ = std::make_unique<Scheduler>(options, std::make_unique<fleet::LittlesLaw>(), seed);
    Decisions none;
    scheduler_->UpdateFleet(specs_, now_, none);
    for (const fleet::DeploymentSpec& spec : specs_) SetProfile(spec.name, none);
  }

  void Run(int steps) {
    for (int i = 0; i < steps && !testing::Test::HasFatalFailure(); ++i) Step();
  }

  // Ends everything and checks that nothing is left.
  void Drain() {
    for (int round = 0; !(waiting_.empty() && running_.empty()); ++round) {
      ASSERT_LT(round, 100'000);
      Decisions decisions;
      if (!running_.empty()) {
        Complete(decisions);
      } else {
        const Seconds wakeup = scheduler_->NextWakeup();
        ASSERT_NE(wakeup, kNever) << "something waits and nothing will ever wake it";
        now_ = std::max(now_, wakeup);
        scheduler_->Tick(now_, decisions);
      }
      Apply(decisions);
    }
    EXPECT_EQ(scheduler_->waiting(), 0);
    EXPECT_EQ(scheduler_->running(), 0);
    EXPECT_EQ(scheduler_->queue_bytes(), 0);
    for (const fleet::Endpoint& endpoint : scheduler_->fleet().endpoints()) {
      EXPECT_EQ(endpoint.load->Order(), 0);
      EXPECT_EQ(endpoint.in_flight, 0);
      EXPECT_EQ(endpoint.prefilling, 0);
    }
    EXPECT_EQ(arrived_, ended_);
  }

  const std::string& log() const { return log_; }
  int ejections() const { return ejections_; }

 private:
  void SetProfile(const std::string& deployment, Decisions& decisions) {
    profile::GpuProfile profile = FlatProfile(deployment, 0, 0, E2eSlo(12));
    profile.outputs = profile::BucketAxis({16, 128, 1024});
    profile.inputs = profile::BucketAxis({64, 1024});
    profile.tput = profile::BucketMatrix(3, 2, 0);
    profile.e2e = profile::BucketMatrix(3, 2, 0);
    profile.ttft = profile::BucketMatrix(3, 2, 0.5);
    for (std::size_t o = 0; o < 3; ++o) {
      for (std::size_t i = 0; i < 2; ++i) {
        profile.tput.at(o, i) = rng_.Below(6) == 0 ? 0 : 0.2 + 3 * rng_.Uniform();
        profile.e2e->at(o, i) = rng_.Below(12) == 0 ? std::nan("") : 0.5 + 5 * rng_.Uniform();
      }
    }
    scheduler_->SetProfile(deployment, std::make_shared<profile::GpuProfile>(profile), now_,
                           decisions);
  }

  void Step() {
    Decisions decisions;
    now_ += rng_.Exponential(0.05);
    if (scheduler_->NextWakeup() <= now_) {
      scheduler_->Tick(now_, decisions);
      Apply(decisions);
      decisions.clear();
    }
    const auto event = rng_.Below(100);
    if (event < 50) {
      Arrive(decisions);
    } else if (event < 85) {
      if (!running_.empty()) Complete(decisions);
    } else if (event < 92) {
      Cancel(decisions);
    } else if (event < 93) {
      if (!running_.empty()) Return(decisions);
    } else if (event < 94) {
      // The transport does not ask whether there is room.
      if (!running_.empty() && (mixed_policies_ || changing_fleet_)) Move(decisions);
    } else if (event < 96) {
      // Of one request a first token may be reported again and again, or too late.
      if (!running_.empty()) scheduler_->FirstToken(AnyOf(running_), now_);
      if (!waiting_.empty()) scheduler_->FirstToken(waiting_.begin()->first, now_);
    } else if (changing_fleet_) {
      Change(decisions);
    }
    Apply(decisions);
    CheckCapacity();
    CheckEjected();
  }

  // A bad engine is better than none: at most half of those that are up are out.
  void CheckEjected() {
    const fleet::Fleet& fleet = scheduler_->fleet();
    int out = 0;
    for (const fleet::Endpoint& endpoint : fleet.endpoints()) {
      out += endpoint.up && endpoint.breaker.IsOut() ? 1 : 0;
    }
    ASSERT_EQ(fleet.out(), out);
    ASSERT_LE(out, std::max(fleet.up() / 2, fleet.up() > 1 ? 1 : 0));
    for (const fleet::BreakerChange& change : scheduler_->TakeBreakerChanges()) {
      ejections_ += change.to == fleet::CircuitBreaker::State::kEjected ? 1 : 0;
    }
  }

  void Arrive(Decisions& decisions) {
    Arrival arrival;
    arrival.tag = ++arrived_;
    arrival.prompt_tokens = static_cast<Tokens>(1 + rng_.Below(3000));
    if (rng_.Below(2) == 0) arrival.max_tokens = static_cast<Tokens>(1 + rng_.Below(2000));
    arrival.context = arrival.prompt_tokens + arrival.max_tokens.value_or(1);
    if (rng_.Below(3) == 0) {
      slo::Slo slo;
      switch (rng_.Below(3)) {
        case 0:
          slo.ttft = 8 * rng_.Uniform();
          break;
        case 1:
          slo.tpat = 0.02 * rng_.Uniform();
          break;
        default:
          slo.e2e = 15 * rng_.Uniform();
          break;
      }
      arrival.slo = slo;
    }
    arrival.bytes = rng_.Below(10'000);
    if (rng_.Below(4) == 0) arrival.among = Limit();
    arrival.fallbacks = rng_.Below(4);
    if (mixed_policies_)
      arrival.policy = &routing::Policies()[rng_.Below(routing::Policies().size())];
    const RequestId id = scheduler_->Arrive(arrival, now_, decisions);
    ASSERT_TRUE(names_.insert(id).second) << "an id was given out twice";
    waiting_[id] = arrival.tag;
    contexts_[id] = arrival.context;
    if (arrival.among != nullptr) limits_[id] = *arrival.among;
  }

  // Some endpoints, or none; some that have left the fleet.
  std::shared_ptr<const std::vector<fleet::EndpointHandle>> Limit() {
    auto limit = std::make_shared<std::vector<fleet::EndpointHandle>>();
    for (fleet::EndpointId id = 0; id < scheduler_->fleet().endpoints().size(); ++id) {
      if (rng_.Below(3) == 0) limit->push_back(scheduler_->fleet().HandleOf(id));
    }
    if (!limit->empty() && rng_.Below(8) == 0) limit->front().generation -= 1;
    return limit;
  }

  RequestId AnyOf(const std::map<RequestId, fleet::EndpointId>& requests) {
    return std::next(requests.begin(), static_cast<long>(rng_.Below(requests.size())))->first;
  }

  void Complete(Decisions& decisions) {
    const RequestId id = AnyOf(running_);
    const auto tokens = static_cast<Tokens>(rng_.Below(1500));  // 0: it failed.
    ASSERT_TRUE(scheduler_->Complete(id, {100, tokens, 1, FaultOf(id)}, now_, decisions));
    running_.erase(id);
    ++ended_;
    ASSERT_FALSE(scheduler_->Complete(id, {100, tokens, 1}, now_, decisions));
    ASSERT_FALSE(scheduler_->Cancel(id, now_, decisions));
    ASSERT_FALSE(scheduler_->Return(id, fleet::EngineFault::kClosed, now_, decisions));
  }

  // Two of the endpoints fail often, the others now and then.
  std::optional<fleet::EngineFault> FaultOf(RequestId id) {
    const bool bad = running_.at(id) % 4 == 1;
    if (rng_.Uniform() > (bad ? 0.8 : 0.05)) return std::nullopt;
    return static_cast<fleet::EngineFault>(rng_.Below(fleet::kEngineFaults));
  }

  void Cancel(Decisions& decisions) {
    RequestId id = 0;
    if (!waiting_.empty() && (running_.empty() || rng_.Below(2) == 0)) {
      id = std::next(waiting_.begin(), static_cast<long>(rng_.Below(waiting_.size())))->first;
      waiting_.erase(id);
    } else if (!running_.empty()) {
      id = AnyOf(running_);
      running_.erase(id);
    } else {
      return;
    }
    ASSERT_TRUE(scheduler_->Cancel(id, now_, decisions));
    ASSERT_FALSE(scheduler_->Cancel(id, now_, decisions));
    ++ended_;
  }

  void Return(Decisions& decisions) {
    const RequestId id = AnyOf(running_);
    const auto fault = FaultOf(id);
    running_.erase(id);
    waiting_[id] = 0;
    returned_.insert(id);
    ASSERT_TRUE(scheduler_->Return(id, fault, now_, decisions));
  }

  void Move(Decisions& decisions) {
    const RequestId id = AnyOf(running_);
    const fleet::Fleet& fleet = scheduler_->fleet();
    std::optional<fleet::EndpointId> to = static_cast<fleet::EndpointId>(rng_.Below(10));
    if (*to == 9) to.reset();
    const bool known = to && *to < fleet.endpoints().size() && !fleet.endpoint(*to).retired;
    const bool stays = to == running_.at(id);
    ASSERT_TRUE(scheduler_->Move(id, to, fleet::EngineFault::kClosed, now_, decisions));
    if (known || stays) {
      running_[id] = *to;
      return;
    }
    running_.erase(id);
    ++ended_;
    ASSERT_FALSE(scheduler_->Move(id, to, fleet::EngineFault::kClosed, now_, decisions));
    ASSERT_FALSE(scheduler_->Complete(id, {100, 10, 1}, now_, decisions));
  }

  void Change(Decisions& decisions) {
    const auto& spec = specs_[rng_.Below(specs_.size())];
    switch (rng_.Below(5)) {
      case 4:
        scheduler_->SetMaxModelLen(static_cast<fleet::EndpointId>(rng_.Below(8)),
                                   static_cast<Tokens>(rng_.Below(6000)), now_, decisions);
        break;
      case 0:
        scheduler_->SetProfile(spec.name, nullptr, now_, decisions);
        break;
      case 1:
        SetProfile(spec.name, decisions);
        break;
      case 2: {
        auto smaller = specs_;
        auto& endpoints = smaller[rng_.Below(smaller.size())].endpoints;
        endpoints.erase(
            endpoints.begin() + static_cast<std::ptrdiff_t>(rng_.Below(endpoints.size() + 1)),
            endpoints.end());
        scheduler_->UpdateFleet(rng_.Below(2) == 0 ? specs_ : smaller, now_, decisions);
        break;
      }
      default:
        scheduler_->SetUp(static_cast<fleet::EndpointId>(rng_.Below(8)), rng_.Below(3) != 0, now_,
                          decisions);
        break;
    }
  }

  void Apply(const Decisions& decisions) {
    for (const Decision& decision : decisions) {
      log_ += std::to_string(decision.id) + (decision.refused ? "x" : ">") +
              std::to_string(decision.refused ? static_cast<int>(*decision.refused)
                                              : static_cast<int>(decision.endpoint)) +
              std::string(decision.policy) + ";";
      ASSERT_EQ(waiting_.erase(decision.id), 1) << "a decision about what does not wait";
      if (decision.refused) {
        ++ended_;
        continue;
      }
      running_[decision.id] = decision.endpoint;
      CheckFits(decision, decision.endpoint);
      std::set<fleet::EndpointId> places{decision.endpoint};
      for (const fleet::EndpointId fallback : decision.fallbacks) {
        ASSERT_TRUE(places.insert(fallback).second) << "named twice";
        CheckFits(decision, fallback);
      }
      const fleet::Endpoint& endpoint = scheduler_->fleet().endpoint(decision.endpoint);
      ASSERT_NE(endpoint.breaker.state(), fleet::CircuitBreaker::State::kEjected);
      ASSERT_NE(endpoint.breaker.state(), fleet::CircuitBreaker::State::kResting);
      ASSERT_LE(endpoint.in_flight,
                scheduler_->fleet().deployment_of(decision.endpoint).max_in_flight);
      if (decision.fallback == FallbackCause::kNone &&
          routing::FindPolicy(decision.policy)->needs == routing::PolicyNeeds::kSlo) {
        ASSERT_LE(decision.rank, 0) << "sent where a violation was predicted";
      }
    }
    ASSERT_EQ(scheduler_->waiting(), waiting_.size());
    ASSERT_EQ(scheduler_->running(), running_.size());
  }

  // Nowhere where the request does not fit; one that fits nowhere, where the context is longest.
  // One that is limited to some endpoints, only there.
  void CheckFits(const Decision& decision, fleet::EndpointId endpoint) {
    const fleet::Fleet& fleet = scheduler_->fleet();
    const Tokens context = std::min(contexts_.at(decision.id), fleet.LongestContext());
    ASSERT_TRUE(fleet.deployment_of(endpoint).Fits(context)) << context;
    ASSERT_TRUE(fleet.endpoint(endpoint).up && !fleet.endpoint(endpoint).retired);
    if (limits_.contains(decision.id)) {
      ASSERT_THAT(limits_.at(decision.id), testing::Contains(fleet.HandleOf(endpoint)));
    }
  }

  void CheckCapacity() {
    if (mixed_policies_ || changing_fleet_ || policy_->name != "slo") return;
    for (const fleet::Endpoint& endpoint : scheduler_->fleet().endpoints()) {
      ASSERT_LE(endpoint.load->Order(), fleet::kCapacity);
    }
  }

  Rng rng_;
  bool mixed_policies_;
  bool changing_fleet_;
  const routing::PolicyInfo* policy_;
  Seconds now_ = 1;
  std::vector<fleet::DeploymentSpec> specs_{{"a10", 9, {"h:1", "h:2", "h:3"}},
                                            {"l20", 12, {"h:4", "h:5", "h:6", "h:7"}, 4096},
                                            {"l4", 9, {"h:8"}}};
  std::unique_ptr<Scheduler> scheduler_;
  std::set<RequestId> names_;
  std::set<RequestId> returned_;
  std::map<RequestId, std::uint64_t> waiting_;
  std::map<RequestId, Tokens> contexts_;
  std::map<RequestId, std::vector<fleet::EndpointHandle>> limits_;
  std::map<RequestId, fleet::EndpointId> running_;
  std::uint64_t arrived_ = 0;
  std::uint64_t ended_ = 0;
  int ejections_ = 0;
  std::string log_;
};

class RandomHistory : public testing::TestWithParam<std::tuple<int, bool, bool>> {};

TEST_P(RandomHistory, EveryRequestEndsOnceAndLoadReturnsToZero) {
  const auto [seed, mixed, changing] = GetParam();
  for (const routing::PolicyInfo& policy : routing::Policies()) {
    SCOPED_TRACE(policy.name);
    History history(policy.name, static_cast<std::uint64_t>(seed), mixed, changing);
    history.Run(3000);
    history.Drain();
    EXPECT_GT(history.ejections(), 0);
    if (HasFailure()) return;
  }
}

TEST_P(RandomHistory, SameSeedSameDecisions) {
  const auto [seed, mixed, changing] = GetParam();
  History first("slo", static_cast<std::uint64_t>(seed), mixed, changing);
  History second("slo", static_cast<std::uint64_t>(seed), mixed, changing);
  first.Run(2000);
  second.Run(2000);
  EXPECT_EQ(first.log(), second.log());
  EXPECT_GT(first.log().size(), 1000);
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomHistory,
                         testing::Combine(testing::Range(1, 6), testing::Bool(), testing::Bool()));

// With requests that are never sent back, dispatches from a sub-queue are in order of arrival.
TEST(SubQueue, NobodyIsOvertaken) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    Rng rng(seed);
    SchedulerHarness h("slo", {}, seed);
    h.Fleet({{"a10", 512, {"h:1", "h:2"}}, {"l20", 512, {"h:3"}}});
    h.Profile(FlatProfile("a10", 0.7, 3, E2eSlo(30)));
    h.Profile(FlatProfile("l20", 1, 4, E2eSlo(30)));
    std::map<RequestId, std::pair<WaitQueue::Key, int>> arrivals;
    std::map<WaitQueue::Key, int> last_served;
    std::vector<RequestId> running;
    int number = 0;
    const auto apply = [&](const Decisions& decisions) {
      for (const Decision& decision : decisions) {
        if (decision.refused) continue;
        running.push_back(decision.id);
        const auto& [key, order] = arrivals.at(decision.id);
        EXPECT_GT(order, last_served[key]);
        last_served[key] = order;
      }
    };
    for (int step = 0; step < 3000; ++step) {
      h.now += rng.Exponential(0.3);
      if (rng.Below(2) == 0 || running.empty()) {
        const auto prompt = static_cast<Tokens>(1 + rng.Below(2000));
        const auto output = static_cast<Tokens>(1 + rng.Below(500));
        h.decisions.clear();
        Arrival arrival;
        arrival.prompt_tokens = prompt;
        arrival.output_tokens = output;
        arrival.slo = E2eSlo(5 + 20 * rng.Uniform());
        const auto key = WaitQueue::KeyOf(prompt, output);
        const RequestId id = h.scheduler.Arrive(arrival, h.now, h.decisions);
        arrivals[id] = {key, ++number};
        apply(h.decisions);
      } else {
        const std::size_t at = rng.Below(running.size());
        const RequestId id = running[at];
        running.erase(running.begin() + static_cast<long>(at));
        apply(h.Complete(id));
      }
    }
  }
}

}  // namespace
}  // namespace headrace::scheduler
