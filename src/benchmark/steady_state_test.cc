#include "benchmark/steady_state.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/random.h"

namespace headrace::benchmark {
namespace {

TEST(SteadyState, SummarizesAsNumpyDoes) {
  std::vector<double> sample{4, 1, 3, 2};
  const auto statistics = Summarize(sample);
  EXPECT_DOUBLE_EQ(statistics.mean, 2.5);
  EXPECT_DOUBLE_EQ(statistics.p50, 2.5);
  EXPECT_DOUBLE_EQ(statistics.p90, 3.7);
  EXPECT_DOUBLE_EQ(statistics.p95, 3.85);
  EXPECT_DOUBLE_EQ(statistics.p99, 3.97);
}

TEST(SteadyState, TheErrorOfAMeanGrowsWithTheCorrelationOfItsSamples) {
  Rng rng(1);
  std::vector<double> independent;
  std::vector<double> alike;
  double slow = 1;
  for (int i = 0; i < 10'000; ++i) {
    independent.push_back(rng.Exponential(1));
    slow += 0.01 * (rng.Exponential(1) - slow);
    alike.push_back(slow);
  }
  // The standard error of the mean of n exponential samples is 1/√n of it.
  EXPECT_NEAR(RelativeErrorOfMean(independent), 0.01, 0.006);
  double variance = 0;
  for (const double value : alike) variance += (value - 1) * (value - 1) / 10'000;
  EXPECT_GT(RelativeErrorOfMean(alike), 3 * std::sqrt(variance / 10'000));
  EXPECT_TRUE(std::isinf(RelativeErrorOfMean(std::vector<double>(19, 1.0))));
  EXPECT_EQ(RelativeErrorOfMean(std::vector<double>(20, 1.0)), 0);
}

// Arrivals every second for `count` seconds; the i-th takes `service(i)`.
template <typename Service>
std::vector<TimedRequest> EverySecond(int count, Service service) {
  std::vector<TimedRequest> requests;
  for (int i = 0; i < count; ++i) {
    const Seconds at = i;
    requests.push_back({at, at + service(i) / 2, at + service(i)});
  }
  return requests;
}

TEST(SteadyState, CountsCompletionsOfTheWindowAndLatenciesOfItsArrivals) {
  const auto requests = EverySecond(200, [](int) { return 10.0; });
  const auto state = MeasureWindow(requests, 50, 150, {.output = 6, .rate = 1});
  EXPECT_DOUBLE_EQ(state.tput, 1);
  EXPECT_EQ(state.samples, 100);
  EXPECT_DOUBLE_EQ(state.e2e.p99, 10);
  EXPECT_DOUBLE_EQ(state.ttft.mean, 5);
  EXPECT_DOUBLE_EQ(state.tpot.mean, 1);
  EXPECT_DOUBLE_EQ(state.tt, 6);
  EXPECT_TRUE(state.sustained);
}

TEST(SteadyState, ABacklogThatGrowsIsSeenEvenIfItsRequestsNeverFinish) {
  const GridPoint point{.output = 6, .rate = 1};
  auto slower = EverySecond(400, [](int i) { return 1 + 0.5 * i; });
  EXPECT_FALSE(MeasureWindow(slower, 100, 400, point).sustained);
  EXPECT_TRUE(BacklogGrew(slower, 100, 400, 1, 0.25));
  EXPECT_FALSE(BacklogGrew(slower, 100, 400, 1, 0.6));
  for (auto& request : slower) request.finished = kNever;
  const Measurement stuck = MeasureWindow(slower, 100, 400, point);
  EXPECT_FALSE(stuck.sustained);
  EXPECT_EQ(stuck.samples, 0);
  EXPECT_TRUE(std::isnan(stuck.e2e.mean));
}

}  // namespace
}  // namespace headrace::benchmark
