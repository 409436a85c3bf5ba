// Numbers of tokens as they are written in files and options: `500`, `4000-4600`, `4000 to 4600`.
#pragma once

#include <string_view>

#include "base/result.h"
#include "base/units.h"

namespace headrace {

struct TokenRange {
  Tokens low = 1;
  Tokens high = 1;  // Included.
  bool operator==(const TokenRange&) const = default;
};

// One whole number ≥ 1, or two of them in order. The error is the rest of a sentence about the
// text: "is not a number of tokens; write it like 500 or 4000-4600".
Result<TokenRange> ParseTokenRange(std::string_view text);

}  // namespace headrace
