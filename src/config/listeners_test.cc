#include "config/listeners.h"

#include <gtest/gtest.h>

namespace headrace::config {
namespace {

TEST(Listeners, CollideOnOnePortOfAddressesThatOverlap) {
  for (const auto& [a, b] : {std::pair{"0.0.0.0:80", "127.0.0.1:80"},
                             {":80", "127.0.0.1:80"},
                             {":80", "0.0.0.0:80"},
                             {"[::]:80", "127.0.0.1:80"},
                             {"[::]:80", ":80"},
                             {"[::]:80", "[::1]:80"},
                             {"localhost:80", "127.0.0.1:80"},
                             {"[::0]:80", "10.0.0.7:80"},
                             {"a:80", "a:80"}}) {
    EXPECT_TRUE(Collide(a, b)) << a << " " << b;
    EXPECT_TRUE(Collide(b, a)) << a << " " << b;
  }
  for (const auto& [a, b] : {std::pair{":80", "127.0.0.1:81"},
                             {":0", ":0"},
                             {"127.0.0.1:80", "127.0.0.2:80"},
                             {"127.0.0.1:80", "[::1]:80"},
                             {"0.0.0.0:80", "[::1]:80"},
                             {"a:80", "b:80"},
                             {":80", "a:80"}}) {
    EXPECT_FALSE(Collide(a, b)) << a << " " << b;
    EXPECT_FALSE(Collide(b, a)) << a << " " << b;
  }
}

TEST(Listeners, AreReachedWhereTheyAreForSure) {
  for (const auto& [endpoint, listener] : {std::pair{"127.0.0.1:80", ":80"},
                                           {"localhost:80", "127.0.0.1:80"},
                                           {"localhost:80", "[::]:80"},
                                           {"0.0.0.0:80", "127.0.0.1:80"},
                                           {"[::1]:80", "[::]:80"},
                                           {"10.0.0.7:80", "10.0.0.7:80"},
                                           {"gateway:80", "gateway:80"}}) {
    EXPECT_TRUE(Reaches(endpoint, listener)) << endpoint << " " << listener;
  }
  for (const auto& [endpoint, listener] : {std::pair{"127.0.0.1:81", ":80"},
                                           {"10.0.0.7:80", ":80"},
                                           {"engine-1:80", ":80"},
                                           {"127.0.0.2:80", "127.0.0.1:80"},
                                           {"[::1]:80", "0.0.0.0:80"},
                                           {"127.0.0.1:80", "10.0.0.7:80"},
                                           {"localhost:0", "localhost:0"}}) {
    EXPECT_FALSE(Reaches(endpoint, listener)) << endpoint << " " << listener;
  }
}

}  // namespace
}  // namespace headrace::config
