#include "base/token_range.h"

#include <gtest/gtest.h>

namespace headrace {
namespace {

TEST(TokenRange, IsReadInEverySpelling) {
  EXPECT_EQ(ParseTokenRange("500"), (TokenRange{500, 500}));
  EXPECT_EQ(ParseTokenRange("4000-4600"), (TokenRange{4000, 4600}));
  EXPECT_EQ(ParseTokenRange("4000 to 4600"), (TokenRange{4000, 4600}));
  EXPECT_EQ(ParseTokenRange(" 32 - 64 "), (TokenRange{32, 64}));
  EXPECT_EQ(ParseTokenRange("7  to  7"), (TokenRange{7, 7}));
}

TEST(TokenRange, OtherTextsAreRefused) {
  for (const char* text : {"", "-", "0", "-5", "9-3", "0-3", "3-", "3 to", "3 to 1", "1.5", "1e3",
                           "3 4", "3-4-5", "many", "99999999999", "1 to 99999999999"}) {
    const auto range = ParseTokenRange(text);
    ASSERT_FALSE(range) << text;
    EXPECT_EQ(range.error().message, "is not a number of tokens; write it like 500 or 4000-4600");
  }
}

}  // namespace
}  // namespace headrace
