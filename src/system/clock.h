// The clocks. The pure rooms take times as arguments instead.
#pragma once

#include <time.h>

#include <chrono>

#include "base/units.h"

namespace headrace::system {

// Seconds on the machine's monotonic clock, for deadlines and durations.
inline Seconds MonotonicNow() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// The same, but goes on while the machine sleeps.
inline Seconds BootNow() {
  timespec now{};
  clock_gettime(CLOCK_BOOTTIME, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

// Seconds since 1970-01-01T00:00:00Z, for what people and other programs read. It may jump.
inline Seconds UnixNow() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace headrace::system
