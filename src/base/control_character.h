// What does something, where text should only stand.
#pragma once

#include <string_view>

namespace headrace {

// Whether this one character of UTF-8 does something to a terminal or to a line: control characters
// (U+0000 … 1F, 7F … 9F), those that end a line (U+2028, 2029), and those that turn the direction
// of what follows (U+202A … 202E, 2066 … 2069).
bool IsControl(std::string_view character);
// The same of one byte of ASCII.
constexpr bool IsControl(char character) {
  return (character >= 0 && character < 0x20) || character == 0x7F;
}

}  // namespace headrace
