#include "load/pause_watch.h"

#include <gtest/gtest.h>

namespace headrace::load {
namespace {

TEST(PauseWatch, AProgramThatStoodStillIsSeen) {
  PauseWatch watch;
  for (int i = 0; i <= 10; ++i) watch.Beat(100 + 0.1 * i, 5);
  EXPECT_FALSE(watch.any());
  watch.Beat(104, 5);  // Silent for three seconds.
  watch.Beat(104.1, 5);
  EXPECT_TRUE(watch.any());
  EXPECT_TRUE(watch.Covers(100.5, 104.05)) << "it was open all the time";
  EXPECT_TRUE(watch.Covers(102, 104)) << "it was due meanwhile";
  EXPECT_FALSE(watch.Covers(100, 101)) << "it had ended before";
  EXPECT_FALSE(watch.Covers(104, 105)) << "it began afterwards";
}

TEST(PauseWatch, AMachineThatSleptIsSeenAlthoughItsClockStoodStillToo) {
  PauseWatch watch;
  watch.Beat(100, 5);
  watch.Beat(100.1, 65);
  EXPECT_TRUE(watch.Covers(99, 101));
  EXPECT_FALSE(watch.Covers(99, 99.5));
}

}  // namespace
}  // namespace headrace::load
