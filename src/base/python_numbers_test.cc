#include "base/python_numbers.h"

#include <gtest/gtest.h>

namespace headrace {
namespace {

TEST(PythonNumbers, BecomeNullOutsideStrings) {
  EXPECT_EQ(NullForBareNumbers(R"({"a": NaN, "b": [-Infinity, Infinity], "NaN": 1})"),
            R"({"a": null, "b": [null, null], "NaN": 1})");
  EXPECT_EQ(NullForBareNumbers(R"(["say \"NaN\"", "\\", NaN])"), R"(["say \"NaN\"", "\\", null])");
}

TEST(PythonNumbers, ATextWithoutThemStaysAsItIs) {
  for (const char* text : {"", "{\"a\": 1}", R"("NaN \")", R"(["Infinity", "a\)"}) {
    EXPECT_EQ(NullForBareNumbers(text), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace headrace
