#include "system/termination.h"

#include <gtest/gtest.h>

#include <csignal>

namespace headrace::system {
namespace {

TEST(Termination, AnswersAsManySignalsAsItIsTold) {
  Termination termination(2);
  EXPECT_FALSE(termination.Wait(0));
  for (int signal = 0; signal < 2; ++signal) {
    Terminate();
    EXPECT_TRUE(termination.Wait(60));
    EXPECT_FALSE(termination.Wait(0));
  }
  EXPECT_EXIT(Terminate(), testing::KilledBySignal(SIGTERM), "") << "the third ends it at once";
}

}  // namespace
}  // namespace headrace::system
