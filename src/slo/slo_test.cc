#include "slo/slo.h"

#include <gtest/gtest.h>

namespace headrace::slo {
namespace {

using Measure = Target::Measure;

TEST(TargetOf, TheFirstLatencyThatIsSetCounts) {
  Slo slo;
  EXPECT_EQ(TargetOf(slo, 100, 10), std::nullopt);
  slo.e2e = 9;
  EXPECT_EQ(TargetOf(slo, 100, 10)->seconds, 9);
  EXPECT_EQ(TargetOf(slo, 100, 10)->measure, Measure::kE2e);
  slo.ntpot = 0.3;
  EXPECT_DOUBLE_EQ(TargetOf(slo, 100, 10)->seconds, 3);
  EXPECT_EQ(TargetOf(slo, 100, 10)->measure, Measure::kE2e);
  slo.tpat = 0.05;
  EXPECT_DOUBLE_EQ(TargetOf(slo, 100, 10)->seconds, 0.05 * 110);
  EXPECT_EQ(TargetOf(slo, 100, 10)->measure, Measure::kE2e);
  slo.ttft = 2;
  EXPECT_EQ(TargetOf(slo, 100, 10)->seconds, 2);
  EXPECT_EQ(TargetOf(slo, 100, 10)->measure, Measure::kTtft);
  slo.tpot = 0.04;
  EXPECT_DOUBLE_EQ(TargetOf(slo, 100, 10)->seconds, 2.4);
  EXPECT_EQ(TargetOf(slo, 100, 10)->measure, Measure::kE2e);
  slo.ttft.reset();
  EXPECT_DOUBLE_EQ(TargetOf(slo, 100, 10)->seconds, 0.4);
}

TEST(EndLimits, AreTheLatestEndsThatStillAttain) {
  EXPECT_TRUE(EndLimits(Slo{.ttft = 1, .tpot = 0.1}, 100).empty());
  EXPECT_EQ(EndLimits(Slo{.ttft = 1}, 100).Earliest(10), kNever);
  for (const Slo& slo : {Slo{.tpat = 0.05}, Slo{.ntpot = 0.3}, Slo{.e2e = 9},
                         Slo{.tpat = 0.05, .ntpot = 0.3, .e2e = 9}}) {
    for (const Tokens output : {1, 10, 20, 30, 100}) {
      const Seconds latest = EndLimits(slo, 100).Earliest(output);
      const auto attained = [&](Seconds e2e) {
        return Attained(slo, {.e2e = e2e, .prompt_tokens = 100, .output_tokens = output});
      };
      EXPECT_TRUE(attained(latest - 1e-9)) << Describe(slo) << ", " << output << " tokens";
      EXPECT_FALSE(attained(latest + 1e-9)) << Describe(slo) << ", " << output << " tokens";
    }
  }
}

TEST(Attained, CountsEveryLatencyThatIsSet) {
  const RequestLatency latency{.ttft = 1, .e2e = 3, .prompt_tokens = 50, .output_tokens = 10};
  EXPECT_DOUBLE_EQ(latency.Ntpot(), 0.3);
  Slo slo;
  EXPECT_TRUE(Attained(slo, latency));
  slo.ntpot = 0.3;
  EXPECT_TRUE(slo.HasLatency());
  EXPECT_TRUE(Attained(slo, latency));
  slo.ntpot = 0.29;
  EXPECT_FALSE(Attained(slo, latency)) << "the wait for the first token counts";
  EXPECT_EQ(Describe(slo), "ntpot 290 ms");
  Slo other = slo;
  other.ntpot.reset();
  EXPECT_FALSE(slo.SameLatencies(other));
}

TEST(Attained, AWholeResponseMeetsNoPromiseOfAFirstToken) {
  const RequestLatency whole{.ttft = {}, .e2e = 3, .prompt_tokens = 50, .output_tokens = 10};
  EXPECT_FALSE(whole.Tpot());
  for (const Slo& slo : {Slo{.ttft = 9}, Slo{.tpot = 9}, Slo{.ttft = 9, .e2e = 9}}) {
    EXPECT_FALSE(CanJudge(slo, whole)) << Describe(slo);
    EXPECT_FALSE(Attained(slo, whole)) << Describe(slo);
  }
  for (const Slo& slo : {Slo{.e2e = 3}, Slo{.tpat = 0.05}, Slo{.ntpot = 0.3}, Slo{}}) {
    EXPECT_TRUE(CanJudge(slo, whole)) << Describe(slo);
    EXPECT_TRUE(Attained(slo, whole)) << Describe(slo);
  }
  const RequestLatency one{.ttft = 3, .e2e = 3, .prompt_tokens = 50, .output_tokens = 1};
  EXPECT_EQ(one.Tpot(), 0) << "one token has no gaps";
}

TEST(EffectiveSlo, TheNearestToTheRequestHoldsAsAWhole) {
  std::optional<Slo> request;
  std::optional<Slo> pool;
  Slo profile;
  EXPECT_EQ(EffectiveSlo(request, pool, nullptr), nullptr);
  EXPECT_EQ(EffectiveSlo(request, pool, &profile), &profile);
  pool.emplace().ttft = 1;
  EXPECT_EQ(EffectiveSlo(request, pool, &profile), &*pool);
  request.emplace().e2e = 1;
  EXPECT_EQ(EffectiveSlo(request, pool, &profile), &*request);
}

TEST(RequestLatency, TokensOfAnySizeAddUp) {
  const RequestLatency latency = {
      .ttft = 1, .e2e = 4, .prompt_tokens = 2'000'000'000, .output_tokens = 2'000'000'000};
  EXPECT_DOUBLE_EQ(latency.Tpat(), 1e-9);
}

}  // namespace
}  // namespace headrace::slo
