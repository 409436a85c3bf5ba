#include "base/token_range.h"

#include <charconv>

#include "base/limits.h"

namespace headrace {
namespace {

// 0 for a text that is not a number of tokens.
Tokens ParseTokens(std::string_view text) {
  while (text.starts_with(' ')) text.remove_prefix(1);
  while (text.ends_with(' ')) text.remove_suffix(1);
  Tokens tokens = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, tokens);
  return error == std::errc{} && stop == end ? tokens : 0;
}

}  // namespace

Result<TokenRange> ParseTokenRange(std::string_view text) {
  constexpr std::string_view kTo = " to ";
  TokenRange range;
  std::size_t begin = text.find(kTo);
  std::size_t end = begin + kTo.size();
  if (begin == std::string_view::npos) {
    begin = text.find('-');
    end = begin + 1;
  }
  range.low = ParseTokens(text.substr(0, begin));
  range.high = begin == std::string_view::npos ? range.low : ParseTokens(text.substr(end));
  if (range.low < 1 || range.high < range.low) {
    return Fail("is not a number of tokens; write it like 500 or 4000-4600");
  }
  if (range.high > limits::kMostTokens) return Fail(OutOfBounds(limits::kTokens));
  return range;
}

}  // namespace headrace
