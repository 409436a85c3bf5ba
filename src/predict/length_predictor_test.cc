#include "predict/length_predictor.h"

#include <gmock/gmock.h>

#include <set>

namespace headrace::predict {
namespace {

using Summary = LengthOptions::Summary;

LengthOptions With(Summary summary, double quantile = 0.9) {
  LengthOptions options;
  options.summary = summary;
  options.quantile = quantile;
  return options;
}

TEST(LengthPredictor, ColdStartTakesTheBestEvidenceAndNeverOneToken) {
  Rng rng(1);
  LengthOptions options;
  LengthPredictor none(options);
  EXPECT_EQ(none.Predict(0, 100, std::nullopt, 0, rng).source, LengthSource::kDefault);
  EXPECT_GT(none.Predict(0, 100, std::nullopt, 0, rng).tokens, 1);
  EXPECT_EQ(none.Predict(0, 100, 77, 0, rng).tokens, 77);
  EXPECT_EQ(none.Predict(0, 100, 77, 0, rng).source, LengthSource::kMaxTokens);
  EXPECT_EQ(none.Predict(0, 100, 4096, 32, rng).tokens, 32);
  EXPECT_EQ(none.Predict(0, 100, 4096, 32, rng).source, LengthSource::kProfile);
  EXPECT_EQ(none.Predict(0, 100, 16, 32, rng).tokens, 16);
  options.prior = 200;
  LengthPredictor prior(options);
  EXPECT_EQ(prior.Predict(0, 100, 4096, 32, rng).tokens, 200);
  EXPECT_EQ(prior.Predict(0, 100, 50, 32, rng).tokens, 50);
}

TEST(LengthPredictor, LearnsPerPromptSize) {
  Rng rng(1);
  LengthPredictor predictor(With(Summary::kMean));
  for (int i = 0; i < 100; ++i) {
    predictor.Record(i * 0.1, 4000, 40);
    predictor.Record(i * 0.1, 100, 300);
  }
  EXPECT_EQ(predictor.Predict(11, 4100, 2000, 0, rng).tokens, 40);
  EXPECT_EQ(predictor.Predict(11, 100, 2000, 0, rng).tokens, 300);
  EXPECT_EQ(predictor.Predict(11, 100, 2000, 0, rng).source, LengthSource::kObserved);
  // A size never seen takes the nearest ones.
  EXPECT_EQ(predictor.Predict(11, 30'000, 2000, 0, rng).tokens, 40);
  // The request's own limit always holds.
  EXPECT_EQ(predictor.Predict(11, 100, 64, 0, rng).tokens, 64);
}

TEST(LengthPredictor, SummariesOfOneDistribution) {
  Rng rng(1);
  LengthPredictor quantile(With(Summary::kQuantile, 0.9));
  LengthPredictor sample(With(Summary::kSample));
  for (int i = 0; i < 100; ++i) {
    const Tokens length = i < 80 ? 16 : 512;
    quantile.Record(0, 100, length);
    sample.Record(0, 100, length);
  }
  EXPECT_EQ(quantile.Predict(0, 100, std::nullopt, 0, rng).tokens, 512);
  int longs = 0;
  std::set<Tokens> seen;
  for (int i = 0; i < 2000; ++i) {
    const Tokens tokens = sample.Predict(0, 100, std::nullopt, 0, rng).tokens;
    seen.insert(tokens);
    longs += tokens == 512;
  }
  EXPECT_THAT(seen, testing::ElementsAre(16, 512));
  EXPECT_NEAR(longs, 400, 80);
}

TEST(LengthPredictor, ForgetsWhatLeftTheWindow) {
  Rng rng(1);
  LengthOptions options = With(Summary::kMean);
  options.window = 60;
  LengthPredictor predictor(options);
  for (int i = 0; i < 50; ++i) predictor.Record(5, 100, 1000);
  for (int i = 0; i < 50; ++i) predictor.Record(50, 100, 10);
  EXPECT_EQ(predictor.Predict(55, 100, std::nullopt, 0, rng).tokens, 505);
  EXPECT_EQ(predictor.Predict(75, 100, std::nullopt, 0, rng).tokens, 10);
  EXPECT_EQ(predictor.samples(), 50);
  EXPECT_EQ(predictor.Predict(1000, 100, std::nullopt, 0, rng).source, LengthSource::kDefault);
  EXPECT_EQ(predictor.samples(), 0);
}

TEST(LengthPredictor, OneWrongCountIsBounded) {
  Rng rng(1);
  for (const Summary summary : {Summary::kMean, Summary::kQuantile}) {
    LengthPredictor predictor(With(summary));
    for (int i = 0; i < 200; ++i) predictor.Record(0, 100, 300);
    predictor.Record(0, 100, 2'000'000'000);
    EXPECT_LE(predictor.Predict(1, 100, std::nullopt, 0, rng).tokens, 330);
    // Responses that are that long are believed after a few.
    for (int i = 0; i < 200; ++i) predictor.Record(1, 100, 100'000);
    EXPECT_GT(predictor.Predict(2, 100, std::nullopt, 0, rng).tokens, 40'000);
  }
}

}  // namespace
}  // namespace headrace::predict
