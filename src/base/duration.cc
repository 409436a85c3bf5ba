#include "base/duration.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <utility>

#include "base/text.h"

namespace headrace {
namespace {

struct Unit {
  std::string_view name;
  double microseconds;  // Whole numbers: see ParseDuration.
};

// Below it a double holds every whole number.
constexpr double kWhole = 0x1p53;

constexpr std::array<Unit, 6> kUnits = {
    {{"d", 86400e6}, {"h", 3600e6}, {"m", 60e6}, {"s", 1e6}, {"ms", 1e3}, {"us", 1}}};

// What people write for them.
constexpr std::array<std::pair<std::string_view, std::string_view>, 24> kOtherNames = {{
    {"day", "d"},           {"days", "d"},         {"hour", "h"},
    {"hours", "h"},         {"hr", "h"},           {"hrs", "h"},
    {"minute", "m"},        {"minutes", "m"},      {"min", "m"},
    {"mins", "m"},          {"second", "s"},       {"seconds", "s"},
    {"sec", "s"},           {"secs", "s"},         {"millisecond", "ms"},
    {"milliseconds", "ms"}, {"msec", "ms"},        {"msecs", "ms"},
    {"millis", "ms"},       {"microsecond", "us"}, {"microseconds", "us"},
    {"usec", "us"},         {"\u00b5s", "us"},     {"\u03bcs", "us"},
}};

bool IsLetter(char c) { return c >= 'a' && c <= 'z'; }

// For a text that is one number and a word: how it is written; else a general example.
std::string HowToWrite(std::string_view number, std::string_view word) {
  std::string small(word);
  for (char& c : small) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
  for (const auto& [name, unit] : kOtherNames) {
    if (name == small) return "write `" + std::string(number) + std::string(unit) + "`";
  }
  for (const Unit& unit : kUnits) {
    if (unit.name == small) return "write `" + std::string(number) + small + "`";
  }
  return "write it like 50ms, 2s or 1h30m";
}

void SkipSpace(std::string_view& text) {
  if (text.starts_with(' ')) text.remove_prefix(1);
}

}  // namespace

Result<Seconds> ParseDuration(std::string_view text) {
  const auto not_a_duration = Fail("is not a duration; write it like 50ms, 2s or 1h30m");
  Seconds sum = 0;
  const Unit* next_unit = kUnits.begin();  // Units fall from part to part.
  std::string_view rest = text;
  while (true) {
    double number = 0;
    const char* const number_begins = rest.data();
    const char* const end = rest.data() + rest.size();
    const auto [stop, error] = std::from_chars(rest.data(), end, number, std::chars_format::fixed);
    if (error != std::errc{} || !std::isfinite(number) || std::signbit(number)) {
      return not_a_duration;
    }
    const bool only_a_number = stop == end && rest.size() == text.size();
    if (only_a_number && number == 0) return 0.0;
    if (only_a_number) {
      const std::string written(text);
      return Fail("has no unit; write " + written + "ms, " + written + "s or " + written + "m");
    }
    rest.remove_prefix(static_cast<std::size_t>(stop - rest.data()));
    SkipSpace(rest);
    const std::string_view name(rest.begin(), std::find_if_not(rest.begin(), rest.end(), IsLetter));
    const Unit* const unit = std::find_if(next_unit, kUnits.end(),
                                          [&](const Unit& known) { return known.name == name; });
    if (unit == kUnits.end()) {
      const auto digits = static_cast<std::size_t>(stop - text.data());
      return Fail("is not a duration; " + (number_begins == text.data()
                                               ? HowToWrite(text.substr(0, digits), rest)
                                               : "write it like 50ms, 2s or 1h30m"));
    }
    next_unit = unit + 1;
    // Dividing is exact where multiplying by 0.001 is not: 50ms is 0.05, not 0.05 and a bit.
    sum += unit->microseconds < 1e6 ? number / (1e6 / unit->microseconds)
                                    : number * (unit->microseconds / 1e6);
    rest.remove_prefix(name.size());
    if (rest.empty()) return sum;
    SkipSpace(rest);
  }
}

std::string WriteDuration(Seconds seconds) {
  const double rounded = std::round(seconds * 1e6);
  if (rounded == 0) return "0";
  if (std::abs(rounded) < kWhole) {
    const auto microseconds = static_cast<std::int64_t>(rounded);
    for (const Unit& unit : kUnits) {
      const auto size = static_cast<std::int64_t>(unit.microseconds);
      if (microseconds % size != 0) continue;
      return std::to_string(microseconds / size).append(unit.name);
    }
  }
  return FormatJsonNumber(seconds) + "s";
}

}  // namespace headrace
