#include "profile/python_json.h"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "base/python_numbers.h"

namespace headrace::profile {
namespace {

// nlohmann's parser does not accept the three bare words. Each is replaced, outside strings, by a
// string of the same length, so that positions in errors stay right: a quote, DEL (which no writer
// of these files puts into a string), padding, a quote.
struct Word {
  std::string_view word;
  std::string_view stand_in;
  double value;
};
constexpr std::array<Word, 3> kWords = {{
    {"-Infinity",
     "\"\x7f"
     "      \"",
     -std::numeric_limits<double>::infinity()},
    {"Infinity",
     "\"\x7f"
     "     \"",
     std::numeric_limits<double>::infinity()},
    {"NaN", "\"\x7f\"", std::numeric_limits<double>::quiet_NaN()},
}};

std::optional<std::string> ReplaceWords(std::string_view text) {
  std::array<BareNumber, kWords.size()> numbers;
  std::ranges::transform(kWords, numbers.begin(),
                         [](const Word& word) { return BareNumber{word.word, word.stand_in}; });
  return ReplaceBareNumbers(text, numbers);
}

std::string Place(std::string_view text, std::string_view name, std::size_t first_line,
                  std::size_t at) {
  const std::string_view before = text.substr(0, std::min(at, text.size()));
  const auto line = std::count(before.begin(), before.end(), '\n');
  const std::size_t line_start = line > 0 ? before.rfind('\n') + 1 : 0;
  return std::string(name) + ": line " + std::to_string(first_line + line) + ", column " +
         std::to_string(before.size() - line_start + 1);
}

}  // namespace

Result<nlohmann::json> ParsePythonJson(std::string_view text, std::string_view name,
                                       std::size_t first_line) {
  if (text.find_first_not_of(" \t\r\n") == std::string_view::npos) {
    return Fail(std::string(name) + ": is empty; write it again.");
  }
  const std::optional<std::string> replaced = ReplaceWords(text);
  const std::string_view input = replaced ? std::string_view(*replaced) : text;
  try {
    return nlohmann::json::parse(input.begin(), input.end());
  } catch (const nlohmann::json::parse_error& error) {
    // `byte` counts from 1, and is past the end of a text that ends too early.
    const std::size_t at = error.byte > 0 ? error.byte - 1 : 0;
    const std::string place = Place(text, name, first_line, at);
    if (at >= text.size()) {
      return Fail(place + ": the JSON ends in the middle (truncated?); copy or write it again.");
    }
    return Fail(place + ": not JSON; correct it there or write it again.");
  } catch (const nlohmann::json::exception&) {
    return Fail(std::string(name) + ": line " + std::to_string(first_line) +
                " or below holds a number too large for a double; correct it.");
  }
}

std::optional<double> NumberIn(const nlohmann::json& value) {
  if (value.is_number()) return value.get<double>();
  if (value.is_null()) return std::numeric_limits<double>::quiet_NaN();
  if (const auto* text = value.get_ptr<const std::string*>()) {
    for (const Word& word : kWords) {
      if (*text == word.stand_in.substr(1, word.stand_in.size() - 2)) return word.value;
    }
  }
  return std::nullopt;
}

}  // namespace headrace::profile
