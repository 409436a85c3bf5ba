#include "step/time_model.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace headrace::step {
namespace {

TimeModel Full() {
  return {.a = 0.02,
          .b = 1.5e-4,
          .c = 5e-5,
          .d = 1e-6,
          .e = 1e-8,
          .overlap = 0.9,
          .overhead = 1e-3,
          .overhead_per_sequence = 3e-5};
}

TEST(TimeModel, WithoutOverlapAndAttentionItIsTheLinearForm) {
  const TimeModel step{.a = 0.02, .b = 1.5e-4, .c = 5e-5, .d = 1e-6};
  EXPECT_DOUBLE_EQ(step.Duration({.decoding = 7, .held = 3000, .prefilled = 900, .attended = 4e5}),
                   0.02 + 7 * 5e-5 + 3000 * 1e-6 + 900 * 1.5e-4);
}

TEST(TimeModel, TheDenseLayersLieBetweenTheLongerOfMemoryAndComputeTimeAndTheirSum) {
  TimeModel step = Full();
  for (const Seconds compute : {0.0, 0.001, 0.019, 0.02, 0.021, 0.5}) {
    step.overlap = 0;
    EXPECT_DOUBLE_EQ(step.Dense(compute), step.a + compute);
    step.overlap = 1;
    EXPECT_DOUBLE_EQ(step.Dense(compute), std::max(step.a, compute));
    step.overlap = 0.5;
    EXPECT_GE(step.Dense(compute), std::max(step.a, compute));
    EXPECT_LE(step.Dense(compute), step.a + compute);
  }
}

TEST(TimeModel, AttentionOfAPromptIsTheSameHoweverItIsCut) {
  constexpr Tokens kPrompt = 6000;
  for (const Tokens chunk : {1, 100, 2048, 6000}) {
    Work work;
    for (Tokens done = 0; done < kPrompt; done += chunk) {
      work.AddChunk(std::min(chunk, kPrompt - done), done);
    }
    EXPECT_EQ(work.prefilled, kPrompt);
    EXPECT_NEAR(work.attended, 0.5 * kPrompt * kPrompt, 1e-3);
  }
}

TEST(TimeModel, ARunOfDecodeStepsIsTheSumOfItsSteps) {
  const TimeModel step = Full();
  Seconds sum = 0;
  std::int64_t held = 20000;
  for (int i = 1; i <= 500; ++i) {
    held += 40;
    sum += step.Duration({.decoding = 40, .held = held});
    EXPECT_NEAR(step.DecodeRun(i, 40, 20000), sum, 1e-11);
  }
}

TEST(TimeModel, FillsADurationWithTheFewestSteps) {
  const TimeModel step = Full();
  for (const std::int64_t k : {1, 2, 7, 500, 99999}) {
    const Seconds exact = step.DecodeRun(k, 40, 20000);
    EXPECT_EQ(step.StepsToFill(exact * (1 - 1e-12), 100000, 40, 20000), k);
    EXPECT_EQ(step.StepsToFill(exact * (1 + 1e-12), 100000, 40, 20000), k + 1);
  }
  EXPECT_EQ(step.StepsToFill(0, 10, 40, 20000), 1);
  EXPECT_EQ(step.StepsToFill(kNever, 10, 40, 20000), 10);
}

TEST(TimeModel, ATangentIsNeverAboveTheDenseLayersAndTouchesThem) {
  for (const double overlap : {0.0, 0.3, 0.9, 1.0}) {
    TimeModel step = Full();
    step.overlap = overlap;
    for (const double share : {0.0, 0.2, 0.4, 0.6, 0.8, 1.0}) {
      const TimeModel::Tangent tangent = step.DenseTangent(share);
      const auto below = [&](Seconds compute) {
        return tangent.memory * step.a + tangent.compute * compute;
      };
      for (const Seconds compute : {0.0, 0.01, 0.02, 0.04, 1.0}) {
        EXPECT_LE(below(compute), step.Dense(compute) + 1e-15);
      }
      if (share < 1) {
        const Seconds touching = step.a * share / (1 - share);
        EXPECT_NEAR(below(touching), step.Dense(touching), 1e-15);
      }
    }
  }
}

TEST(TimeModel, ASlowedGpuTakesLongerForEveryStep) {
  const TimeModel step = Full();
  const Work work{.decoding = 30, .held = 9000, .prefilled = 500, .attended = 2e5};
  EXPECT_NEAR(step.SlowedBy(1.3).Duration(work), 1.3 * step.Duration(work), 1e-15);
}

}  // namespace
}  // namespace headrace::step
