// Durations, sizes and shares as a person writes them: `50ms`, `32MiB`, `90%`.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/units.h"

namespace headrace::config {

// Each Parse answers with the value, or with the rest of a sentence about the text: "is not a
// duration; write it like 50ms, 2s or 10m". Each Write makes a text that reads back as the same.

// A number ≥ 0 and a unit: us, ms, s, m, h or d. `0` needs none.
Result<Seconds> ParseDuration(std::string_view text);
// In the largest unit that makes a whole number of it, to the microsecond.
std::string WriteDuration(Seconds seconds);

// A number ≥ 0 and a unit: B, KiB, MiB, GiB or TiB; without a unit, bytes.
Result<std::uint64_t> ParseSize(std::string_view text);
// In the largest unit that makes a whole number of it.
std::string WriteSize(std::uint64_t bytes);

// A number, or a percentage: 0.9 and 90% are the same.
Result<double> ParseShare(std::string_view text);

Result<std::int64_t> ParseInteger(std::string_view text);

}  // namespace headrace::config
