#include "base/json_writer.h"

#include <gtest/gtest.h>

#include <limits>

namespace headrace {
namespace {

std::string Sample(JsonWriter::Layout layout) {
  JsonWriter json(layout);
  json.BeginObject().Member("name", "a \"b\"\n").Key("loads").BeginArray();
  json.Value(0.5).Value(std::numeric_limits<double>::quiet_NaN()).BeginObject().EndObject();
  return json.EndArray().Member("up", true).Key("more").Null().Member("n", -3).EndObject().Take();
}

TEST(JsonWriter, PutsCommasWhereTheyBelong) {
  EXPECT_EQ(Sample(JsonWriter::Layout::kCompact),
            R"({"name":"a \"b\"\n","loads":[0.5,null,{}],"up":true,"more":null,"n":-3})");
  EXPECT_EQ(
      Sample(JsonWriter::Layout::kSpaced),
      R"({"name": "a \"b\"\n", "loads": [0.5, null, {}], "up": true, "more": null, "n": -3})");
}

TEST(JsonWriter, WritesOneMemberPerLine) {
  EXPECT_EQ(Sample(JsonWriter::Layout::kLines), R"({
  "name": "a \"b\"\n",
  "loads": [
    0.5,
    null,
    {}
  ],
  "up": true,
  "more": null,
  "n": -3
})");
}

TEST(JsonWriter, BytesThatAreNotUtf8AreReplaced) {
  const auto written = [](std::string_view text) { return JsonWriter().Value(text).Take(); };
  EXPECT_EQ(written("\u00A2\u20AC\U0001F600"), "\"\u00A2\u20AC\U0001F600\"");
  EXPECT_EQ(written("a\xFF!"), "\"a\uFFFD!\"");
  EXPECT_EQ(written("\xE2\x82"), "\"\uFFFD\uFFFD\"") << "the end is missing";
  EXPECT_EQ(written("\xC0\xAF"), "\"\uFFFD\uFFFD\"") << "longer than needed";
  EXPECT_EQ(written("\xED\xA0\x80"), "\"\uFFFD\uFFFD\uFFFD\"") << "a surrogate";
}

TEST(JsonWriter, ControlCharactersAreEscapedAndUtf8IsKept) {
  EXPECT_EQ(JsonWriter().Value("\x01 é\\").Take(), "\"\\u0001 é\\\\\"");
  EXPECT_EQ(JsonWriter().Value("\u009B\u2028\u202E\u2066\x7F").Take(),
            "\"\\u009b\\u2028\\u202e\\u2066\\u007f\"");
}

}  // namespace
}  // namespace headrace
