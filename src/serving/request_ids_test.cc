#include "serving/request_ids.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

namespace headrace::serving {
namespace {

RequestIds Seeded(std::vector<std::uint32_t> words) {
  return RequestIds([words, next = std::size_t{0}]() mutable { return words.at(next++); });
}

// Replicas whose seeds agreed in 32 bits repeated each other's ids.
TEST(RequestIds, DifferWhereverTheirEntropyDiffers) {
  std::set<std::string> ids{Seeded({1, 2, 3, 4}).Next()};
  for (std::size_t word = 0; word < 4; ++word) {
    std::vector<std::uint32_t> words{1, 2, 3, 4};
    words[word] ^= 1;
    EXPECT_TRUE(ids.insert(Seeded(words).Next()).second) << "word " << word << " has no effect";
  }
}

TEST(RequestIds, AreThirtyTwoDigitsThatDoNotRepeat) {
  RequestIds ids;
  RequestIds others;
  std::set<std::string> seen;
  for (int i = 0; i < 1000; ++i) {
    EXPECT_TRUE(seen.insert(ids.Next()).second);
    EXPECT_TRUE(seen.insert(others.Next()).second);
  }
  EXPECT_EQ(seen.begin()->size(), 32);
}

TEST(RequestIds, AreAClientsOwnIfAPageCanNameThem) {
  for (const char* usable : {"a", "team/7", "a b", "...", "a..", "<b>", "%2e"}) {
    EXPECT_TRUE(UsableRequestId(usable)) << usable;
  }
  for (const char* none : {"", ".", "..", "a\n", "\xC3\xA9", "\x7F"}) {
    EXPECT_FALSE(UsableRequestId(none)) << none;
  }
}

}  // namespace
}  // namespace headrace::serving
