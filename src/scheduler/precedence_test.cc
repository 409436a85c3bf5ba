#include "scheduler/precedence.h"

#include <gtest/gtest.h>

namespace headrace::scheduler {
namespace {

WaitingHead Head(Seconds arrived, int standing = 0, std::uint32_t kind = 7) {
  return {.standing = standing, .kind = kind, .arrived = arrived};
}

TEST(Precedence, TheOlderOneOfAKindGoesFirst) {
  Precedence precedence;
  EXPECT_FALSE(precedence.IsAfterAnother(Head(10), 10));
  precedence.Set(std::vector{Head(8), Head(5), Head(1, 0, 9)}, 10);
  EXPECT_TRUE(precedence.IsAfterAnother(Head(6), 10));
  EXPECT_FALSE(precedence.IsAfterAnother(Head(4), 10));
  EXPECT_FALSE(precedence.IsAfterAnother(Head(5.1), 10)) << "of the same age";
  EXPECT_FALSE(precedence.IsAfterAnother(Head(6, 0, 8), 10)) << "of another kind";
  precedence.Set({}, 11);
  EXPECT_FALSE(precedence.IsAfterAnother(Head(6), 11)) << "it has gone";
}

TEST(Precedence, AHigherStandingGoesFirstWhateverItsAge) {
  Precedence precedence;
  precedence.Set(std::vector{Head(8, 2)}, 10);
  EXPECT_TRUE(precedence.IsAfterAnother(Head(1, 1), 10));
  EXPECT_FALSE(precedence.IsAfterAnother(Head(9, 3), 10));
}

// Of two replicas each hears of the other's head as it was: never may both wait for the other one.
TEST(Precedence, TwoNeverWaitForEachOther) {
  Precedence one;
  Precedence two;
  for (int i = 0; i < 200; ++i) {
    const Seconds now = 100 + 0.05 * i;
    const Seconds mine = 90 + 0.05 * i;
    const Seconds other = mine + 0.01;
    one.Set(std::vector{Head(other + 0.02)}, now);  // By how long the news took.
    two.Set(std::vector{Head(mine + 0.02)}, now);
    EXPECT_FALSE(one.IsAfterAnother(Head(mine), now) && two.IsAfterAnother(Head(other), now)) << i;
  }
}

TEST(Precedence, OneThatIsStuckHoldsUpNobodyForLong) {
  Precedence precedence;
  for (Seconds now = 10; now < 10 + Precedence::kLongest; now += 1) {
    precedence.Set(std::vector{Head(5 + 0.001 * now)}, now);  // News do not take equally long.
    EXPECT_TRUE(precedence.IsAfterAnother(Head(6), now));
  }
  EXPECT_FALSE(precedence.IsAfterAnother(Head(6), 11 + Precedence::kLongest));
  precedence.Set(std::vector{Head(5.5)}, 50);
  EXPECT_TRUE(precedence.IsAfterAnother(Head(6), 50)) << "it moves again";
}

}  // namespace
}  // namespace headrace::scheduler
