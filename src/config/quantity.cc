#include "config/quantity.h"

#include <array>
#include <cctype>
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

// `32MB`, `32m` and the like: as it is written.
std::optional<std::string> NearSize(std::string_view text, std::string_view written_unit) {
  if (written_unit.size() > 3) return std::nullopt;
  for (const Unit& unit : kSizeUnits) {
    const char letter = static_cast<char>(std::tolower(written_unit.front() & 0xff));
    if (letter != std::tolower(unit.name.front() & 0xff)) continue;
    std::string number(text.substr(0, text.size() - written_unit.size()));
    if (number.ends_with(' ')) number.pop_back();
    return number + std::string(unit.name);
  }
  return std::nullopt;
}

}  // namespace

Result<std::uint64_t> ParseSize(std::string_view text) {
  const auto not_a_size = Fail("is not a size; write it like 64KiB, 32MiB or 1GiB");
  const std::optional<Quantity> quantity = Split(text);
  if (!quantity) return not_a_size;
  const auto factor = FactorOf(quantity->unit.empty() ? "B" : quantity->unit);
  if (!factor) {
    const auto near = NearSize(text, quantity->unit);
    if (near) return Fail("is not a size; write `" + *near + "`");
    return not_a_size;
  }
  const double bytes = quantity->number * *factor;
  if (bytes != std::floor(bytes))
    return Fail("is not a whole number of bytes; write it in a smaller unit");
  if (bytes >= 0x1p63) return Fail("is too large a size; write a smaller one");
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
  if (error == std::errc::result_out_of_range)
    return Fail("is too large a number; write a smaller one");
  if (error != std::errc{} || rest != end) return Fail("is not a whole number; write it like 4");
  return value;
}

}  // namespace headrace::config
