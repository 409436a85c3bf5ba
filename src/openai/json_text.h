// Small matters of JSON text that need no parser.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace headrace::openai {

// UTF-8 bytes of a JSON string's value, from its text between the quotes. A broken escape counts as
// the bytes it has.
std::size_t DecodedLength(std::string_view escaped);

// The whole text is a number as RFC 8259 writes it.
bool IsJsonNumber(std::string_view text);

// A string that stands for a whole number or for a flag, as pydantic reads one in its lax mode (and
// so vLLM): "16", " +16 ", "1_000", "16.0"; "true", "Yes", "on", "1". nullopt for any other text.
std::optional<double> LaxInteger(std::string_view text);
std::optional<bool> LaxFlag(std::string_view text);

// What is wrong with a text that did not parse, with the byte offset where a strict parser stops:
// "at byte 17: syntax error …". For error messages only: slow, and it checks no more than 1 MiB.
std::string DescribeJsonFault(std::string_view json);

// A forward cursor (pull parser) over JSON text, which it does not check: for a few fields of what
// a parser would take for valid. On anything else it stops, with ok() false. Own code, because
// simdjson needs padded, whole documents; one streamed event costs 90 ns (docs/decisions/0006).
class JsonCursor {
 public:
  explicit JsonCursor(std::string_view json) : at_(json.data()), end_(at_ + json.size()) {}

  bool ok() const { return ok_; }
  // Nothing is left: what was read may be the beginning of something longer.
  bool exhausted() const { return at_ == end_; }
  std::string_view rest() const { return {at_, static_cast<std::size_t>(end_ - at_)}; }

  // Skips white space, and `c` behind it when it is next.
  bool Take(char c);
  char Peek();  // The next character that is no white space; NUL at the end.
  // A string's text between the quotes, escapes as they are.
  std::string_view String();
  // The whole number from 0 to `most` that the next value is; nullopt for any other value, which is
  // skipped.
  std::optional<std::int64_t> Count(std::int64_t most);
  // Any value.
  void Skip();
  // In an object: the next key, with the cursor before its value; false at the object's end.
  // `first` is true for the first call, after the brace.
  bool NextKey(std::string_view& key, bool first);

 private:
  void Fail() {
    ok_ = false;
    at_ = end_;
  }

  const char* at_;
  const char* end_;
  bool ok_ = true;
};

// The beginning of the value of the first key `name` in `json` from `from` on, or npos. `name`
// comes with its quotes. A quote inside a string is escaped, so text can't be taken for a key.
std::size_t FindValue(std::string_view json, std::string_view name, std::size_t from = 0);

}  // namespace headrace::openai
