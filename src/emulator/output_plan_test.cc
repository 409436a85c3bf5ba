#include "emulator/output_plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace headrace::emulator {
namespace {

OutputPlan Plan(const EngineRequest& request, Tokens natural, Tokens limit) {
  Rng rng(3);
  return PlanOutput(request, natural, limit, rng);
}

TEST(OutputPlan, EndsByItselfOrAtItsLimit) {
  const auto whole = Plan({}, 10, 10);
  EXPECT_EQ(whole.tokens, 10);
  EXPECT_EQ(whole.finish_reason, "stop");
  EXPECT_EQ(whole.text.size(), 40U);
  const auto cut = Plan({}, 11, 10);
  EXPECT_EQ(cut.tokens, 10);
  EXPECT_EQ(cut.finish_reason, "length");
  const auto forced = Plan({.ignore_eos = true}, 3, 10);
  EXPECT_EQ(forced.tokens, 10);
  EXPECT_EQ(forced.finish_reason, "length");
}

TEST(OutputPlan, ATokenIsFourBytes) {
  const auto plan = Plan({}, 10, 10);
  EXPECT_EQ(plan.After(0), "");
  EXPECT_EQ(plan.After(3), plan.text.substr(0, 12));
  EXPECT_EQ(plan.After(10), plan.text);
  EXPECT_EQ(CountTokens(plan.text), 10);
}

TEST(OutputPlan, StopsBeforeTheStopStringThatIsCompleteFirst) {
  const std::string text = Plan({}, 50, 50).text;
  EngineRequest request;
  // Across the border of the sixth and seventh token; and one that comes later.
  request.stop = {text.substr(80, 9), text.substr(22, 4)};
  const std::size_t at = text.find(request.stop[1]);
  const auto plan = Plan(request, 50, 50);
  EXPECT_EQ(plan.text, text.substr(0, at));
  EXPECT_EQ(plan.tokens, static_cast<Tokens>((at + 4 + 3) / 4));
  EXPECT_EQ(plan.finish_reason, "stop");
  EXPECT_EQ(plan.After(plan.tokens), plan.text);

  request.stop = {"QQQQ"};
  EXPECT_EQ(Plan(request, 50, 50).tokens, 50);
}

TEST(OutputPlan, LengthsFollowTheirDistribution) {
  Rng rng(1);
  std::vector<Tokens> lengths;
  double sum = 0;
  for (int i = 0; i < 20001; ++i) {
    lengths.push_back(DrawOutputLength(rng));
    sum += lengths.back();
  }
  std::sort(lengths.begin(), lengths.end());
  EXPECT_GE(lengths.front(), 1);
  EXPECT_NEAR(lengths[10000], kMedianOutput, 0.05 * kMedianOutput);
  const double mean = kMedianOutput * std::exp(kOutputSigma * kOutputSigma / 2);
  EXPECT_NEAR(sum / 20001, mean, 0.05 * mean);
}

}  // namespace
}  // namespace headrace::emulator
