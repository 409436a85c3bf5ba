#include "base/duration.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace headrace {
namespace {

TEST(Duration, IsReadExactly) {
  EXPECT_EQ(ParseDuration("50ms").value(), 0.05);
  EXPECT_EQ(ParseDuration("40ms").value(), 0.04);
  EXPECT_EQ(ParseDuration("2s").value(), 2);
  EXPECT_EQ(ParseDuration("1.5 s").value(), 1.5);
  EXPECT_EQ(ParseDuration("10m").value(), 600);
  EXPECT_EQ(ParseDuration("2h").value(), 7200);
  EXPECT_EQ(ParseDuration("1d").value(), 86400);
  EXPECT_EQ(ParseDuration("250us").value(), 250e-6);
  EXPECT_EQ(ParseDuration("0").value(), 0);
}

TEST(Duration, MayHaveSeveralParts) {
  EXPECT_EQ(ParseDuration("1h30m").value(), 5400);
  EXPECT_EQ(ParseDuration("1d 2h 3m").value(), 86400 + 7200 + 180);
  EXPECT_EQ(ParseDuration("1s500ms").value(), 1.5);
  for (const char* text : {"30m1h", "1h1h", "1h30", "1h 30", "1h30m ", "1h  30m"}) {
    EXPECT_FALSE(ParseDuration(text)) << text;
  }
}

TEST(Duration, OtherTextsAreRefused) {
  for (const char* text :
       {"", " ", "s", "ms50", "-1s", "1 2s", "nan s", "1e3s", "inf", "infs", "1s "}) {
    const auto duration = ParseDuration(text);
    ASSERT_FALSE(duration) << text;
    EXPECT_EQ(duration.error().message, "is not a duration; write it like 50ms, 2s or 1h30m");
  }
  // What is meant is plain.
  EXPECT_EQ(ParseDuration("1sec").error().message, "is not a duration; write `1s`");
  EXPECT_EQ(ParseDuration("5S").error().message, "is not a duration; write `5s`");
  EXPECT_EQ(ParseDuration("50").error().message, "has no unit; write 50ms, 50s or 50m");
}

TEST(Duration, IsWrittenInTheLargestWholeUnit) {
  EXPECT_EQ(WriteDuration(0), "0");
  EXPECT_EQ(WriteDuration(0.05), "50ms");
  EXPECT_EQ(WriteDuration(1.5), "1500ms");
  EXPECT_EQ(WriteDuration(600), "10m");
  EXPECT_EQ(WriteDuration(86400), "1d");
  EXPECT_EQ(WriteDuration(86400 * 1e5), "100000d");
  EXPECT_EQ(WriteDuration(1e-9), "0");
}

TEST(Duration, WhatIsWrittenReadsBackAsTheSame) {
  Rng rng(7);
  for (int i = 0; i < 20'000; ++i) {
    const Seconds seconds = static_cast<double>(rng.Below(1'000'000'000)) / 1e6;
    EXPECT_EQ(ParseDuration(WriteDuration(seconds)).value(), seconds);
  }
}

}  // namespace
}  // namespace headrace
