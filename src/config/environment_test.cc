#include "config/environment.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace headrace::config {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

std::string Expanded(std::string_view text) {
  const auto expanded = Expand(text, [](const std::string& name) -> std::optional<std::string> {
    if (name == "HOST") return "engine-1";
    if (name == "PORT_2") return "8002";
    if (name == "EMPTY") return "";
    if (name == "ODD") return "${HOST} [a: b]";
    if (name == "LONG") return std::string(65'000, 'x');
    return std::nullopt;
  });
  return expanded ? *expanded : "fault: " + expanded.error().message;
}

TEST(Environment, NamesBecomeValues) {
  EXPECT_EQ(Expanded("${HOST}:${PORT_2}"), "engine-1:8002");
  EXPECT_EQ(Expanded("$HOST {HOST} $ {} $"), "$HOST {HOST} $ {} $");
  EXPECT_EQ(Expanded("${ODD}"), "${HOST} [a: b]") << "a value is text";
  EXPECT_EQ(Expanded("${EMPTY}"), "");
}

TEST(Environment, ADefaultStandsForWhatIsNotSetOrEmpty) {
  EXPECT_EQ(Expanded("${HOST:-other}"), "engine-1");
  EXPECT_EQ(Expanded("${NONE:-other:80}"), "other:80");
  EXPECT_EQ(Expanded("${EMPTY:-other}"), "other");
  EXPECT_EQ(Expanded("${NONE:-}"), "");
}

TEST(Environment, TwoDollarsAreOne) {
  EXPECT_EQ(Expanded("$${HOST} and ${HOST}"), "${HOST} and engine-1");
  EXPECT_EQ(Expanded("$${NONE"), "${NONE");
}

TEST(Environment, WhatIsNotSetIsAFault) {
  EXPECT_EQ(Expanded("x${NONE}"),
            "fault: names the environment variable NONE, which is not set; set it, or write "
            "`${NONE:-default}` with a value for this case");
  for (const char* text : {"${", "${}", "${HOST", "${A B}", "${1}", "${:-x}", "${HOST-x}"}) {
    EXPECT_THAT(Expanded(text), HasSubstr("write `${NAME}` or `${NAME:-default}`")) << text;
  }
  EXPECT_THAT(Expanded("${LONG}${LONG}"), AllOf(HasSubstr("64 KiB"), Not(HasSubstr("xxx"))));
}

}  // namespace
}  // namespace headrace::config
