#include "scheduler/precedence.h"

#include <gtest/gtest.h>

namespace headrace::scheduler {
namespace {

WaitingHead Head(Seconds arrived, int standing = 0, std::uint32_t kind = 7) {
  return {.standing = standing, .kind = kind, .arrived = arrived};
}

TEST(Precedence, TheOlderOneOfAKindGoesFirst) {
  Precedence precedence;
  EXPECT_FALSE(precedence.IsAfterAnother(Head(10)));
  precedence.Set(std::vector{Head(8), Head(5), Head(1, 0, 9)});
  EXPECT_TRUE(precedence.IsAfterAnother(Head(6)));
  EXPECT_FALSE(precedence.IsAfterAnother(Head(4)));
  EXPECT_FALSE(precedence.IsAfterAnother(Head(5.1))) << "of the same age";
  EXPECT_FALSE(precedence.IsAfterAnother(Head(6, 0, 8))) << "of another kind";
  precedence.Set({});
  EXPECT_FALSE(precedence.IsAfterAnother(Head(6))) << "it has gone";
}

TEST(Precedence, AHigherStandingGoesFirstWhateverItsAge) {
  Precedence precedence;
  precedence.Set(std::vector{Head(8, 2)});
  EXPECT_TRUE(precedence.IsAfterAnother(Head(1, 1)));
  EXPECT_FALSE(precedence.IsAfterAnother(Head(9, 3)));
}

// Of two replicas each hears of the other's head as it was: never may both wait for the other one.
TEST(Precedence, TwoNeverWaitForEachOther) {
  Precedence one;
  Precedence two;
  for (int i = 0; i < 200; ++i) {
    const Seconds mine = 90 + 0.05 * i;
    const Seconds other = mine + 0.01;
    one.Set(std::vector{Head(other + 0.02)});  // By how long the news took.
    two.Set(std::vector{Head(mine + 0.02)});
    EXPECT_FALSE(one.IsAfterAnother(Head(mine)) && two.IsAfterAnother(Head(other))) << i;
  }
}

}  // namespace
}  // namespace headrace::scheduler
