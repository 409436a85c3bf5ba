#include "base/text.h"

#include <gtest/gtest.h>

namespace headrace {
namespace {

TEST(Excerpt, QuotesWhatMayBeQuoted) {
  EXPECT_EQ(Excerpt(""), "");
  EXPECT_EQ(Excerpt("plain, größer, 大, 🚀"), "plain, größer, 大, 🚀");
  EXPECT_EQ(Excerpt(std::string("a\0b\n\x7F", 5)), "a?b??");
  // Bytes that begin nothing, cut characters, overlong forms, surrogates, beyond the last one.
  EXPECT_EQ(Excerpt("\xff\x80 \xe5\xa4"), "?? ??");
  EXPECT_EQ(Excerpt("\xc0\xaf"), "??");
  EXPECT_EQ(Excerpt("\xed\xa0\x80"), "???");
  EXPECT_EQ(Excerpt("\xf4\x90\x80\x80"), "????");
}

TEST(Excerpt, IsShort) {
  EXPECT_EQ(Excerpt(std::string(80, 'x')), std::string(80, 'x'));
  EXPECT_EQ(Excerpt(std::string(81, 'x')), std::string(80, 'x') + "…");
  EXPECT_EQ(Excerpt(std::string(1'000'000, '\xff')), std::string(80, '?') + "…");
}

}  // namespace
}  // namespace headrace
