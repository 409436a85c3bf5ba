// What holds for every policy; this file runs them all.
#include "routing/policy.h"

#include <gmock/gmock.h>

#include <map>
#include <set>
#include <tuple>

#include "fleet/littles_law.h"

namespace headrace::routing {
namespace {

// Another load model than Little's law: an endpoint takes half of what its profile says, and its
// residents are counted by name.
class HalfLoad final : public fleet::LoadModel {
 public:
  static constexpr fleet::Load kMost = fleet::kCapacity / 2;

  std::unique_ptr<fleet::EndpointLoad> Join(const fleet::Deployment&,
                                            const fleet::Endpoint&) const override {
    return std::make_unique<State>();
  }
  std::optional<fleet::Load> Share(const profile::GpuProfile& profile,
                                   profile::ProfileCell cell) const override {
    return fleet::LittlesLaw().Share(profile, cell);
  }
  fleet::Load HighestOrderWithRoom(fleet::Load share) const override { return kMost - share; }

 private:
  class State final : public fleet::EndpointLoad {
   public:
    fleet::Fit Assess(const fleet::Demand& demand, Seconds) const override {
      return {.now = Order() + demand.share <= kMost};
    }
    fleet::Resident Start(const fleet::Demand& demand, Seconds) override {
      shares_[++named_] = demand.share;
      return fleet::Resident{named_};
    }
    void End(fleet::Resident resident, const fleet::Completion&, Seconds) override {
      ASSERT_EQ(shares_.erase(static_cast<std::uint64_t>(resident)), 1);
    }
    fleet::Load Order() const override {
      fleet::Load sum = 0;
      for (const auto& [name, share] : shares_) sum += share;
      return sum;
    }

   private:
    std::map<std::uint64_t, fleet::Load> shares_;
    std::uint64_t named_ = 0;
  };
};

using MakeModel = std::unique_ptr<fleet::LoadModel> (*)();
template <typename Model>
std::unique_ptr<fleet::LoadModel> Make() {
  return std::make_unique<Model>();
}

Candidate MakeCandidate(fleet::DeploymentId deployment, fleet::Load share, Seconds latest_start) {
  return {.deployment = deployment, .share = share, .latest_start = latest_start};
}

// A fleet with what runs on it.
struct BusyFleet {
  BusyFleet(std::unique_ptr<fleet::LoadModel> model, std::vector<fleet::DeploymentSpec> specs)
      : fleet(std::move(model)) {
    fleet.Update(specs);
  }

  std::optional<fleet::EndpointId> Choose(Policy& policy, Seconds now, Rng& rng) {
    for (Candidate& candidate : candidates) {
      candidate.highest_order = fleet.model().HighestOrderWithRoom(candidate.share);
    }
    std::vector<fleet::DeploymentId> deployments;
    std::vector<Candidate> fitting;
    for (fleet::DeploymentId id = 0; id < fleet.deployments().size(); ++id) {
      if (fleet.deployments()[id].Fits(context)) deployments.push_back(id);
    }
    for (const Candidate& candidate : candidates) {
      if (fleet.deployments()[candidate.deployment].Fits(context)) fitting.push_back(candidate);
    }
    return policy.Choose({.fleet = fleet,
                          .request = request,
                          .deployments = deployments,
                          .candidates = fitting,
                          .now = now,
                          .rng = rng});
  }
  // Starts the request there, as the scheduler does.
  void Start(fleet::EndpointId id) { Start(id, candidates[fleet.endpoint(id).deployment].share); }
  void Start(fleet::EndpointId id, fleet::Load share) {
    running.emplace_back(id, fleet.Start(id, {.share = share}, 0));
  }
  void End(std::size_t at, const fleet::Completion& completion) {
    fleet.End(running[at].first, running[at].second, completion, 0);
    running[at] = running.back();
    running.pop_back();
  }

  fleet::Fleet fleet;
  fleet::Demand request;
  Tokens context = 0;  // That the request needs.
  // Most relaxed first, as the scheduler sorts them.
  std::vector<Candidate> candidates;
  std::vector<std::pair<fleet::EndpointId, fleet::Residence>> running;
};

// Two deployments with loads and limits in random states.
class EveryPolicy : public testing::TestWithParam<std::tuple<PolicyInfo, MakeModel>> {
 protected:
  static const PolicyInfo& info() { return std::get<PolicyInfo>(GetParam()); }

