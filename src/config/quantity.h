// Sizes, shares and numbers as they are written in the file: `32MiB`, `90%`. base/duration.h has
// durations.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace headrace::config {

// The error of each is the rest of a sentence about the text: "is not a size; write it like 64KiB,
// 32MiB or 1GiB".

// A number ≥ 0 and a unit: B, KiB, MiB, GiB or TiB; without a unit, bytes.
Result<std::uint64_t> ParseSize(std::string_view text);
// In the largest unit that makes a whole number of it; it reads back as the same.
std::string WriteSize(std::uint64_t bytes);

// A number, or a percentage: 0.9 and 90% mean the same.
Result<double> ParseShare(std::string_view text);

Result<std::int64_t> ParseInteger(std::string_view text);

// Finite, with or without a sign and a fraction.
Result<double> ParseNumber(std::string_view text);

}  // namespace headrace::config
