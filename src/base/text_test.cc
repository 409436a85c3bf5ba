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

TEST(Excerpt, QuotesNothingThatATerminalObeys) {
  // A command by U+009B, a line that ends by U+0085 or U+2028, a text that is turned.
  EXPECT_EQ(Excerpt("a\xc2\x9b"
                    "2Jb\xc2\x85"
                    "c\xe2\x80\xa8"
                    "d"),
            "a?2Jb?c?d");
  EXPECT_EQ(Excerpt("\xe2\x80\xae"
                    "txt\xe2\x81\xa6"
                    "x"),
            "?txt?x");
  // Their neighbours are plain text.
  EXPECT_EQ(Excerpt("\xc2\xa0\xe2\x80\xa7\xe2\x80\xaf\xe2\x81\xa5"),
            "\xc2\xa0\xe2\x80\xa7\xe2\x80\xaf\xe2\x81\xa5");
}

TEST(Excerpt, IsShort) {
  EXPECT_EQ(Excerpt(std::string(80, 'x')), std::string(80, 'x'));
  EXPECT_EQ(Excerpt(std::string(81, 'x')), std::string(80, 'x') + "…");
  EXPECT_EQ(Excerpt(std::string(1'000'000, '\xff')), std::string(80, '?') + "…");
}

}  // namespace
}  // namespace headrace
