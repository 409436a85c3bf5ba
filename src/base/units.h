// The two quantities that everything here is measured in.
#pragma once

#include <cstdint>
#include <limits>

namespace headrace {

// A duration, or a point in time on the caller's own monotonic clock (the pure rooms never read a
// clock: time is an argument). A double holds 0.1 µs at an uptime of 30 years.
using Seconds = double;

inline constexpr Seconds kNever = std::numeric_limits<double>::infinity();
inline constexpr Seconds kMillisecond = 1e-3;

// A number of prompt or output tokens.
using Tokens = std::int32_t;

}  // namespace headrace
