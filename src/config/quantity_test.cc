#include "config/quantity.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/random.h"

namespace headrace::config {
namespace {

TEST(Quantity, ReadsDurationsExactly) {
  EXPECT_EQ(ParseDuration("50ms").value(), 0.05);
  EXPECT_EQ(ParseDuration("40ms").value(), 0.04);
  EXPECT_EQ(ParseDuration("2s").value(), 2);
  EXPECT_EQ(ParseDuration("1.5 s").value(), 1.5);
  EXPECT_EQ(ParseDuration("10m").value(), 600);
  EXPECT_EQ(ParseDuration("2h").value(), 7200);
  EXPECT_EQ(ParseDuration("1d").value(), 86400);
  EXPECT_EQ(ParseDuration("7us").value(), 7e-6);
  EXPECT_EQ(ParseDuration("0").value(), 0);
}

TEST(Quantity, RefusesWhatIsNoDuration) {
  for (const char* text : {"", "s", "ms50", "-1s", "1 2s", "1sec", "nan s", "1e3s", "5S", "inf"}) {
    EXPECT_FALSE(ParseDuration(text)) << text;
  }
}

TEST(Quantity, AsksForTheUnitOfADuration) {
  EXPECT_EQ(ParseDuration("50").error().message, "has no unit; write 50ms, 50s or 50m");
}

TEST(Quantity, ReadsSizes) {
  EXPECT_EQ(ParseSize("64KiB").value(), 65536U);
  EXPECT_EQ(ParseSize("1.5MiB").value(), 1572864U);
  EXPECT_EQ(ParseSize("1GiB").value(), 1073741824U);
  EXPECT_EQ(ParseSize("100").value(), 100U);
}

TEST(Quantity, RefusesWhatIsNoSize) {
  for (const char* text : {"", "MiB", "32MB", "32M", "-1", "0.3B", "9999999TiB"}) {
    EXPECT_FALSE(ParseSize(text)) << text;
  }
}

TEST(Quantity, ReadsSharesInBothForms) {
  EXPECT_EQ(ParseShare("0.9").value(), 0.9);
  EXPECT_EQ(ParseShare("90%").value(), 0.9);
  EXPECT_FALSE(ParseShare("90 percent"));
}

TEST(Quantity, RefusesWhatIsNoWholeNumber) {
  EXPECT_EQ(ParseInteger("-12").value(), -12);
  for (const char* text : {"", "1.5", "0x10", "10 ", "99999999999999999999"}) {
    EXPECT_FALSE(ParseInteger(text)) << text;
  }
}

TEST(Quantity, PrintsInTheLargestWholeUnit) {
  EXPECT_EQ(WriteDuration(0), "0");
  EXPECT_EQ(WriteDuration(0.05), "50ms");
  EXPECT_EQ(WriteDuration(1.5), "1500ms");
  EXPECT_EQ(WriteDuration(600), "10m");
  EXPECT_EQ(WriteDuration(86400), "1d");
  EXPECT_EQ(WriteSize(0), "0");
  EXPECT_EQ(WriteSize(32 << 20), "32MiB");
  EXPECT_EQ(WriteSize(1500), "1500B");
}

TEST(Quantity, WhatIsPrintedReadsBackAsTheSame) {
  Rng rng(7);
  for (int i = 0; i < 20'000; ++i) {
    const Seconds seconds = static_cast<double>(rng.Below(1'000'000'000)) / 1e6;
    EXPECT_EQ(ParseDuration(WriteDuration(seconds)).value(), seconds);
    const std::uint64_t bytes = rng.Below(std::uint64_t{1} << (1 + rng.Below(50)));
    EXPECT_EQ(ParseSize(WriteSize(bytes)).value(), bytes);
  }
}

}  // namespace
}  // namespace headrace::config
