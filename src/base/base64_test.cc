#include "base/base64.h"

#include <gtest/gtest.h>

namespace headrace {
namespace {

TEST(Base64, DecodesWhatOthersEncode) {
  EXPECT_EQ(Base64Decoded(""), "");
  EXPECT_EQ(Base64Decoded("Zg=="), "f");
  EXPECT_EQ(Base64Decoded("Zm9v\nYmFy"), "foobar");
  EXPECT_EQ(Base64Decoded("/+8A"), std::string("\xff\xef\0", 3));
  EXPECT_EQ(Base64Decoded("a-b"), std::nullopt);
}

}  // namespace
}  // namespace headrace
