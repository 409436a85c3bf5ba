// Durations as they are written in files and options: `50ms`, `10m`, `1h30m`.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "base/units.h"

namespace headrace {

// A number ≥ 0 and a unit (us, ms, s, m, h or d), or several of them from the largest unit to the
// smallest. Only `0` needs no unit. The error is the rest of a sentence about the text: "is not a
// duration; write it like 50ms, 2s or 1h30m".
Result<Seconds> ParseDuration(std::string_view text);

// In the largest unit that makes a whole number of it, to the microsecond; it reads back as the
// same. base/text.h has the form for sentences.
std::string WriteDuration(Seconds seconds);

}  // namespace headrace
