#include "openai/json_text.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/text.h"

namespace headrace::openai {
namespace {

constexpr std::size_t kMaxFaultSearch = 1 << 20;

// A hex digit's value by its character, 255 for what is none.
constexpr std::array<std::uint8_t, 256> kHexValues = [] {
  std::array<std::uint8_t, 256> values{};
  values.fill(255);
  for (std::uint8_t i = 0; i < 10; ++i) values['0' + i] = i;
  for (std::uint8_t i = 0; i < 6; ++i) {
    values['a' + i] = static_cast<std::uint8_t>(10 + i);
    values['A' + i] = static_cast<std::uint8_t>(10 + i);
  }
  return values;
}();

// The UTF-16 unit that four hex digits give; −1 when they are none.
int HexUnit(const char* digits) {
  int value = 0;
  int all = 0;
  for (int i = 0; i < 4; ++i) {
    const int digit = kHexValues[static_cast<std::uint8_t>(digits[i])];
    all |= digit;
    value = value * 16 + digit;
  }
  return all < 16 ? value : -1;
}

// The backslash at `at`: steps over the escape that it begins and returns the bytes that its text
// has more than its value.
std::size_t StepOverEscape(const char*& at, const char* end) {
  if (end - at < 2) {
    at = end;
    return 0;
  }
  if (at[1] != 'u' || end - at < 6) {
    at += 2;
    return 1;
  }
  const int unit = HexUnit(at + 2);
  if (unit < 0) {
    at += 2;
    return 0;
  }
  const bool pair = unit >= 0xD800 && unit < 0xDC00 && end - at >= 12 && at[6] == '\\' &&
                    at[7] == 'u' && (HexUnit(at + 8) & ~0x3FF) == 0xDC00;
  at += pair ? 12 : 6;
  if (pair) return 12 - 4;
  return unit < 0x80 ? 5 : unit < 0x800 ? 4 : 3;
}

constexpr std::ptrdiff_t kBlock = 64;

#ifdef __SSE2__
// One bit for each of the 64 characters at `text` that is `c`.
std::uint64_t Occurrences(const char* text, char c) {
  const __m128i wanted = _mm_set1_epi8(c);
  std::uint64_t bits = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    const __m128i part = _mm_loadu_si128(reinterpret_cast<const __m128i*>(text + 16 * i));
    const auto mask = static_cast<std::uint32_t>(_mm_movemask_epi8(_mm_cmpeq_epi8(part, wanted)));
    bits |= std::uint64_t{mask} << (16 * i);
  }
  return bits;
}

// True when all of the block's escapes are of two characters and end in it; `count` of them.
bool PlainEscapes(const char* block, std::size_t& count) {
  const std::uint64_t slashes = Occurrences(block, '\\');
  count = static_cast<std::size_t>(std::popcount(slashes));
  if (slashes == 0) return true;
  const std::uint64_t escaped = slashes << 1;
  return slashes >> 63 == 0 && (slashes & escaped) == 0 && (Occurrences(block, 'u') & escaped) == 0;
}
#else
bool PlainEscapes(const char* block, std::size_t& count) {
  count = 0;
  return std::memchr(block, '\\', kBlock) == nullptr;
}
#endif

class FaultFinder final : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit FaultFinder(std::size_t size) : size_(size) {}

  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool string(string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }
  bool start_object(std::size_t) override { return true; }
  bool key(string_t&) override { return true; }
  bool end_object() override { return true; }
  bool start_array(std::size_t) override { return true; }
  bool end_array() override { return true; }
  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::json::exception&) override {
    // It counts the characters that it has read, the end of the text as one.
    ended = position > size_;
    offset = position > 0 ? position - 1 : 0;
    return false;
  }

  std::size_t offset = 0;
  bool ended = false;

 private:
  std::size_t size_;
};

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

}  // namespace

std::optional<double> LaxInteger(std::string_view text) {
  text = Trimmed(text, " \t\r\n\f\v");
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  if (const std::size_t point = text.find('.'); point != text.npos) {
    const std::string_view zeros = text.substr(point + 1);
    if (zeros.empty() || zeros.find_first_not_of('0') != zeros.npos) return std::nullopt;
    text = text.substr(0, point);
  }
  double value = 0;
  bool digit = false;  // The character before was one.
  for (const char c : text) {
    if (c == '_' ? !digit : !IsDigit(c)) return std::nullopt;
    digit = c != '_';
    if (digit) value = value * 10 + (c - '0');
  }
  if (!digit) return std::nullopt;
  return negative ? -value : value;
}

std::optional<bool> LaxFlag(std::string_view text) {
  constexpr std::string_view kYes[] = {"1", "true", "t", "yes", "y", "on"};
  constexpr std::string_view kNo[] = {"0", "false", "f", "no", "n", "off"};
  const auto is = [text](std::string_view word) {
    return std::ranges::equal(text, word, {}, [](char c) {
      return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    });
  };
  if (std::ranges::any_of(kYes, is)) return true;
  if (std::ranges::any_of(kNo, is)) return false;
  return std::nullopt;
}

std::size_t DecodedLength(std::string_view escaped) {
  const char* at = escaped.data();
  const char* const end = at + escaped.size();
  std::size_t surplus = 0;
  while (at != end) {
    // Blocks without or with simple escapes are what most text consists of.
    const char* block_end = end;
    if (end - at >= kBlock) {
      std::size_t count = 0;
      if (PlainEscapes(at, count)) {
        surplus += count;
        at += kBlock;
        continue;
      }
      block_end = at + kBlock;
    }
    while (at < block_end) {
      if (*at == '\\') {
        surplus += StepOverEscape(at, end);
      } else {
        ++at;
      }
    }
  }
  return escaped.size() - surplus;
}

bool IsJsonNumber(std::string_view text) {
  const char* at = text.data();
  const char* const end = at + text.size();
  const auto digits = [&] {
    const char* const begin = at;
    while (at != end && *at >= '0' && *at <= '9') ++at;
    return at != begin;
  };
  if (at != end && *at == '-') ++at;
  if (at != end && *at == '0') {
    ++at;
  } else if (!digits()) {
    return false;
  }
  if (at != end && *at == '.') {
    ++at;
    if (!digits()) return false;
  }
  if (at != end && (*at == 'e' || *at == 'E')) {
    ++at;
    if (at != end && (*at == '+' || *at == '-')) ++at;
    if (!digits()) return false;
  }
  return at == end;
}

std::string DescribeJsonFault(std::string_view json) {
  if (json.find_first_not_of(" \t\r\n") == json.npos) return "it is empty";
  if (json.size() > kMaxFaultSearch) return "the text is too long to search it for the fault";
  FaultFinder finder(json.size());
  if (nlohmann::json::sax_parse(json.begin(), json.end(), &finder)) {
    return "it is nested too deeply";
  }
  const std::string place = "at byte " + std::to_string(finder.offset);
  if (finder.ended) return place + ": it ends too early";
  const char c = json[std::min(finder.offset, json.size() - 1)];
  return place + ": unexpected " + (c > ' ' && c < 127 ? std::string{'\'', c, '\''} : "character");
}

}  // namespace headrace::openai
