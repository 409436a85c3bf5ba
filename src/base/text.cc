#include "base/text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>

#include "base/control_character.h"

namespace headrace {

std::string_view Trimmed(std::string_view text, std::string_view blanks) {
  const std::size_t begin = std::min(text.find_first_not_of(blanks), text.size());
  return text.substr(begin, text.find_last_not_of(blanks) + 1 - begin);
}

std::size_t Utf8Length(std::string_view text) {
  const auto byte = [text](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  const std::size_t length = first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
  if (first < 0xC2 || first > 0xF4 || text.size() < length) return 0;
  // Neither longer than needed, nor a surrogate, nor above U+10FFFF.
  const unsigned char low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
  const unsigned char high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
  if (byte(1) < low || byte(1) > high) return 0;
  for (std::size_t i = 2; i < length; ++i) {
    if (byte(i) < 0x80 || byte(i) > 0xBF) return 0;
  }
  return length;
}

std::string Excerpt(std::string_view text, std::size_t most) {
  std::string excerpt;
  while (!text.empty()) {
    if (excerpt.size() >= most) return excerpt + "…";
    const std::size_t length = Utf8Length(text);
    if (length == 0 || IsControl(text.substr(0, length))) {
      excerpt += '?';
    } else {
      excerpt += text.substr(0, length);
    }
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
  return excerpt;
}

std::string FormatNumber(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  const double size = std::abs(value);
  const char* format = size >= 999.5 && size < 1e15 ? "%.0f" : "%.3g";
  std::array<char, 64> buffer{};
  const int length = std::snprintf(buffer.data(), buffer.size(), format, value);
  return {buffer.data(), static_cast<std::size_t>(length)};
}

std::string FormatFixed(double value, int decimals) {
  if (!std::isfinite(value)) return FormatNumber(value);
  // The largest double has 309 digits before the point.
  std::array<char, 400> buffer{};
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value,
                                 std::chars_format::fixed, decimals)
                       .ptr;
  return {buffer.data(), end};
}

std::string FormatPercent(double share) { return FormatFixed(100 * share, 1); }

std::string FormatDuration(Seconds value) {
  const double size = std::abs(value);
  if (!std::isfinite(value) || size == 0 || size >= 0.9995) return FormatNumber(value) + " s";
  if (size >= 0.9995e-3) return FormatNumber(value * 1e3) + " ms";
  return FormatNumber(value * 1e6) + " µs";
}

std::string FormatDate(Seconds unix_time) {
  if (!(unix_time > 0 && unix_time < 253402300800.0)) return "unknown";
  const std::chrono::sys_seconds time{std::chrono::seconds{static_cast<std::int64_t>(unix_time)}};
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date{day};
  const std::chrono::hh_mm_ss clock{time - day};
  std::array<char, 64> buffer{};
  const int length = std::snprintf(
      buffer.data(), buffer.size(), "%04d-%02u-%02u %02d:%02d UTC", static_cast<int>(date.year()),
      static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
      static_cast<int>(clock.hours().count()), static_cast<int>(clock.minutes().count()));
  return {buffer.data(), static_cast<std::size_t>(length)};
}

std::string FormatJsonNumber(double value) {
  if (!std::isfinite(value)) return "null";
  std::array<char, 64> buffer{};
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value).ptr;
  return {buffer.data(), end};
}

}  // namespace headrace
