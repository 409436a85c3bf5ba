#include "serving/explanation.h"

#include <gtest/gtest.h>

namespace headrace::serving {
namespace {

using scheduler::Hold;

class ExplanationTest : public testing::Test {
 protected:
  // Of endpoints 0, 1, … : cost, and end of the response.
  std::string Sentence(const std::vector<std::pair<double, Seconds>>& options) {
    auto facts = std::make_shared<scheduler::Explanation>();
    for (const auto& [cost, end] : options) {
      facts->options.push_back({.endpoint = static_cast<fleet::EndpointId>(facts->options.size()),
                                .cost = cost,
                                .outlook = {.end = end}});
    }
    return DescribeChoice(facts_, {facts, names_, {}});
  }

  ChoiceFacts facts_{.policy = "slo-headroom"};
  std::shared_ptr<const FleetNames> names_ = std::make_shared<const FleetNames>(
      FleetNames{{"a10", "l20"}, {{0, "h:1"}, {1, "h:2"}, {1, "h:3"}, {1, "h:4"}}});
};

TEST_F(ExplanationTest, SaysWhyThisEndpointAndNotTheNext) {
  EXPECT_EQ(Sentence({{0.01, 5}}),
            "No other endpoint was considered; expected broken promises: 0.010 here.");
  EXPECT_EQ(Sentence({{0, 5}, {kNever, 6}}),
            "Nowhere fewer expected broken promises (0.000 here).");
  EXPECT_EQ(Sentence({{0.01, 5}, {kNever, 6}, {0.7, 1}, {0.34, 2}}),
            "Least expected broken promises: 0.010 here, 0.340 at the next best, l20 h:4.");
  EXPECT_EQ(Sentence({{0, 5}, {0.7, 1}, {0, 6}}),
            "Nowhere fewer expected broken promises (0.000 here, 0.000 at the next best, l20 h:3), "
            "and of such endpoints its response ends first here.");
  EXPECT_EQ(Sentence({{0.02, 5}, {0.01, 2}}),
            "About as few expected broken promises as anywhere (0.020 here, 0.010 at the next "
            "best, l20 h:2), and requests of its kind are kept together here while many wait.");
}

TEST_F(ExplanationTest, SaysWhyItWaited) {
  facts_.queued = 1.2;
  facts_.held_cost = 0.34;
  const auto sentence = [&](Hold hold) {
    facts_.hold = hold;
    const std::string text = Sentence({{0, 5}});
    return text.substr(0, text.find(" No other"));
  };
  EXPECT_EQ(sentence(Hold::kTurn), "Waited 1.2 s for its turn.");
  EXPECT_EQ(sentence(Hold::kNoRoom), "Waited 1.2 s until an endpoint had room.");
  EXPECT_EQ(sentence(Hold::kPromise),
            "Held for 1.2 s because even the best place would have cost 0.340 broken promises.");
  EXPECT_EQ(sentence(Hold::kLate),
            "Late: it could no longer meet its SLO, and after 1.2 s an endpoint had time to "
            "spare.");
  EXPECT_EQ(sentence(Hold::kGaveUp),
            "Gave up its place to requests that could still be in time, because it hardly could; "
            "after 1.2 s an endpoint had time to spare.");
}

TEST_F(ExplanationTest, APolicyThatPredictsNothingHasItsRule) {
  facts_.policy = "least-request";
  facts_.fallback = scheduler::FallbackCause::kNoProfile;
  EXPECT_EQ(DescribeChoice(facts_, {}),
            "Its policy could not serve it (no_profile). Chosen by least-request: fewest requests "
            "in flight.");
  facts_ = {.policy = "slo-least-load", .sent = 100};
  auto facts = std::make_shared<scheduler::Explanation>();
  facts->deployments = {{.candidate = {.deployment = 1, .latest_start = 103.5}},
                        {.candidate = {.deployment = 0, .latest_start = 99}}};
  EXPECT_EQ(DescribeChoice(facts_, {facts, names_, {}}),
            "Chosen by slo-least-load: as slo, but sent at once whether there is room or not. Time "
            "that was left to start and still meet the SLO, by deployment: l20: 3.5 s, a10: 1 s "
            "too late.");
}

}  // namespace
}  // namespace headrace::serving
