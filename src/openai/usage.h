// How many tokens a response says it took.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

#include "base/units.h"

namespace headrace::openai {

// No engine counts more in one response: what says so is not believed. Two of them can be added.
inline constexpr Tokens kMostTokens = 1'000'000'000;

struct Usage {
  Tokens prompt_tokens = 0;
  Tokens completion_tokens = 0;
  Tokens cached_prompt_tokens = 0;  // prompt_tokens_details.cached_tokens, where it is told.

  bool operator==(const Usage&) const = default;
};

inline constexpr std::string_view kUsageKey = "\"usage\"";
// A usage object is a few hundred bytes; what is longer is none.
inline constexpr std::size_t kMaxUsageBytes = 4096;

// kCut: it may go on.
enum class ParsedUsage { kWhole, kCut, kNot };

// A usage object at the beginning of `json`. One with a count that is no count (negative, broken,
// past kMostTokens) is none: half of what it says can't be believed either. Null is 0.
ParsedUsage ParseUsage(std::string_view json, Usage& usage);

// The usage object of a whole JSON response or of an event's data, if it has one.
std::optional<Usage> FindUsage(std::string_view json);

}  // namespace headrace::openai
