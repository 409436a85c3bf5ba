// What a number may be that comes from a flag, a file, a header or another program. Within these
// bounds everything ends in bounded time, and nothing overflows.
#pragma once

#include <string>

#include "base/units.h"

namespace headrace {

struct NumberRange {
  double low = 0;
  double high = 0;

  // False for what is not a number.
  constexpr bool Contains(double value) const { return value >= low && value <= high; }
};

// The rest of a sentence about a number: "is out of bounds; 0.01 to 100 is allowed".
std::string OutOfBounds(const NumberRange& range);
// The same of a duration in seconds: "is out of bounds; 1ms to 7d is allowed".
std::string DurationOutOfBounds(const NumberRange& range);

namespace limits {

// Tokens of one prompt or one response.
inline constexpr Tokens kMostTokens = 1 << 24;
inline constexpr NumberRange kTokens{1, kMostTokens};
// Requests per second, and factors on them.
inline constexpr NumberRange kRate{1e-6, 1e6};
// The standard deviation of gaps divided by their mean.
inline constexpr NumberRange kCv{0.01, 100};
// How many times as fast as in life, or as recorded.
inline constexpr NumberRange kSpeed{1e-3, 1e6};
// How long something goes on, and how long a trace is, in seconds.
inline constexpr NumberRange kDuration{0, 366 * 86400.0};
// Of one request, in seconds: targets, time-outs, what was measured.
inline constexpr NumberRange kLatency{1e-6, 30 * 86400.0};
// Requests or tokens per second that an engine gives, and other measured figures above 0.
inline constexpr NumberRange kMeasured{1e-9, 1e9};
inline constexpr NumberRange kPrice{0, 1e9};
// What one client may send in a minute: requests, or tokens.
inline constexpr NumberRange kPerMinute{1e-3, 1e12};
// In seconds since 1970: until the year 5138.
inline constexpr NumberRange kUnixTime{0, 1e11};

}  // namespace limits
}  // namespace headrace
