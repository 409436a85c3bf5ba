#include "base/text.h"

#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>

namespace headrace {

std::string FormatNumber(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  std::array<char, 64> buffer{};
  const double size = std::abs(value);
  const char* format = size >= 999.5 && size < 1e15 ? "%.0f" : "%.3g";
  const int length = std::snprintf(buffer.data(), buffer.size(), format, value);
  return {buffer.data(), static_cast<std::size_t>(length)};
}

std::string FormatDuration(Seconds value) {
  const double size = std::abs(value);
  if (!std::isfinite(value) || size == 0 || size >= 0.9995) return FormatNumber(value) + " s";
  if (size >= 0.9995e-3) return FormatNumber(value * 1e3) + " ms";
  return FormatNumber(value * 1e6) + " µs";
}

std::string FormatJsonNumber(double value) {
  if (!std::isfinite(value)) return "null";
  std::array<char, 64> buffer{};
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value).ptr;
  return {buffer.data(), end};
}

}  // namespace headrace
