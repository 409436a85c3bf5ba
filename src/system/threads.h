// How many threads there are to be.
#pragma once

#include <algorithm>
#include <thread>

namespace headrace::system {

// As many as are wanted; 0: one per core.
inline int ThreadCount(int wanted) {
  if (wanted > 0) return wanted;
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

}  // namespace headrace::system
