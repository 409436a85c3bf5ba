// What every policy owes, whatever it is: this file runs them all.
#include "routing/policy.h"

#include <gmock/gmock.h>

#include <cmath>
#include <map>
#include <set>

namespace headrace::routing {
namespace {

// Two deployments with loads and limits in random states.
class EveryPolicy : public testing::TestWithParam<PolicyInfo> {
 protected:
  EveryPolicy() { Populate(fleet_); }

  static void Populate(fleet::Fleet& fleet) {
    std::vector<fleet::DeploymentSpec> specs{{"big", 6, {}}, {"small", 3, {}}};
    for (int i = 0; i < 12; ++i) specs[0].endpoints.push_back("big:" + std::to_string(i));
    for (int i = 0; i < 5; ++i) specs[1].endpoints.push_back("small:" + std::to_string(i));
    fleet.Update(specs);
  }

  fleet::Fleet fleet_;
  fleet::LittlesLawLoad model_;
  // Most relaxed first, as the scheduler sorts them.
  std::vector<Candidate> candidates_{{0, fleet::kCapacity / 8, 1000},
                                     {1, fleet::kCapacity / 3, 900}};
};

TEST_P(EveryPolicy, ChoosesOnlyAvailableEndpointsAndFindsOneIfItCan) {
  Rng rng(17);
  const auto policy = GetParam().make();
  std::vector<std::pair<fleet::EndpointId, fleet::Load>> running;
  for (int step = 0; step < 20'000; ++step) {
    if (rng.Below(50) == 0) {
      fleet_.SetUp(static_cast<fleet::EndpointId>(rng.Below(17)), rng.Below(2) == 0);
    }
    if (!running.empty() && rng.Below(3) == 0) {
      const std::size_t at = rng.Below(running.size());
      fleet_.ObserveLatency(running[at].first, rng.Uniform());
      fleet_.Remove(running[at].first, running[at].second);
      running[at] = running.back();
      running.pop_back();
      continue;
    }
    const auto chosen = policy->Choose(candidates_, fleet_, model_, 500, rng);
    if (!chosen) {
      // Nothing available, or nothing with room for a policy that minds it.
      for (const fleet::EndpointId id : fleet_.available()) {
        const Candidate& candidate = candidates_[fleet_.endpoint(id).deployment];
        ASSERT_FALSE(model_.Fits(fleet_.endpoint(id).load, candidate.share));
      }
      continue;
    }
    const fleet::Endpoint& endpoint = fleet_.endpoint(*chosen);
    ASSERT_TRUE(endpoint.up);
    ASSERT_LT(endpoint.in_flight, fleet_.deployment_of(*chosen).max_in_flight);
    const fleet::Load share = candidates_[endpoint.deployment].share;
    fleet_.Add(*chosen, share);
    running.emplace_back(*chosen, share);
  }
  for (const auto& [id, share] : running) fleet_.Remove(id, share);
  for (const fleet::Endpoint& endpoint : fleet_.endpoints()) EXPECT_EQ(endpoint.load, 0);
}

TEST_P(EveryPolicy, SaysSoWhenNothingIsAvailable) {
  Rng rng(1);
  const auto policy = GetParam().make();
  for (fleet::EndpointId id = 0; id < 17; ++id) fleet_.SetUp(id, false);
  EXPECT_EQ(policy->Choose(candidates_, fleet_, model_, 0, rng), std::nullopt);
}

TEST_P(EveryPolicy, SameSeedSameChoices) {
  fleet::Fleet other;
  Populate(other);
  Rng a(3);
  Rng b(3);
  const auto first = GetParam().make();
  const auto second = GetParam().make();
  for (int i = 0; i < 40; ++i) {
    const auto chosen = first->Choose(candidates_, fleet_, model_, 0, a);
    ASSERT_EQ(chosen, second->Choose(candidates_, other, model_, 0, b));
    if (!chosen) break;
    fleet_.Add(*chosen, candidates_[fleet_.endpoint(*chosen).deployment].share);
    other.Add(*chosen, candidates_[other.endpoint(*chosen).deployment].share);
  }
}

TEST_P(EveryPolicy, HasAFallbackThatNeedsNothing) {
  const PolicyInfo* fallback = FindPolicy(GetParam().fallback);
  ASSERT_NE(fallback, nullptr);
  EXPECT_EQ(fallback->needs, PolicyNeeds::kNothing);
  EXPECT_EQ(fallback->name, GetParam().needs == PolicyNeeds::kSlo ? "least-request" : "random");
}

INSTANTIATE_TEST_SUITE_P(Policies, EveryPolicy, testing::ValuesIn(Policies()),
                         [](const auto& info) {
                           std::string name;
                           for (const char c : info.param.name) name += c == '-' ? '_' : c;
                           return name;
                         });

// --- What sets each of them apart

struct PolicyFixture : testing::Test {
  PolicyFixture() {
    fleet.Update(std::vector<fleet::DeploymentSpec>{{"l20", 512, {"a", "b"}}, {"a10", 512, {"c"}}});
  }
  std::optional<fleet::EndpointId> Choose(std::string_view name, Seconds now = 0) {
    if (!policies.contains(name)) policies[name] = FindPolicy(name)->make();
    return policies[name]->Choose(candidates, fleet, model, now, rng);
  }
  std::map<std::string_view, std::unique_ptr<Policy>> policies;
  fleet::Fleet fleet;
  fleet::LittlesLawLoad model;
  Rng rng{1};
  std::vector<Candidate> candidates{{0, fleet::kCapacity / 4, 100}, {1, fleet::kCapacity / 2, 50}};
};

TEST_F(PolicyFixture, SloTakesTheMostRelaxedDeploymentUntilItIsFull) {
  for (int i = 0; i < 8; ++i) {
    const auto chosen = Choose("slo");
    ASSERT_LT(*chosen, 2);
    fleet.Add(*chosen, fleet::kCapacity / 4);
    EXPECT_EQ(fleet.endpoint(*chosen).load, (i / 2 + 1) * (fleet::kCapacity / 4))
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
    fleet.Add(first, fleet::kCapacity / 4);
  }
  EXPECT_EQ(Choose("slo-pack-load"), 1 - first);
}

TEST_F(PolicyFixture, LoadPoliciesCompareAllDeployments) {
  fleet.Add(0, fleet::kCapacity / 2);
  fleet.Add(1, fleet::kCapacity / 2);
  EXPECT_EQ(Choose("least-load"), 2);
  candidates[1].share = fleet::kCapacity;
  EXPECT_NE(Choose("least-load"), 2);
  EXPECT_EQ(Choose("pack-load"), 2);
}

TEST_F(PolicyFixture, LeastRequestCountsRequestsAndRoundRobinTakesTurns) {
  fleet.Add(0, 0);
  fleet.Add(2, 0);
  EXPECT_EQ(Choose("least-request"), 1);
  std::set<fleet::EndpointId> seen;
  for (int i = 0; i < 3; ++i) seen.insert(*Choose("round-robin"));
  EXPECT_EQ(seen.size(), 3);
}

TEST_F(PolicyFixture, PowerOfTwoNeverTakesTheFullestOfThree) {
  for (int i = 0; i < 5; ++i) fleet.Add(1, 0);
  for (int i = 0; i < 200; ++i) EXPECT_NE(Choose("power-of-two"), 1);
}

TEST(Registry, UnknownNameIsNull) { EXPECT_EQ(FindPolicy("fastest"), nullptr); }

}  // namespace
}  // namespace headrace::routing
