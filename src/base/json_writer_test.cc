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

TEST(JsonWriter, ControlCharactersAreEscapedAndUtf8IsKept) {
  EXPECT_EQ(JsonWriter().Value("\x01 é\\").Take(), "\"\\u0001 é\\\\\"");
}

}  // namespace
}  // namespace headrace
