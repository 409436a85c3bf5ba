#include "config/quantity.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/random.h"

namespace headrace::config {
namespace {

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
  EXPECT_EQ(WriteSize(0), "0");
  EXPECT_EQ(WriteSize(32 << 20), "32MiB");
  EXPECT_EQ(WriteSize(1500), "1500B");
}

TEST(Quantity, WhatIsPrintedReadsBackAsTheSame) {
  Rng rng(7);
  for (int i = 0; i < 20'000; ++i) {
    const std::uint64_t bytes = rng.Below(std::uint64_t{1} << (1 + rng.Below(50)));
    EXPECT_EQ(ParseSize(WriteSize(bytes)).value(), bytes);
  }
}

}  // namespace
}  // namespace headrace::config
