#include "predict/length_distribution.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/random.h"
#include "predict/length_predictor.h"

namespace headrace::predict {
namespace {

LengthDistribution Of(const std::vector<double>& lengths) {
  LengthDistribution::Counts counts{};
  for (const double length : lengths) {
    counts[static_cast<std::size_t>(LengthDistribution::BucketOf(length))] += 1;
  }
  return LengthDistribution(counts);
}

std::vector<double> Lognormal(int n, double median, double spread, Rng& rng) {
  std::vector<double> lengths;
  for (int i = 0; i < n; ++i) {
    lengths.push_back(std::max(1.0, std::round(median * std::exp(spread * rng.Normal()))));
  }
  return lengths;
}

TEST(LengthDistribution, BucketsAreInOrderAndContainTheirLengths) {
  for (int bucket = 0; bucket < LengthDistribution::kBuckets; ++bucket) {
    const double begin = LengthDistribution::BeginOf(bucket);
    const double end = LengthDistribution::BeginOf(bucket + 1);
    ASSERT_LT(begin, end);
    ASSERT_EQ(LengthDistribution::BucketOf(begin), bucket);
    ASSERT_EQ(LengthDistribution::BucketOf((begin + end) / 2), bucket);
  }
  EXPECT_EQ(LengthDistribution::BucketOf(0), 0);
  EXPECT_EQ(LengthDistribution::BucketOf(1e12), LengthDistribution::kBuckets - 1);
}

TEST(LengthDistribution, FollowsTheSamples) {
  Rng rng(7);
  const auto lengths = Lognormal(20'000, 200, 1, rng);
  const LengthDistribution distribution = Of(lengths);
  double before = 1;
  for (double length = 1; length < 20'000; length *= 1.07) {
    const auto longer = std::ranges::count_if(lengths, [&](double l) { return l >= length; });
    ASSERT_NEAR(distribution.AtLeast(length), static_cast<double>(longer) / 20'000, 0.012);
    ASSERT_LE(distribution.AtLeast(length), before);
    before = distribution.AtLeast(length);
  }
  double sum = 0;
  for (const double length : lengths) sum += length;
  EXPECT_NEAR(distribution.mean(), sum / 20'000, 0.03 * sum / 20'000);
  EXPECT_NEAR(distribution.Quantile(0.5), 200, 12);
}

TEST(LengthDistribution, WhatHasLastedLastsOn) {
  Rng rng(8);
  const auto lengths = Lognormal(20'000, 200, 1, rng);
  const LengthDistribution distribution = Of(lengths);
  for (const double generated : {1.0, 50.0, 200.0, 1000.0, 3000.0}) {
    double sum = 0;
    int count = 0;
    for (const double length : lengths) {
      if (length <= generated) continue;
      sum += std::min(length, 2000.0);
      ++count;
    }
    const double most = std::max(2000.0, generated + 1);
    ASSERT_GE(distribution.MeanBeyond(generated, most), generated + 1);
    if (generated < 2000) {
      ASSERT_NEAR(distribution.MeanBeyond(generated, most), sum / count, 0.05 * sum / count);
    }
  }
  EXPECT_EQ(distribution.MeanBeyond(1e9, 2e9), 1e9 + 1) << "longer than any length so far";
}

TEST(LengthPredictor, GivesTheDistributionOfPromptsOfThisSize) {
  LengthPredictor predictor({.window = 100});
  predictor.Distribution(0, 100, 0);
  for (int i = 0; i < 200; ++i) {
    predictor.Record(i * 0.1, 100, 300 + i % 7);
    predictor.Record(i * 0.1, 4000, 40 + i % 5);
  }
  EXPECT_NEAR(predictor.Distribution(20, 100, 0)->mean(), 303, 20);
  EXPECT_NEAR(predictor.Distribution(20, 4000, 0)->mean(), 42, 8);
  EXPECT_EQ(predictor.Distribution(20.1, 100, 0), predictor.Distribution(20.2, 100, 0))
      << "made anew for every request";
  // What is older than the window is forgotten, and the prior is back.
  EXPECT_GT(predictor.Distribution(500, 4000, 640)->mean(), 640);
}

TEST(LengthPredictor, KnowsSomethingBeforeTheFirstResponse) {
  LengthPredictor predictor({});
  EXPECT_NEAR(predictor.Distribution(0, 100, 0)->Quantile(0.5), 256, 15);
  EXPECT_NEAR(predictor.Distribution(0, 100, 64)->Quantile(0.5), 64, 5);
}

}  // namespace
}  // namespace headrace::predict
