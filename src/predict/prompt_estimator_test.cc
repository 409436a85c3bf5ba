#include "predict/prompt_estimator.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/random.h"

namespace headrace::predict {
namespace {

using Form = PromptSize::Form;

PromptSize Chat(std::int64_t bytes) { return {.form = Form::kChat, .bytes = bytes}; }

// One kind of text, through a template.
struct Text {
  double tokens_per_byte;
  double spread;  // Of the ratio from text to text.
  double constant = 25;

  Tokens Count(std::int64_t bytes, Rng& rng) const {
    const double ratio = tokens_per_byte * std::exp(spread * rng.Normal());
    return static_cast<Tokens>(constant + std::min(ratio, 1.0) * static_cast<double>(bytes));
  }
};
constexpr Text kEnglish{0.23, 0.1};
constexpr Text kCode{0.32, 0.2};
constexpr Text kChinese{0.35, 0.15};  // About one token per character of three bytes.
constexpr Text kBase64{0.75, 0.05};

std::int64_t AnySize(Rng& rng) {
  return static_cast<std::int64_t>(std::exp(2 + 8 * rng.Uniform()));  // 7 to 22,000.
}

// By which factor the estimate is off for a text, at worst in this share of the cases.
double OffBy(const PromptEstimator& estimator, const Text& text, double share, Rng& rng) {
  std::vector<double> off;
  for (int i = 0; i < 500; ++i) {
    const std::int64_t bytes = AnySize(rng);
    const double ratio = static_cast<double>(estimator.Estimate(Chat(bytes))) /
                         static_cast<double>(text.Count(bytes, rng));
    off.push_back(std::max(ratio, 1 / ratio));
  }
  std::ranges::sort(off);
  return off[static_cast<std::size_t>(share * 499)];
}

TEST(PromptEstimator, StartsAtFourBytesAToken) {
  const PromptEstimator estimator;
  EXPECT_EQ(estimator.Estimate(Chat(0)), 1);
  EXPECT_EQ(estimator.Estimate(Chat(400)), 100);
  EXPECT_EQ(estimator.Estimate({.bytes = 400, .token_ids = 30}), 130);
  EXPECT_EQ(estimator.Least({.token_ids = 30}), 30);
}

TEST(PromptEstimator, FindsSlopeAndTemplateOverhead) {
  Rng rng(2);
  PromptEstimator estimator;
  for (int i = 0; i < 3000; ++i) {
    const auto bytes = static_cast<std::int64_t>(20 + rng.Below(8000));
    estimator.Learn(Chat(bytes), static_cast<Tokens>(12 + static_cast<double>(bytes) / 2.5));
  }
  EXPECT_NEAR(estimator.line(Form::kChat).slope(), 0.4, 0.005);
  EXPECT_NEAR(estimator.line(Form::kChat).constant(), 12, 2);
  EXPECT_NEAR(estimator.Estimate(Chat(5000)), 2012, 20);
}

TEST(PromptEstimator, ShortChatsDoNotMakeLongPromptsLonger) {
  // "Hi" through a template: 24 tokens for two bytes.
  for (const int chats : {1, 10, 1000}) {
    PromptEstimator estimator;
    for (int i = 0; i < chats; ++i) estimator.Learn(Chat(2), 24);
    EXPECT_GE(estimator.Estimate(Chat(1000)), 200);
    EXPECT_LE(estimator.Estimate(Chat(1000)), 300);
    EXPECT_LE(estimator.Least(Chat(1000)), 70) << "nothing of this size was seen";
  }
}

TEST(PromptEstimator, LearnsALongTemplateFromShortChats) {
  PromptEstimator estimator;
  for (int i = 0; i < 20; ++i) estimator.Learn(Chat(40 + i), 3000 + i / 4);
  EXPECT_NEAR(estimator.Estimate(Chat(50)), 3000, 150);
  EXPECT_NEAR(estimator.Estimate(Chat(4000)), 4000, 400);
}

TEST(PromptEstimator, ManyPromptsOfOneSizeDoNotPushOutTheOthers) {
  Rng rng(3);
  PromptEstimator estimator;
  for (int i = 0; i < 200; ++i) {
    const std::int64_t bytes = AnySize(rng);
    estimator.Learn(Chat(bytes), kBase64.Count(bytes, rng));
  }
  for (int i = 0; i < 1500; ++i) estimator.Learn(Chat(2), 27);
  EXPECT_NEAR(estimator.Estimate(Chat(8000)), 6000, 600);
}

TEST(PromptEstimator, FollowsAChangeOfText) {
  PromptEstimator estimator;
  for (int i = 0; i < 2000; ++i) estimator.Learn(Chat(1000 + i % 7), 250);
  for (int i = 0; i < 100; ++i) estimator.Learn(Chat(1000 + i % 7), 500);
  EXPECT_NEAR(estimator.Estimate(Chat(1000)), 500, 25);
}

TEST(PromptEstimator, OneCountOfAnySizeMovesLittle) {
  Rng rng(4);
  for (const int before : {0, 1, 8, 200}) {
    for (const Tokens wrong : {1, 20'000, 33'000, 1'000'000, 2'147'483'647}) {
      for (const std::int64_t bytes : {1, 300, 20'000, 4'000'000}) {
        PromptEstimator estimator;
        for (int i = 0; i < before; ++i) {
          const std::int64_t size = AnySize(rng);
          estimator.Learn(Chat(size), kEnglish.Count(size, rng));
        }
        const PromptEstimator without = estimator;
        estimator.Learn(Chat(bytes), wrong);
        for (const std::int64_t size : {10, 1000, 100'000}) {
          const double then = without.Estimate(Chat(size));
          const double now = estimator.Estimate(Chat(size));
          const double allowed = before >= 200 ? 0.1 * then + 4 : 1.5 * then + 80;
          ASSERT_NEAR(now, then, allowed) << before << " " << wrong << " " << bytes << " " << size;
        }
      }
    }
  }
}

TEST(PromptEstimator, AThirdOfAllCountsMayBeWrong) {
  Rng rng(5);
  PromptEstimator estimator;
  for (int i = 0; i < 900; ++i) {
    const std::int64_t bytes = AnySize(rng);
    const Tokens count = kEnglish.Count(bytes, rng);
    estimator.Learn(Chat(bytes), i % 3 == 0 ? 10 * count : count);
  }
  EXPECT_LT(OffBy(estimator, kEnglish, 0.9, rng), 1.6);
}

TEST(PromptEstimator, StaysWithinWhatTokenizersDoWhateverItIsTaught) {
  Rng rng(6);
  for (int run = 0; run < 200; ++run) {
    PromptEstimator estimator;
    const std::uint64_t most_tokens = std::uint64_t{1} << rng.Below(31);
    for (int i = 0; i < 60; ++i) {
      const PromptSize size{.form = static_cast<Form>(rng.Below(3)),
                            .bytes = static_cast<std::int64_t>(rng.Next() >> (1 + rng.Below(62))),
                            .unsized_parts = static_cast<int>(rng.Below(3))};
      estimator.Learn(size, static_cast<Tokens>(rng.Below(most_tokens)));
      for (const std::int64_t bytes : {0, 1, 100, 10'000, 30'000'000}) {
        const PromptSize text{.form = size.form, .bytes = bytes};
        const Tokens tokens = estimator.Estimate(text);
        ASSERT_GE(tokens, bytes / 16);
        ASSERT_LE(static_cast<double>(tokens), 32'769 + static_cast<double>(bytes));
        ASSERT_LE(estimator.Least(text), tokens);
        ASSERT_GE(estimator.Least(text), PromptEstimator::Floor(text));
      }
    }
  }
}

// --- Texts of several kinds

TEST(PromptEstimator, IsCloseForEachKindOfTextAlone) {
  Rng rng(7);
  for (const Text& text : {kEnglish, kCode, kChinese, kBase64}) {
    PromptEstimator estimator;
    for (int i = 0; i < 300; ++i) {
      const std::int64_t bytes = AnySize(rng);
      estimator.Learn(Chat(bytes), text.Count(bytes, rng));
    }
    EXPECT_LT(OffBy(estimator, text, 0.5, rng), 1.15) << text.tokens_per_byte;
    EXPECT_LT(OffBy(estimator, text, 0.95, rng), 1.5) << text.tokens_per_byte;
  }
}

TEST(PromptEstimator, LiesBetweenTheKindsOfAMix) {
  Rng rng(8);
  PromptEstimator estimator;
  const Text kinds[] = {kEnglish, kEnglish, kCode, kChinese, kBase64};
  for (int i = 0; i < 1000; ++i) {
    const std::int64_t bytes = AnySize(rng);
    estimator.Learn(Chat(bytes), kinds[rng.Below(5)].Count(bytes, rng));
  }
  for (const Text& text : {kEnglish, kCode, kChinese}) {
    EXPECT_LT(OffBy(estimator, text, 0.9, rng), 1.8) << text.tokens_per_byte;
  }
  EXPECT_LT(OffBy(estimator, kBase64, 0.9, rng), 2.6);
  // Nothing is refused for being taken for the dense kind.
  EXPECT_LE(estimator.Least(Chat(10'000)), 2'300);
}

// --- What cannot be seen, and other forms

TEST(PromptEstimator, ImagesTeachNothingAboutText) {
  PromptEstimator estimator;
  for (int i = 0; i < 200; ++i) {
    estimator.Learn({.form = Form::kChat, .bytes = 40, .unsized_parts = 1}, 1210);
  }
  EXPECT_EQ(estimator.Estimate(Chat(400)), 100);
  const PromptSize two{.form = Form::kChat, .bytes = 40, .unsized_parts = 2};
  EXPECT_NEAR(estimator.Estimate(two), 2410, 5);
  EXPECT_LT(estimator.Least(two), 10) << "an image may be small";
}

TEST(PromptEstimator, OneWrongCountOfAnImageMovesLittle) {
  PromptEstimator estimator;
  const PromptSize image{.form = Form::kChat, .unsized_parts = 1};
  estimator.Learn(image, 1'000'000);
  EXPECT_LE(estimator.Estimate(image), 600);
  for (int i = 0; i < 20; ++i) estimator.Learn(image, 300);
  EXPECT_EQ(estimator.Estimate(image), 300);
  estimator.Learn(image, 1'000'000);
  EXPECT_EQ(estimator.Estimate(image), 300);
}

TEST(PromptEstimator, FormsAreApartAndBeginWithTheSlopeThatIsKnown) {
  PromptEstimator estimator;
  Rng rng(9);
  for (int i = 0; i < 200; ++i) {
    const std::int64_t bytes = AnySize(rng);
    estimator.Learn(Chat(bytes), kChinese.Count(bytes, rng));
  }
  const PromptSize tools{.form = Form::kTools, .bytes = 1000};
  EXPECT_NEAR(estimator.Estimate(tools), 350, 40);
  for (int i = 0; i < 50; ++i) estimator.Learn(tools, 700);
  EXPECT_NEAR(estimator.Estimate(tools), 700, 40);
  EXPECT_NEAR(estimator.Estimate(Chat(1000)), 375, 40);
}

TEST(PromptEstimator, EverySixteenthOfThoseThatAreRefusedIsTried) {
  PromptEstimator estimator;
  int tried = 0;
  for (int i = 0; i < 160; ++i) tried += estimator.Refused(Chat(1000)) ? 1 : 0;
  EXPECT_EQ(tried, 10);
  for (int i = 0; i < 160; ++i) {
    estimator.Learn(Chat(1000), 250);
    EXPECT_FALSE(estimator.Refused(Chat(1000))) << "prompts of this size do teach";
  }
}

}  // namespace
}  // namespace headrace::predict
