// What Python's json.dump writes for numbers that JSON does not have: bare NaN, Infinity and
// -Infinity.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace headrace {

struct BareNumber {
  std::string_view word;
  std::string_view instead;
};

// The text with those words, outside strings, replaced; nullopt: there are none.
std::optional<std::string> ReplaceBareNumbers(std::string_view json,
                                              std::span<const BareNumber> numbers);

// The same with null for each: for readers to whom such a number is missing.
std::optional<std::string> NullForBareNumbers(std::string_view json);

}  // namespace headrace
