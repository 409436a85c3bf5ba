#include "fleet/fleet.h"

#include <gmock/gmock.h>

#include <map>

#include "base/random.h"
#include "fleet/littles_law.h"

namespace headrace::fleet {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

DeploymentSpec Spec(std::string name, const std::vector<std::string>& endpoints,
                    int max_in_flight = 512) {
  return {std::move(name), max_in_flight, {endpoints.begin(), endpoints.end()}};
}

Demand Share(Load share) { return {.share = share}; }

// A fleet whose requests take what the test says.
struct TestFleet : Fleet {
  TestFleet() : Fleet(std::make_unique<LittlesLaw>()) {}
  void Add(EndpointId id, Load share) { residents.emplace(id, Start(id, Share(share), 0)); }
  // Ends any of the endpoint's requests.
  void Remove(EndpointId id, const Completion& completion = {}) {
    const auto found = residents.find(id);
    End(id, found->second, completion, 0);
    residents.erase(found);
  }
  std::multimap<EndpointId, Residence> residents;
};

TEST(LittlesLaw, ShareIsOneOverRequestsInFlight) {
  profile::GpuProfile profile;
  profile.outputs = profile::BucketAxis({100});
  profile.inputs = profile::BucketAxis({100, 1000, 10'000, 100'000});
  profile.tput = profile::BucketMatrix(1, 4, 0);
  profile.e2e = profile::BucketMatrix(1, 4, 5);
  profile.tput.at(0, 0) = 2;
  profile.tput.at(0, 1) = 0.1;
  profile.tput.at(0, 2) = 0;
  profile.tput.at(0, 3) = std::nan("");
  const LittlesLaw model;
  EXPECT_EQ(model.Share(profile, {0, 0}), kCapacity / 10);
  // Half a request in flight on average: it still takes one endpoint, not two.
  EXPECT_EQ(model.Share(profile, {0, 1}), kCapacity);
  EXPECT_EQ(model.Share(profile, {0, 2}), 0);
  EXPECT_EQ(model.Share(profile, {0, 3}), std::nullopt);
  profile.e2e.reset();
  EXPECT_EQ(model.Share(profile, {0, 0}), std::nullopt);
}

TEST(LittlesLaw, EndpointIsFullAtTheSumOfItsShares) {
  const auto load = LittlesLaw().Join({}, {});
  const auto fits = [&](Load share) { return load->Assess(Share(share), 0).now; };
  EXPECT_EQ(load->Order(), 0);
  const Resident first = load->Start(Share(kCapacity - 5), 0);
  EXPECT_TRUE(fits(5));
  EXPECT_FALSE(fits(6));
  load->End(first, {}, 0);
  EXPECT_EQ(load->Order(), 0);
}

TEST(Fleet, UpdateKeepsWhatStays) {
  TestFleet fleet;
  fleet.Update(std::vector{Spec("a", {"h:1", "h:2"}), Spec("b", {"h:1"})});
  const auto kept = *fleet.FindEndpoint("a", "h:2");
  fleet.Add(kept, 500);
  fleet.Update(std::vector{Spec("a", {"h:2", "h:3"})});
  EXPECT_EQ(fleet.FindEndpoint("a", "h:1"), std::nullopt);
  EXPECT_EQ(fleet.FindEndpoint("b", "h:1"), std::nullopt);
  EXPECT_EQ(fleet.FindEndpoint("a", "h:2"), kept);
  EXPECT_EQ(fleet.endpoint(kept).load->Order(), 500);
  EXPECT_EQ(fleet.up(), 2);
  EXPECT_EQ(fleet.available(), 2);
  EXPECT_TRUE(fleet.deployments()[1].retired);
  EXPECT_EQ(fleet.deployments()[1].up, 0);
}

// As Jobs and generated names make them.
TEST(Fleet, DeploymentsThatCameAndWentAreForgottenInTheEnd) {
  TestFleet fleet;
  fleet.Update(std::vector{Spec("stays", {"s"}), Spec("busy", {"b"})});
  const auto busy = *fleet.FindEndpoint("busy", "b");
  fleet.Add(busy, 1);
  const auto learned = fleet.deployments()[0].engine;
  for (int i = 0; i < 1000; ++i) {
    fleet.Update(std::vector{Spec("stays", {"s"}), Spec("job-" + std::to_string(i), {"j"})});
    const auto job = fleet.FindEndpoint("job-" + std::to_string(i), "j");
    ASSERT_TRUE(job);
    fleet.Add(*job, 1);
    fleet.Remove(*job);
  }
  EXPECT_LE(fleet.deployments().size(), Fleet::kMostRemembered + 4);
  EXPECT_EQ(fleet.up(), 2);
  EXPECT_EQ(fleet.in_flight(), 1);
  EXPECT_EQ(fleet.deployments()[0].engine, learned);
  EXPECT_EQ(fleet.deployments()[1].name, "busy") << "it has a request to finish";
  fleet.Remove(busy);
  EXPECT_EQ(fleet.in_flight(), 0);
}

TEST(Fleet, ADeploymentThatComesBackIsKnown) {
  TestFleet fleet;
  fleet.Update(std::vector{Spec("a", {"a"})});
  const auto learned = fleet.deployments()[0].engine;
  std::vector<DeploymentSpec> others;
  for (std::size_t i = 0; i < Fleet::kMostRemembered; ++i) {
    others = {Spec("other-" + std::to_string(i), {"o"})};
    fleet.Update(others);
  }
  others.push_back(Spec("new", {"n"}));
  others.push_back(Spec("a", {"a"}));
  fleet.Update(others);
  const auto a = fleet.FindEndpoint("a", "a");
  ASSERT_TRUE(a);
  EXPECT_EQ(fleet.deployment_of(*a).engine, learned);
  EXPECT_FALSE(fleet.deployment_of(*a).retired);
}

TEST(Fleet, RetiredEndpointFinishesWhatItHasBeforeItsIdIsUsedAgain) {
  TestFleet fleet;
  fleet.Update(std::vector{Spec("a", {"h:1"})});
  fleet.Add(0, 700);
  fleet.Update(std::vector{Spec("a", {"h:2"})});
  EXPECT_EQ(fleet.FindEndpoint("a", "h:2"), 1);
  EXPECT_EQ(fleet.in_flight(), 1);
  EXPECT_THAT(fleet.Available(0), ElementsAre(1));
  fleet.SetUp(0, true);
  EXPECT_THAT(fleet.Available(0), ElementsAre(1));
  fleet.Remove(0);
  EXPECT_EQ(fleet.endpoint(0).load->Order(), 0);
  EXPECT_EQ(fleet.in_flight(), 0);
  fleet.Update(std::vector{Spec("a", {"h:2", "h:4"})});
  EXPECT_EQ(fleet.FindEndpoint("a", "h:4"), 0);
}

TEST(Fleet, AvailableMeansUpAndBelowItsLimit) {
  TestFleet fleet;
  fleet.Update(std::vector{Spec("a", {"h:1", "h:2"}, 2)});
  EXPECT_THAT(fleet.Available(0), UnorderedElementsAre(0, 1));
  fleet.Add(0, 0);
  fleet.Add(0, 0);
  EXPECT_THAT(fleet.Available(0), ElementsAre(1));
  fleet.SetUp(1, false);
  EXPECT_THAT(fleet.Available(0), IsEmpty());
  EXPECT_TRUE(fleet.ByLoad(0).empty());
  EXPECT_TRUE(fleet.ByInFlight(0).empty());
  fleet.Remove(0);
  EXPECT_EQ(fleet.ByInFlight(0).First(), 0);
  fleet.SetUp(1, true);
  EXPECT_EQ(fleet.ByInFlight(0).First(), 1);
}

TEST(Fleet, EqualEndpointsTakeTurns) {
  TestFleet fleet;
  fleet.Update(std::vector{Spec("a", {"h:1", "h:2", "h:3"})});
  std::vector<EndpointId> order;
  for (int i = 0; i < 6; ++i) {
    const EndpointId id = fleet.ByInFlight(0).First();
    order.push_back(id);
    fleet.Add(id, 1);
    fleet.Remove(id);
  }
  EXPECT_THAT(order, ElementsAre(0, 1, 2, 0, 1, 2));
}

TEST(Fleet, CountsThePromptsThatAreNotPrefilledYet) {
  TestFleet fleet;
  fleet.Update(std::vector{Spec("a", {"h:1", "h:2"})});
  for (const Tokens prompt : {300, 4000}) fleet.Start(1, {.prompt_tokens = prompt}, 0);
  EXPECT_EQ(fleet.endpoint(1).prefilling, 4300);
  fleet.Prefilled(1, 300);
  EXPECT_EQ(fleet.endpoint(1).prefilling, 4000);
  fleet.Prefilled(1, 4000);
  EXPECT_EQ(fleet.endpoint(0).prefilling, 0);
  EXPECT_EQ(fleet.endpoint(1).prefilling, 0);
}

void Observe(TestFleet& fleet, EndpointId id, double seconds_per_token) {
  fleet.Add(id, 0);
  fleet.Remove(id, {.prompt_tokens = 1, .output_tokens = 100, .e2e = seconds_per_token * 100});
}

TEST(Fleet, LatencyOrderWeighsCompany) {
  TestFleet fleet;
  fleet.Update(std::vector{Spec("a", {"h:1", "h:2"})});
  Observe(fleet, 0, 0.010);
  Observe(fleet, 1, 0.025);
  EXPECT_EQ(fleet.ByLatency(0).First(), 0);
  fleet.Add(0, 0);
  EXPECT_EQ(fleet.ByLatency(0).First(), 0);
  fleet.Add(0, 0);
  EXPECT_EQ(fleet.ByLatency(0).First(), 1);
}

// Until a request has finished there, nothing is known about an endpoint's speed: a fresh endpoint
// counts as fast as the mean of the others.
TEST(Fleet, FreshEndpointIsNotFlooded) {
  TestFleet fleet;
  fleet.Update(std::vector{Spec("a", {"h:1", "h:2"})});
  for (const EndpointId id : {0u, 1u, 0u, 1u}) Observe(fleet, id, 0.030);
  fleet.Update(std::vector{Spec("a", {"h:1", "h:2", "h:3"})});
  std::map<EndpointId, int> sent;
  for (int i = 0; i < 200; ++i) {
    const EndpointId id = fleet.ByLatency(0).First();
    fleet.Add(id, 0);
    ++sent[id];
  }
  for (const EndpointId id : {0u, 1u, 2u}) {
    EXPECT_GE(sent[id], 60) << id;
    EXPECT_LE(sent[id], 72) << id;
  }
}

TEST(Fleet, WithoutAnyLatencyRequestsInFlightDecide) {
  TestFleet fleet;
  fleet.Update(std::vector{Spec("a", {"h:1", "h:2"})});
  EXPECT_EQ(fleet.ByLatency(0).First(), 0);
  fleet.Add(0, 0);
  fleet.Add(1, 0);
  fleet.Add(1, 0);
  EXPECT_EQ(fleet.ByLatency(0).First(), 0);
}

TEST(Fleet, WhatOtherReplicasSentCountsEverywhere) {
  TestFleet fleet;
  fleet.Update(std::vector{Spec("a", {"h:1", "h:2"}, 4)});
  Observe(fleet, 0, 0.01);
  Observe(fleet, 1, 0.01);
  fleet.Add(1, 10);
  const Residence some[] = {fleet.StartForeign(0, Share(200), 0),
                            fleet.StartForeign(0, Share(100), 0)};
  EXPECT_EQ(fleet.ByLoad(0).First(), 1);
  EXPECT_EQ(fleet.ByInFlight(0).First(), 1);
  EXPECT_EQ(fleet.ByLatency(0).First(), 1);
  EXPECT_EQ(fleet.in_flight(), 1) << "others' requests are not ours";
  const Residence more[] = {fleet.StartForeign(0, Share(0), 0), fleet.StartForeign(0, Share(0), 0)};
  EXPECT_THAT(fleet.Available(0), ElementsAre(1));
  for (const Residence& one : some) fleet.End(0, one, {.fault = EngineFault::kClosed}, 0);
  for (const Residence& one : more) fleet.End(0, one, {.fault = EngineFault::kClosed}, 0);
  EXPECT_EQ(fleet.endpoint(0).load->Order(), 0);
  EXPECT_EQ(fleet.endpoint(0).breaker.failures(), 0) << "who saw it fail judges it";
  EXPECT_EQ(fleet.ByLoad(0).First(), 0);
}

TEST(EndpointOrder, AgreesWithALinearSearch) {
  Rng rng(5);
  EndpointOrder order;
  std::map<EndpointId, std::pair<std::int64_t, std::uint64_t>> model;
  for (std::uint64_t i = 1; i < 5000; ++i) {
    const auto id = static_cast<EndpointId>(rng.Below(40));
    if (rng.Below(4) == 0) {
      order.Erase(id);
      model.erase(id);
    } else {
      const auto key = static_cast<std::int64_t>(rng.Below(20));
      order.Set(id, key, i);
      model[id] = {key, i};
    }
    ASSERT_EQ(order.empty(), model.empty());
    if (model.empty()) continue;
    const auto bound = static_cast<std::int64_t>(rng.Below(22)) - 1;
    std::optional<EndpointId> last;
    EndpointId first = model.begin()->first;
    for (const auto& [each, key] : model) {
      if (key < model[first]) first = each;
      if (key.first <= bound && (!last || key > model[*last])) last = each;
    }
    ASSERT_EQ(order.First(), first);
    ASSERT_EQ(order.FindDownFrom(bound, 1, [](EndpointId) { return true; }), last);
  }
}

TEST(Fleet, TheSmallestKvRoomOfItsEndpointsIsBelievedOfADeploymentWhichDeclaresNone) {
  TestFleet fleet;
  std::vector declared{Spec("a", {"h:1", "h:2"})};
  fleet.Update(declared);
  const EngineBelief& engine = *fleet.deployments()[0].engine;
  EXPECT_EQ(engine.kv_tokens, 0) << "nothing is known";
  EXPECT_TRUE(fleet.SetKvTokens(0, 40'000));
  EXPECT_TRUE(fleet.SetKvTokens(1, 30'000));
  EXPECT_FALSE(fleet.SetKvTokens(0, 50'000)) << "the other one still decides";
  EXPECT_EQ(engine.kv_tokens, 30'000);
  declared[0].kv_tokens = 35'000;
  fleet.Update(declared);
  EXPECT_EQ(engine.kv_tokens, 35'000) << "what is declared wins";
  declared[0].kv_tokens = 0;
  declared[0].endpoints = {"h:1"};
  fleet.Update(declared);
  EXPECT_EQ(engine.kv_tokens, 50'000) << "what goes is forgotten";
  EXPECT_TRUE(fleet.SetKvTokens(0, 0));
  EXPECT_EQ(engine.kv_tokens, 0);
}

TEST(Fleet, TheSmallestContextOfItsEndpointsIsThatOfADeploymentWhichDeclaresNone) {
  TestFleet fleet;
  fleet.Update(std::vector{Spec("a", {"h:1", "h:2"}), Spec("b", {"h:3"})});
  const Deployment& a = fleet.deployments()[0];
  EXPECT_TRUE(a.Fits(1'000'000)) << "nothing is known";
  EXPECT_TRUE(fleet.SetMaxModelLen(0, 8192));
  EXPECT_TRUE(fleet.SetMaxModelLen(1, 4096));
  EXPECT_FALSE(fleet.SetMaxModelLen(0, 16384)) << "the other one still decides";
  EXPECT_TRUE(a.Fits(4096));
  EXPECT_FALSE(a.Fits(4097));
  EXPECT_GT(fleet.LongestContext(), 1'000'000) << "that of b is not known";
  fleet.SetMaxModelLen(2, 2048);
  EXPECT_EQ(fleet.LongestContext(), 4096);

  // What is declared wins; what goes is forgotten.
  std::vector declared{Spec("a", {"h:1"}), Spec("b", {"h:3"})};
  declared[1].max_model_len = 3000;
  fleet.Update(declared);
  EXPECT_EQ(fleet.deployments()[0].max_model_len, 16384);
  EXPECT_EQ(fleet.deployments()[1].max_model_len, 3000);
  EXPECT_FALSE(fleet.SetMaxModelLen(2, 1000));
  declared[1].max_model_len = 0;
  fleet.Update(declared);
  EXPECT_EQ(fleet.deployments()[1].max_model_len, 1000);
  EXPECT_TRUE(fleet.SetMaxModelLen(2, 0));
  EXPECT_TRUE(fleet.deployments()[1].Fits(1'000'000));
}

// What the fleet keeps of all endpoints together is what they come to one by one.
TEST(Ejection, CountsAreThoseOfARecount) {
  Rng rng(20261128);
  Fleet fleet(std::make_unique<LittlesLaw>());
  const auto specs = [&] {
    std::vector<DeploymentSpec> all;
    for (const char* name : {"a10", "l20", "l4"}) {
      DeploymentSpec& spec = all.emplace_back(Spec(name, {}));
      spec.max_model_len = static_cast<Tokens>(4096 * rng.Below(3));
      for (int i = 0; i < 4; ++i) {
        if (rng.Below(4) > 0) spec.endpoints.push_back(name + std::to_string(i) + ":80");
      }
    }
    return all;
  };
  fleet.Update(specs());
  std::vector<std::pair<EndpointId, Residence>> running;
  Seconds now = 0;
  int ejected = 0;
  for (int step = 0; step < 50'000; ++step) {
    now += rng.Exponential(0.1);
    fleet.Advance(now);
    const auto id = static_cast<EndpointId>(rng.Below(fleet.endpoints().size()));
    const std::uint64_t what = rng.Below(1000);
    if (what == 0) {
      fleet.Update(specs());
    } else if (what < 10) {
      fleet.SetUp(id, rng.Below(3) > 0);
    } else if (what < 500 && fleet.IsAvailable(id)) {
      running.emplace_back(id, fleet.Start(id, Share(1), now));
    } else if (!running.empty()) {
      std::swap(running[rng.Below(running.size())], running.back());
      const auto [at, residence] = running.back();
      running.pop_back();
      Completion completion;
      // Some are bad for a while.
      const bool bad = (at + static_cast<EndpointId>(now / 300)) % 3 == 0;
      if (rng.Below(10) < (bad ? 5 : 1)) completion.fault = EngineFault(rng.Below(kEngineFaults));
      fleet.End(at, residence, completion, now);
    }
    for (const BreakerChange& change : fleet.TakeBreakerChanges()) {
      ejected += change.to == CircuitBreaker::State::kEjected ? 1 : 0;
    }

    RecentEnds::Count ends;
    std::vector<int> up(fleet.deployments().size());
    std::vector<int> out(fleet.deployments().size());
    for (const Endpoint& endpoint : fleet.endpoints()) {
      const RecentEnds::Count own = endpoint.breaker.recent().At(now);
      ends.all += own.all;
      ends.failed += own.failed;
      if (!endpoint.up) continue;
      ++up[endpoint.deployment];
      if (endpoint.breaker.IsOut()) ++out[endpoint.deployment];
    }
    ASSERT_EQ(fleet.recent().At(now), ends) << step;
    for (DeploymentId d = 0; d < up.size(); ++d) {
      ASSERT_EQ(fleet.deployments()[d].up, up[d]) << step;
      ASSERT_EQ(fleet.deployments()[d].out, out[d]) << step;
    }
  }
  EXPECT_GT(ejected, 20);
}

TEST(Fleet, AWeightDividesWhatIsInFlightAndTheLoad) {
  Fleet fleet(std::make_unique<LittlesLaw>());
  DeploymentSpec spec = Spec("d", {"slow", "fast"});
  spec.endpoints[1].weight = 3;
  fleet.Update(std::vector{spec});
  fleet.ByInFlight(0);
  int fast = 0;
  for (int i = 0; i < 40; ++i) {
    const EndpointId first = fleet.ByInFlight(0).First();
    fast += fleet.endpoint(first).address == "fast" ? 1 : 0;
    fleet.Start(first, Share(kCapacity / 30), 0);
  }
  EXPECT_EQ(fast, 30);
  EXPECT_NEAR(static_cast<double>(fleet.endpoint(0).load->Order()),
              static_cast<double>(fleet.endpoint(1).load->Order()), 10);
  EXPECT_TRUE(fleet.endpoint(1).load->Assess(Share(kCapacity / 2), 0).now);
  EXPECT_FALSE(fleet.endpoint(0).load->Assess(Share(kCapacity * 3 / 4), 0).now);

  spec.endpoints[1].weight = 1;
  fleet.Update(std::vector{spec});
  EXPECT_GT(fleet.endpoint(1).load->Order(), fleet.endpoint(0).load->Order()) << "at once";
}

TEST(Fleet, AnEndpointMayHaveALimitOfItsOwnAndBeginDown) {
  Fleet fleet(std::make_unique<LittlesLaw>());
  DeploymentSpec spec = Spec("d", {"a", "b", "c"}, 2);
  spec.endpoints[0].max_in_flight = 1;
  spec.endpoints[2].up = false;
  fleet.Update(std::vector{spec});
  EXPECT_EQ(fleet.up(), 2);
  EXPECT_FALSE(fleet.IsAvailable(2));
  for (int i = 0; i < 3; ++i) fleet.Start(fleet.ByInFlight(0).First(), Share(1), 0);
  EXPECT_EQ(fleet.endpoint(0).in_flight, 1);
  EXPECT_EQ(fleet.available(), 0u);
  spec.endpoints[0].max_in_flight = 0;
  spec.endpoints[1].up = false;
  fleet.Update(std::vector{spec});
  EXPECT_TRUE(fleet.IsAvailable(0)) << "the limit of the deployment";
  EXPECT_EQ(fleet.up(), 2) << "it says only how a new one begins";
  fleet.SetUp(2, true);
  EXPECT_TRUE(fleet.IsAvailable(2));
}

}  // namespace
}  // namespace headrace::fleet
