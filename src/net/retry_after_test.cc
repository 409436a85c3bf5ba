#include "net/retry_after.h"

#include <gtest/gtest.h>

#include <string>

namespace headrace::net {
namespace {

constexpr Seconds kNow = 784'111'777;  // Sun, 06 Nov 1994 08:49:37 GMT.

TEST(RetryAfter, Seconds) {
  EXPECT_EQ(ParseRetryAfter("0", kNow), 0);
  EXPECT_EQ(ParseRetryAfter("120", kNow), 120);
}

TEST(RetryAfter, Dates) {
  EXPECT_EQ(ParseRetryAfter("Sun, 06 Nov 1994 08:49:47 GMT", kNow), 10);
  EXPECT_EQ(ParseRetryAfter("Sunday, 06-Nov-94 08:50:37 GMT", kNow), 60);
  EXPECT_EQ(ParseRetryAfter("Sun Nov  6 08:49:38 1994", kNow), 1);
  EXPECT_EQ(ParseRetryAfter("Sun, 06 Nov 1994 08:49:27 GMT", kNow), 0) << "it is over";
}

TEST(RetryAfter, WhatIsNeitherIsIgnored) {
  for (const char* value : {"", " ", "-1", "1.5", "soon", "1e9", "99999999999", "5 s", "+5",
                            "Sun, 06 Nov 1994 08:49:47 CET", "Sun, 99 Nov 1994 08:49:47 GMT"}) {
    EXPECT_EQ(ParseRetryAfter(value, kNow), 0) << value;
  }
  EXPECT_EQ(ParseRetryAfter(std::string("5\0", 2), kNow), 0);
}

}  // namespace
}  // namespace headrace::net
