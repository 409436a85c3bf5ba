#include "benchmark/virtual_engine.h"

#include <gtest/gtest.h>

namespace headrace::benchmark {
namespace {

engine::EngineConfig Config() {
  engine::EngineConfig config;
  config.step = {.a = 20e-3, .b = 0.15e-3, .c = 0.05e-3, .d = 0.6e-6};
  config.kv_blocks = 3000;
  config.max_model_len = 4096;
  return config;
}

Measurement MeasureAt(double rate, Tokens input, Tokens output, std::uint64_t seed = 1) {
  const VirtualEngine engine(Config(), {.model = "m", .seed = seed, .samples = 400});
  const auto measured = engine.Measure({.input = input, .output = output, .rate = rate});
  EXPECT_TRUE(measured) << measured.error().message;
  return *measured;
}

TEST(VirtualEngine, AnAlmostIdleEngineShowsItsStepTimes) {
  const auto measured = MeasureAt(0.01, 200, 50);
  const step::TimeModel step = Config().step;
  const Seconds prefill = step.Duration(step::Work::Prefill(200));
  EXPECT_NEAR(measured.ttft.p50, prefill, 1e-9);
  EXPECT_NEAR(measured.tpot.p50, step.DecodeRun(49, 1, 200) / 49, 1e-9);
  EXPECT_NEAR(measured.e2e.p50, measured.ttft.p50 + 49 * measured.tpot.p50, 1e-9);
  EXPECT_TRUE(measured.sustained);
}

TEST(VirtualEngine, ASustainedRateIsTheThroughputForEveryOutputLength) {
  for (const Tokens output : {16, 128, 512, 1024}) {
    const auto measured = MeasureAt(0.5, 256, output);
    EXPECT_TRUE(measured.sustained) << output;
    EXPECT_NEAR(measured.tput, 0.5, 0.075) << output;
    EXPECT_NEAR(measured.tt, measured.tput * output, 1e-9);
    EXPECT_GE(measured.samples, 350);
    EXPECT_LE(measured.e2e.p50, measured.e2e.p90);
    EXPECT_LE(measured.e2e.p90, measured.e2e.p99);
  }
}

TEST(VirtualEngine, ARateBeyondTheCapacityIsNotSustained) {
  const auto within = MeasureAt(2, 1024, 128);
  EXPECT_TRUE(within.sustained);
  const auto beyond = MeasureAt(40, 1024, 128);
  EXPECT_FALSE(beyond.sustained);
  EXPECT_LT(beyond.tput, 20);
  EXPECT_GT(beyond.ttft.p50, 10 * within.ttft.p50);
}

TEST(VirtualEngine, TheSameSeedGivesTheSameFiguresAnotherSeedSimilarOnes) {
  const auto one = MeasureAt(2, 512, 128, 7);
  const auto again = MeasureAt(2, 512, 128, 7);
  const auto other = MeasureAt(2, 512, 128, 8);
  EXPECT_EQ(one.e2e.p99, again.e2e.p99);
  EXPECT_EQ(one.tput, again.tput);
  EXPECT_NE(one.e2e.mean, other.e2e.mean);
  EXPECT_NEAR(one.e2e.mean, other.e2e.mean, 0.1 * one.e2e.mean);
}

TEST(VirtualEngine, ARateWhoseMeanDoesNotSettleIsNotSustained) {
  // So close to saturation that even eight times the requests do not settle the mean.
  const auto measured = MeasureAt(1, 256, 1024);
  EXPECT_FALSE(measured.sustained);
  EXPECT_FALSE(measured.Settled());
  EXPECT_GT(measured.samples, 7 * 400);
  EXPECT_NEAR(measured.tput, 1, 0.15);
}

TEST(VirtualEngine, RefusesAPointBeyondTheContext) {
  const VirtualEngine engine(Config(), {});
  const auto measured = engine.Measure({.input = 4000, .output = 100, .rate = 1});
  ASSERT_FALSE(measured);
  EXPECT_NE(measured.error().message.find("4000 input"), std::string::npos);
  EXPECT_FALSE(engine.Measure({.input = 100, .output = 0, .rate = 1}));
  EXPECT_FALSE(engine.Measure({.input = 100, .output = 10, .rate = 0}));
}

}  // namespace
}  // namespace headrace::benchmark
