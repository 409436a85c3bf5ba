#include "openai/json_text.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>
#include <optional>

#include "base/random.h"

namespace headrace::openai {
namespace {

using ::testing::HasSubstr;

TEST(DecodedLength, IsWhatAParserGives) {
  for (const std::string text : {"", "plain", "a\nb\tc\"d\\e/f", "ünï", "日本語", "🙂 and 🙂",
                                 "\x01\x1f", "\\\\\\\"", "tail\\"}) {
    for (const bool ascii : {false, true}) {
      const std::string quoted = nlohmann::json(text).dump(-1, ' ', ascii);
      EXPECT_EQ(DecodedLength(std::string_view(quoted).substr(1, quoted.size() - 2)), text.size())
          << quoted;
    }
  }
  EXPECT_EQ(DecodedLength("\\/"), 1u);
  EXPECT_EQ(DecodedLength("\\u0041\\u00e4\\u20AC"), 1u + 2 + 3);
}

TEST(DecodedLength, RandomTextsAsAParserGives) {
  Rng rng(3);
  const std::string alphabet[] = {
      "a", "\\", "\"", "\n", "ä", "€", "🙂", "u", "0", "\x02", "some words without any escape"};
  for (int round = 0; round < 2000; ++round) {
    std::string text;
    // Long ones too: they are read in blocks.
    for (auto n = rng.Below(rng.Below(4) == 0 ? 300 : 30); n > 0; --n)
      text += alphabet[rng.Below(std::size(alphabet))];
    const std::string quoted = nlohmann::json(text).dump(-1, ' ', rng.Below(2) == 0);
    ASSERT_EQ(DecodedLength(std::string_view(quoted).substr(1, quoted.size() - 2)), text.size())
        << quoted;
  }
}

TEST(DecodedLength, BrokenEscapesAreReadWithinTheText) {
  for (const std::string text :
       {"\\", "\\u", "\\u12", "\\uZZZZ", "\\ud800", "\\ud800\\u0041", "\\ud83d\\ude4", "x\\"}) {
    EXPECT_LE(DecodedLength(text), text.size()) << text;
  }
}

TEST(DescribeJsonFault, SaysWhere) {
  EXPECT_THAT(DescribeJsonFault(R"({"model": "m" "x": 1})"), HasSubstr("at byte 1"));
  EXPECT_THAT(DescribeJsonFault("  "), HasSubstr("empty"));
  EXPECT_THAT(DescribeJsonFault(R"({"model": )"), HasSubstr("at byte 10"));
  EXPECT_THAT(DescribeJsonFault(std::string(5000, '[') + std::string(5000, ']')),
              HasSubstr("deep"));
}

TEST(JsonCursor, StepsOverValues) {
  JsonCursor cursor(R"( {"a" : [1, {"b": "]}\""}], "c":-12.5e3 ,"d":null,"e":"text"} )");
  ASSERT_TRUE(cursor.Take('{'));
  std::string_view key;
  ASSERT_TRUE(cursor.NextKey(key, true));
  EXPECT_EQ(key, "a");
  cursor.Skip();
  ASSERT_TRUE(cursor.NextKey(key, false));
  EXPECT_EQ(key, "c");
  EXPECT_EQ(cursor.Count(100), std::nullopt);
  ASSERT_TRUE(cursor.NextKey(key, false));
  cursor.Skip();
  ASSERT_TRUE(cursor.NextKey(key, false));
  EXPECT_EQ(cursor.String(), "text");
  EXPECT_FALSE(cursor.NextKey(key, false));
  EXPECT_TRUE(cursor.ok());
}

TEST(JsonCursor, CountsOnlyWhatIsACount) {
  const auto count = [](std::string_view json) {
    JsonCursor cursor(json);
    const std::optional<std::int64_t> number = cursor.Count(1'000'000);
    EXPECT_TRUE(cursor.Take(',')) << json;
    return number;
  };
  EXPECT_EQ(count("0,"), 0);
  EXPECT_EQ(count(" 12 ,"), 12);
  EXPECT_EQ(count("12.0,"), 12);
  EXPECT_EQ(count("1e3,"), 1000);
  EXPECT_EQ(count("1000000,"), 1'000'000);
  for (const std::string_view none :
       {"1000001,", "-1,", "1.5,", "1e400,", "-9223372036854775809,", "4294967301,", "null,",
        "\"12\",", "[1],", "{},", "12x,", "nan,", "inf,"}) {
    EXPECT_EQ(count(none), std::nullopt) << none;
  }
}

TEST(IsJsonNumber, JudgesTheWholeToken) {
  for (const std::string_view number : {"0", "-0", "12", "-1.5", "1e5", "1E+5", "0.1e-20"}) {
    EXPECT_TRUE(IsJsonNumber(number)) << number;
  }
  for (const std::string_view none :
       {"", "-", "+1", "01", "1.", ".5", "1e", "1e+", "12a", "1 2", "0x1", "1.2.3", "--1"}) {
    EXPECT_FALSE(IsJsonNumber(none)) << none;
  }
}

TEST(JsonCursor, EndsOnAnything) {
  Rng rng(11);
  const std::string_view alphabet("{}[]\",:\\ an1\0", 13);
  for (int round = 0; round < 20'000; ++round) {
    std::string text;
    for (auto n = rng.Below(20); n > 0; --n) text += alphabet[rng.Below(alphabet.size())];
    JsonCursor cursor(text);
    std::string_view key;
    if (cursor.Take('{')) {
      for (bool first = true; cursor.NextKey(key, first); first = false) cursor.Skip();
    } else {
      cursor.Skip();
    }
  }
}

TEST(FindValue, FindsKeysAndNotText) {
  const std::string_view json = R"({"text":"say \"usage\": {","usage" : {"a":1}})";
  const std::size_t at = FindValue(json, "\"usage\"");
  ASSERT_NE(at, json.npos);
  EXPECT_TRUE(json.substr(at).starts_with(R"({"a")"));
  EXPECT_EQ(FindValue(R"(["usage"])", "\"usage\""), std::string_view::npos);
  // Broken JSON is read alike wherever the reading begins.
  EXPECT_EQ(FindValue(R"({"a":"usage"usage":1})", "\"usage\""), 19u);
}

}  // namespace
}  // namespace headrace::openai
