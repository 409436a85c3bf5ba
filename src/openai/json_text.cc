#include "openai/json_text.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <nlohmann/json.hpp>

namespace headrace {
namespace {

constexpr std::size_t kMaxFaultSearch = 1 << 20;

// The UTF-16 unit that four hex digits give; −1 when they are none.
int HexUnit(const char* digits) {
  int value = 0;
  for (int i = 0; i < 4; ++i) {
    const char c = digits[i];
    const char lower = static_cast<char>(c | 0x20);
    const int digit = c >= '0' && c <= '9'           ? c - '0'
                      : lower >= 'a' && lower <= 'f' ? lower - 'a' + 10
                                                     : -1;
    if (digit < 0) return -1;
    value = value * 16 + digit;
  }
  return value;
}

class FaultFinder final : public nlohmann::json_sax<nlohmann::json> {
 public:
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
  bool parse_error(std::size_t position, const std::string& token,
                   const nlohmann::json::exception&) override {
    offset = position > 0 ? position - 1 : 0;  // It counts from 1.
    last_token = token;
    return false;
  }

  std::size_t offset = 0;
  std::string last_token;
};

}  // namespace

std::size_t DecodedLength(std::string_view escaped) {
  const char* at = escaped.data();
  const char* const end = at + escaped.size();
  std::size_t length = escaped.size();
  for (;;) {
    at = static_cast<const char*>(std::memchr(at, '\\', static_cast<std::size_t>(end - at)));
    if (at == nullptr || end - at < 2) return length;
    if (at[1] != 'u' || end - at < 6) {
      length -= 1;
      at += 2;
      continue;
    }
    const int unit = HexUnit(at + 2);
    if (unit < 0) {
      at += 2;
      continue;
    }
    const bool pair = unit >= 0xD800 && unit < 0xDC00 && end - at >= 12 && at[6] == '\\' &&
                      at[7] == 'u' && (HexUnit(at + 8) & ~0x3FF) == 0xDC00;
    if (pair) {
      length -= 12 - 4;
      at += 12;
    } else {
      length -= unit < 0x80 ? 5 : unit < 0x800 ? 4 : 3;
      at += 6;
    }
  }
}

std::string DescribeJsonFault(std::string_view json) {
  if (json.find_first_not_of(" \t\r\n") == json.npos) return "it is empty";
  if (json.size() > kMaxFaultSearch) return "the fault was not looked for in so long a text";
  FaultFinder finder;
  if (nlohmann::json::sax_parse(json.begin(), json.end(), &finder)) {
    return "it is nested too deeply";
  }
  // The token may be long, or binary.
  std::string token;
  for (const char c : finder.last_token.substr(0, 40)) token += c >= ' ' && c < 127 ? c : '?';
  return "at byte " + std::to_string(std::min(finder.offset, json.size())) +
         (token.empty() ? ": it ends too early" : ": unexpected " + token);
}

}  // namespace headrace
