// The clock that every deadline of this room is read on.
#pragma once

#include <chrono>

#include "base/units.h"

namespace headrace::system {

// Seconds on the machine's monotonic clock. Deadlines below are points on this clock; kNever waits
// for ever.
inline Seconds MonotonicNow() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace headrace::system
