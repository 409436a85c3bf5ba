#include "config/quantity.h"

#include <array>
#include <charconv>
#include <cmath>
#include <optional>

namespace headrace::config {
namespace {

struct Unit {
  std::string_view name;
  double factor;
};

// From large to small, so that the first that fits is the largest.
constexpr std::array<Unit, 5> kSizeUnits = {
    {{"TiB", 0x1p40}, {"GiB", 0x1p30}, {"MiB", 0x1p20}, {"KiB", 0x1p10}, {"B", 1}}};

struct Quantity {
  double number = 0;
  std::string_view unit;
};

// A decimal number ≥ 0 with what follows it; a space between the two is allowed.
std::optional<Quantity> Split(std::string_view text) {
  Quantity quantity;
  const char* const end = text.data() + text.size();
  const auto [rest, error] =
      std::from_chars(text.data(), end, quantity.number, std::chars_format::fixed);
  if (error != std::errc{} || !std::isfinite(quantity.number) || std::signbit(quantity.number)) {
    return std::nullopt;
  }
  quantity.unit = std::string_view(rest, static_cast<std::size_t>(end - rest));
  if (quantity.unit.size() > 1 && quantity.unit.front() == ' ') quantity.unit.remove_prefix(1);
  return quantity;
}

std::optional<double> FactorOf(std::string_view name) {
  for (const Unit& unit : kSizeUnits) {
    if (unit.name == name) return unit.factor;
  }
  return std::nullopt;
}

}  // namespace

Result<std::uint64_t> ParseSize(std::string_view text) {
  const auto not_a_size = Fail("is not a size; write it like 64KiB, 32MiB or 1GiB");
  const std::optional<Quantity> quantity = Split(text);
  if (!quantity) return not_a_size;
  const auto factor = FactorOf(quantity->unit.empty() ? "B" : quantity->unit);
  if (!factor) return not_a_size;
  const double bytes = quantity->number * *factor;
  if (bytes != std::floor(bytes)) return Fail("is not a whole number of bytes");
  if (bytes >= 0x1p63) return Fail("is too large a size");
  return static_cast<std::uint64_t>(bytes);
}

std::string WriteSize(std::uint64_t bytes) {
  if (bytes == 0) return "0";
  for (const Unit& unit : kSizeUnits) {
    const auto size = static_cast<std::uint64_t>(unit.factor);
    if (bytes % size == 0) return std::to_string(bytes / size) + std::string(unit.name);
  }
  return std::to_string(bytes);
}

Result<double> ParseShare(std::string_view text) {
  const std::optional<Quantity> quantity = Split(text);
  if (quantity && quantity->unit.empty()) return quantity->number;
  if (quantity && quantity->unit == "%") return quantity->number / 100;
  return Fail("is not a share; write it like 0.9 or 90%");
}

Result<double> ParseNumber(std::string_view text) {
  double value = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value);
  if (error == std::errc{} && rest == end && std::isfinite(value)) return value;
  return Fail("is not a number; write it like 1.5");
}

Result<std::int64_t> ParseInteger(std::string_view text) {
  std::int64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value);
  if (error == std::errc::result_out_of_range) return Fail("is too large a number");
  if (error != std::errc{} || rest != end) return Fail("is not a whole number");
  return value;
}

}  // namespace headrace::config