  static BusyFleet MakeFleet() {
    std::vector<fleet::DeploymentSpec> specs{{"big", 6, {}}, {"small", 3, {}}};
    for (int i = 0; i < 12; ++i) specs[0].endpoints.push_back("big:" + std::to_string(i));
    for (int i = 0; i < 5; ++i) specs[1].endpoints.push_back("small:" + std::to_string(i));
    BusyFleet busy(std::get<MakeModel>(GetParam())(), std::move(specs));
    busy.candidates = {MakeCandidate(0, fleet::kCapacity / 8, 1000),
                       MakeCandidate(1, fleet::kCapacity / 3, 900)};
    return busy;
  }

  BusyFleet busy_ = MakeFleet();
  fleet::Fleet& fleet_ = busy_.fleet;
};

TEST_P(EveryPolicy, ChoosesOnlyAvailableEndpointsAndFindsOneIfItCan) {
  Rng rng(17);
  const auto policy = info().make();
  for (int step = 0; step < 20'000; ++step) {
    if (rng.Below(50) == 0) {
      fleet_.SetUp(static_cast<fleet::EndpointId>(rng.Below(17)), rng.Below(2) == 0);
    }
    if (!busy_.running.empty() && rng.Below(3) == 0) {
      busy_.End(rng.Below(busy_.running.size()),
                {.prompt_tokens = 1, .output_tokens = 1, .e2e = rng.Uniform()});
      continue;
    }
    const auto chosen = busy_.Choose(*policy, 500, rng);
    if (!chosen) {
      // Nothing is available, or nothing has room for a policy that asks for it.
      for (const Candidate& candidate : busy_.candidates) {
        for (const fleet::EndpointId id : fleet_.Available(candidate.deployment)) {
          const fleet::Endpoint& endpoint = fleet_.endpoint(id);
          ASSERT_FALSE(endpoint.load->Assess({.share = candidate.share}, 500).now);
        }
      }
      continue;
    }
    const fleet::Endpoint& endpoint = fleet_.endpoint(*chosen);
    ASSERT_TRUE(endpoint.up);
    ASSERT_LT(endpoint.in_flight, fleet_.deployment_of(*chosen).max_in_flight);
    busy_.Start(*chosen);
  }
  while (!busy_.running.empty()) busy_.End(0, {});
  for (const fleet::Endpoint& endpoint : fleet_.endpoints()) EXPECT_EQ(endpoint.load->Order(), 0);
}

TEST_P(EveryPolicy, ChoosesOnlyWhereTheRequestFits) {
  Rng rng(29);
  const auto policy = info().make();
  fleet_.SetMaxModelLen(0, 4096);
  fleet_.SetMaxModelLen(12, 8192);
  int sent[2] = {};
  for (int step = 0; step < 2000; ++step) {
    if (!busy_.running.empty() && rng.Below(2) == 0) busy_.End(rng.Below(busy_.running.size()), {});
    busy_.context = static_cast<Tokens>(1 + rng.Below(10'000));
    const auto chosen = busy_.Choose(*policy, 500, rng);
    if (!chosen) continue;
    ASSERT_TRUE(fleet_.deployment_of(*chosen).Fits(busy_.context)) << busy_.context;
    ++sent[busy_.context > 4096];
    busy_.Start(*chosen);
  }
  EXPECT_GT(sent[0], 100);
  EXPECT_GT(sent[1], 100) << "to the longer context, though the shorter has more room";
}

// Policies that wait for room ask the load model, whichever it is.
TEST_P(EveryPolicy, ThatWaitsForRoomNeverGoesWhereTheModelSaysNo) {
  if (info().needs == PolicyNeeds::kNothing || info().needs == PolicyNeeds::kForecast ||
      info().name == "least-load" || info().name == "slo-least-load") {
    GTEST_SUCCEED() << "does not ask for room";
    return;
  }
  Rng rng(5);
  const auto policy = info().make();
  int sent = 0;
  for (; const auto chosen = busy_.Choose(*policy, 0, rng); ++sent) {
    const fleet::Endpoint& endpoint = fleet_.endpoint(*chosen);
    ASSERT_TRUE(
        endpoint.load->Assess({.share = busy_.candidates[endpoint.deployment].share}, 0).now);
    busy_.Start(*chosen);
  }
  const bool half = fleet_.model().HighestOrderWithRoom(0) == HalfLoad::kMost;
  EXPECT_EQ(sent, half ? 12 * 4 + 5 * 1 : 12 * 6 + 5 * 3) << "all that the model has room for";
}

TEST_P(EveryPolicy, SaysSoWhenNothingIsAvailable) {
  Rng rng(1);
  const auto policy = info().make();
  for (fleet::EndpointId id = 0; id < 17; ++id) fleet_.SetUp(id, false);
  EXPECT_EQ(busy_.Choose(*policy, 0, rng), std::nullopt);
}

TEST_P(EveryPolicy, SameSeedSameChoices) {
  BusyFleet other = MakeFleet();
  Rng a(3);
  Rng b(3);
  const auto first = info().make();
  const auto second = info().make();
  for (int i = 0; i < 40; ++i) {
    const auto chosen = busy_.Choose(*first, 0, a);
    ASSERT_EQ(chosen, other.Choose(*second, 0, b));
    if (!chosen) break;
    busy_.Start(*chosen);
    other.Start(*chosen);
  }
}

TEST_P(EveryPolicy, HasAFallbackThatNeedsNothing) {
  const PolicyInfo* fallback = FindPolicy(info().fallback);
  ASSERT_NE(fallback, nullptr);
  EXPECT_EQ(fallback->needs, PolicyNeeds::kNothing);
  const bool by_slo = info().needs == PolicyNeeds::kSlo || info().needs == PolicyNeeds::kForecast;
  EXPECT_EQ(fallback->name, by_slo ? "least-request" : "random");
}

INSTANTIATE_TEST_SUITE_P(Policies, EveryPolicy,
                         testing::Combine(testing::ValuesIn(Policies()),
                                          testing::Values(&Make<fleet::LittlesLaw>,
                                                          &Make<HalfLoad>)),
                         [](const auto& info) {
                           std::string name;
                           for (const char c : std::get<PolicyInfo>(info.param).name)
                             name += c == '-' ? '_' : c;
                           return name + (info.index % 2 == 0 ? "_littles_law" : "_half_load");
                         });

// --- What sets each of them apart

struct PolicyFixture : testing::Test {
  std::optional<fleet::EndpointId> Choose(std::string_view name, Seconds now = 0) {
    if (!policies.contains(name)) policies[name] = FindPolicy(name)->make();
    busy.candidates = candidates;
    return busy.Choose(*policies[name], now, rng);
  }
  std::map<std::string_view, std::unique_ptr<Policy>> policies;
  BusyFleet busy{Make<fleet::LittlesLaw>(), {{"l20", 512, {"a", "b"}}, {"a10", 512, {"c"}}}};
  Rng rng{1};
  std::vector<Candidate> candidates{MakeCandidate(0, fleet::kCapacity / 4, 100),
                                    MakeCandidate(1, fleet::kCapacity / 2, 50)};
};

TEST_F(PolicyFixture, SloTakesTheMostRelaxedDeploymentUntilItIsFull) {
  for (int i = 0; i < 8; ++i) {
    const auto chosen = Choose("slo");
    ASSERT_LT(*chosen, 2);
    busy.Start(*chosen, fleet::kCapacity / 4);
    EXPECT_EQ(busy.fleet.endpoint(*chosen).load->Order(), (i / 2 + 1) * (fleet::kCapacity / 4))
        << "least loaded first";
  }
  EXPECT_EQ(Choose("slo"), 2);
  // Past the latest start on the other deployment, it is not tried.
  EXPECT_EQ(Choose("slo", 51), std::nullopt);
  // Push mode ignores capacity.
  EXPECT_LT(*Choose("slo-least-load", 51), 2);
}

TEST_F(PolicyFixture, SloPackLoadFillsOneEndpointFirst) {
  const fleet::EndpointId first = *Choose("slo-pack-load");
  for (int i = 0; i < 4; ++i) {
    ASSERT_EQ(Choose("slo-pack-load"), first);
    busy.Start(first, fleet::kCapacity / 4);
  }
  EXPECT_EQ(Choose("slo-pack-load"), 1 - first);
}

TEST_F(PolicyFixture, LoadPoliciesCompareAllDeployments) {
  busy.Start(0, fleet::kCapacity / 2);
  busy.Start(1, fleet::kCapacity / 2);
  EXPECT_EQ(Choose("least-load"), 2);
  candidates[1].share = fleet::kCapacity;
  EXPECT_NE(Choose("least-load"), 2);
  EXPECT_EQ(Choose("pack-load"), 2);
}

TEST_F(PolicyFixture, LeastRequestCountsRequestsAndRoundRobinTakesTurns) {
  busy.Start(0, 0);
  busy.Start(2, 0);
  EXPECT_EQ(Choose("least-request"), 1);
  std::set<fleet::EndpointId> seen;
  for (int i = 0; i < 3; ++i) seen.insert(*Choose("round-robin"));
  EXPECT_EQ(seen.size(), 3);
}

// Two requests there and nothing to prefill, one request that has to prefill, or three requests:
// which of them costs least hangs on how much the request itself has to prefill.
TEST_F(PolicyFixture, LMetricWeighsPrefillAgainstCompany) {
  const auto start = [&](fleet::EndpointId id, Tokens prompt, bool prefilled) {
    busy.fleet.Start(id, {.prompt_tokens = prompt}, 0);
    if (prefilled) busy.fleet.Prefilled(id, prompt);
  };
  for (int i = 0; i < 2; ++i) start(0, 500, true);
  start(1, 1000, false);
  for (int i = 0; i < 3; ++i) start(2, 10, true);
  busy.request.prompt_tokens = 100;  // 100 · 3, 1100 · 2, 100 · 4.
  EXPECT_EQ(Choose("lmetric"), 0);
  busy.request.prompt_tokens = 5000;  // 5000 · 3, 6000 · 2, 5000 · 4.
  EXPECT_EQ(Choose("lmetric"), 1);
  for (int i = 0; i < 2; ++i) {  // Of another replica: 6000 · 4.
    busy.fleet.StartForeign(1, {.prompt_tokens = 10}, 0);
    busy.fleet.Prefilled(1, 10);
  }
  EXPECT_EQ(Choose("lmetric"), 0);
}

TEST_F(PolicyFixture, PowerOfTwoNeverTakesTheFullestOfThree) {
  for (int i = 0; i < 5; ++i) busy.Start(1, 0);
  for (int i = 0; i < 200; ++i) EXPECT_NE(Choose("power-of-two"), 1);
}

// What runs piles up, so those that count it are told from those that do not.
TEST(Weights, AreSharesForPoliciesThatMeasureNoSpeed) {
  for (const char* name : {"random", "round-robin", "least-request", "power-of-two"}) {
    fleet::DeploymentSpec spec{"d", 1000, {"slow", "fast"}};
    spec.endpoints[0].weight = 0.5;
    spec.endpoints[1].weight = 1.5;
    BusyFleet busy(std::make_unique<fleet::LittlesLaw>(), {spec});
    busy.candidates = {MakeCandidate(0, 1, 1000)};
    Rng rng(5);
    const auto policy = FindPolicy(name)->make();
    int fast = 0;
    for (int i = 0; i < 400; ++i) {
      const auto chosen = busy.Choose(*policy, 0, rng);
      ASSERT_TRUE(chosen);
      fast += *chosen == 1 ? 1 : 0;
      busy.Start(*chosen);
    }
    EXPECT_NEAR(fast, 300, std::string_view(name) == "random" ? 30 : 1) << name;
  }
}

TEST(Registry, EveryStrategyOfAIBrixHasItsNearestPolicy) {
  for (const ForeignPolicy& foreign : ForeignPolicies()) {
    EXPECT_EQ(FindPolicy(foreign.name), nullptr) << foreign.name << " is one of ours";
    ASSERT_NE(FindPolicy(foreign.nearest), nullptr) << foreign.name;
    EXPECT_EQ(NearestPolicy(foreign.name), FindPolicy(foreign.nearest));
  }
  EXPECT_EQ(NearestPolicy("least-request:1, throughput:3"), FindPolicy("lmetric"));
  EXPECT_EQ(NearestPolicy("random,least-request"), FindPolicy("random")) << "of equals, the first";
  for (const char* none : {"", "fastest", "random,", "random:much", "random:0"}) {
    EXPECT_EQ(NearestPolicy(none), nullptr) << none;
  }
}

TEST(Registry, UnknownNameIsNull) { EXPECT_EQ(FindPolicy("fastest"), nullptr); }

}  // namespace
}  // namespace headrace::routing
