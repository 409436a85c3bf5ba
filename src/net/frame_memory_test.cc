#include "net/frame_memory.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <thread>
#include <vector>

#include "base/random.h"

namespace headrace::net {
namespace {

struct Frame {
  std::size_t size;
  char* memory;
  char mark;

  bool IsWhole() const {
    return std::all_of(memory, memory + size, [this](char byte) { return byte == mark; });
  }
};

// Takes and gives frames of sizes around the lists' steps and limits; what is in one never changes
// while it is taken.
std::vector<Frame> Churn(std::uint64_t seed, int turns) {
  Rng rng(seed);
  std::vector<Frame> taken;
  for (int i = 0; i < turns; ++i) {
    if (taken.empty() || rng.Next() % 5 < 3) {
      const std::size_t size = 1 + rng.Next() % 20'000;
      auto* memory = static_cast<char*>(TakeFrame(size));
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(memory) % alignof(std::max_align_t), 0u);
      const Frame frame{size, memory, static_cast<char>(i)};
      std::fill_n(memory, size, frame.mark);
      taken.push_back(frame);
    } else {
      std::swap(taken[rng.Next() % taken.size()], taken.back());
      EXPECT_TRUE(taken.back().IsWhole());
      GiveFrame(taken.back().memory, taken.back().size);
      taken.pop_back();
    }
  }
  return taken;
}

void GiveAll(const std::vector<Frame>& frames) {
  for (const Frame& frame : frames) {
    EXPECT_TRUE(frame.IsWhole());
    GiveFrame(frame.memory, frame.size);
  }
}

TEST(FrameMemory, AFrameIsOnesOwnUntilItIsGiven) { GiveAll(Churn(1, 5000)); }

TEST(FrameMemory, AFrameMayBeGivenOnAnotherThreadAndAfterItsOwnEnded) {
  std::vector<Frame> left;
  std::thread([&left] { left = Churn(2, 1000); }).join();
  std::thread([&left] { GiveAll(left); }).join();
}

}  // namespace
}  // namespace headrace::net
