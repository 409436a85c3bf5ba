#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <vector>

#include "base/histogram.h"
#include "base/indexed_heap.h"
#include "base/log2_bucket.h"
#include "base/random.h"

namespace headrace {
namespace {

TEST(Log2Bucket, AgreesWithRoundedLogarithm) {
  EXPECT_EQ(Log2Bucket(-5), 0);
  EXPECT_EQ(Log2Bucket(0), 0);
  for (Tokens n = 1; n < 200'000; ++n) {
    ASSERT_EQ(Log2Bucket(n), static_cast<int>(std::lround(std::log2(n)))) << n;
  }
  EXPECT_EQ(Log2Bucket(std::numeric_limits<Tokens>::max()), 31);
}

TEST(Rng, SameSeedSameDraws) {
  Rng a(7);
  Rng b(7);
  Rng c(8);
  bool differs = false;
  for (int i = 0; i < 100; ++i) {
    const auto draw = a.Next();
    EXPECT_EQ(draw, b.Next());
    differs |= draw != c.Next();
  }
  EXPECT_TRUE(differs);
}

TEST(Rng, DistributionsHaveTheirMoments) {
  Rng rng(1);
  constexpr int kDraws = 200'000;
  const auto moments = [&](auto draw) {
    double sum = 0;
    double squares = 0;
    for (int i = 0; i < kDraws; ++i) {
      const double x = draw();
      sum += x;
      squares += x * x;
    }
    const double mean = sum / kDraws;
    return std::pair(mean, std::sqrt(squares / kDraws - mean * mean));
  };
  const auto [uniform_mean, uniform_sd] = moments([&] { return rng.Uniform(); });
  EXPECT_NEAR(uniform_mean, 0.5, 0.01);
  EXPECT_NEAR(uniform_sd, std::sqrt(1.0 / 12), 0.01);
  const auto [exp_mean, exp_sd] = moments([&] { return rng.Exponential(3); });
  EXPECT_NEAR(exp_mean, 3, 0.05);
  EXPECT_NEAR(exp_sd, 3, 0.05);
  const auto [normal_mean, normal_sd] = moments([&] { return rng.Normal(); });
  EXPECT_NEAR(normal_mean, 0, 0.02);
  EXPECT_NEAR(normal_sd, 1, 0.02);
  // CV 4 ⇔ shape 1/16; mean = shape·scale.
  const auto [gamma_mean, gamma_sd] = moments([&] { return rng.Gamma(1.0 / 16, 16); });
  EXPECT_NEAR(gamma_mean, 1, 0.1);
  EXPECT_NEAR(gamma_sd, 4, 0.4);
  const auto [below_mean, below_sd] = moments([&] { return static_cast<double>(rng.Below(10)); });
  EXPECT_NEAR(below_mean, 4.5, 0.05);
  EXPECT_NEAR(below_sd, std::sqrt(99.0 / 12), 0.05);
}

TEST(Histogram, QuantilesAreWithinHalfAPercent) {
  Rng rng(3);
  Histogram histogram;
  std::vector<double> exact;
  for (int i = 0; i < 50'000; ++i) {
    const double value = rng.Gamma(0.5, 4) + 1e-5;
    histogram.Add(value);
    exact.push_back(value);
  }
  std::sort(exact.begin(), exact.end());
  for (const double q : {0.01, 0.5, 0.9, 0.99, 0.999, 1.0}) {
    const auto rank = static_cast<std::size_t>(std::ceil(q * static_cast<double>(exact.size())));
    EXPECT_NEAR(histogram.Quantile(q) / exact[rank - 1], 1, 0.005) << q;
  }
  EXPECT_NEAR(histogram.ShareAtMost(exact[25'000]), 0.5, 0.01);
}

TEST(Histogram, EmptyAnswersZeroAndMergeAdds) {
  Histogram a;
  EXPECT_EQ(a.Quantile(0.5), 0);
  EXPECT_EQ(a.Mean(), 0);
  Histogram b;
  b.Add(2);
  b.AddMany(4, 3);
  a.Merge(b);
  EXPECT_EQ(a.count(), 4);
  EXPECT_EQ(a.Mean(), 3.5);
  EXPECT_EQ(a.max(), 4);
}

TEST(Histogram, ValuesOutOfRangeAreCountedAtTheEnds) {
  Histogram histogram;
  histogram.Add(0);
  histogram.Add(-1);
  histogram.Add(1e30);
  EXPECT_EQ(histogram.count(), 3);
  EXPECT_LT(histogram.Quantile(0.5), 1e-5);
}

TEST(IndexedHeap, BehavesAsAnOrderedMapUnderRandomChanges) {
  Rng rng(11);
  IndexedHeap<double> heap;
  std::map<std::uint32_t, double> model;
  for (int i = 0; i < 20'000; ++i) {
    const auto id = static_cast<std::uint32_t>(rng.Below(200));
    if (rng.Below(3) == 0) {
      heap.Erase(id);
      model.erase(id);
    } else {
      const double key = rng.Uniform();
      heap.Set(id, key);
      model[id] = key;
    }
    ASSERT_EQ(heap.size(), model.size());
    ASSERT_EQ(heap.Contains(id), model.contains(id));
    if (model.empty()) continue;
    const auto least = std::min_element(model.begin(), model.end(),
                                        [](auto& a, auto& b) { return a.second < b.second; });
    ASSERT_EQ(heap.top_key(), least->second);
    ASSERT_EQ(heap.top(), least->first);
  }
}

}  // namespace
}  // namespace headrace
