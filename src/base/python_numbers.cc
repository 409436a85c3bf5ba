#include "base/python_numbers.h"

#include <array>

namespace headrace {
namespace {

// The end of the string that begins at `at`, behind its closing quote.
std::size_t EndOfString(std::string_view json, std::size_t at) {
  while (++at < json.size() && json[at] != '"') at += json[at] == '\\' ? 1 : 0;
  return at < json.size() ? at + 1 : json.size();
}

const BareNumber* NumberAt(std::string_view json, std::span<const BareNumber> numbers) {
  for (const BareNumber& number : numbers) {
    if (json.starts_with(number.word)) return &number;
  }
  return nullptr;
}

}  // namespace

std::optional<std::string> ReplaceBareNumbers(std::string_view json,
                                              std::span<const BareNumber> numbers) {
  // Most texts have none, and may be large.
  if (json.find("NaN") == json.npos && json.find("Infinity") == json.npos) return std::nullopt;
  std::string replaced;
  bool found = false;
  for (std::size_t at = 0; at < json.size();) {
    if (json[at] == '"') {
      const std::size_t end = EndOfString(json, at);
      replaced += json.substr(at, end - at);
      at = end;
    } else if (const BareNumber* number = NumberAt(json.substr(at), numbers)) {
      replaced += number->instead;
      at += number->word.size();
      found = true;
    } else {
      replaced += json[at++];
    }
  }
  if (!found) return std::nullopt;
  return replaced;
}

std::optional<std::string> NullForBareNumbers(std::string_view json) {
  constexpr std::array<BareNumber, 3> kNull{
      {{"-Infinity", "null"}, {"Infinity", "null"}, {"NaN", "null"}}};
  return ReplaceBareNumbers(json, kNull);
}

}  // namespace headrace
