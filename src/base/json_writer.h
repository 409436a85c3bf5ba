// The one way to write JSON: straight into a string, member by member.
#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace headrace {

// Appends `text` as a JSON string with its quotes. UTF-8 stays as it is; a byte that is not part of
// it becomes U+FFFD, so that the result is always JSON.
void AppendJsonString(std::string_view text, std::string& out);

// Writes one JSON value; commas come by themselves:
//   JsonWriter json;
//   json.BeginObject().Member("name", "a10").Key("loads").BeginArray().Value(0.5).EndArray();
//   std::string text = json.EndObject().Take();          // {"name":"a10","loads":[0.5]}
// Begins and Ends must match, and inside an object every value follows a Key. Not thread-safe.
class JsonWriter {
 public:
  enum class Layout {
    kCompact,  // {"a":1,"b":[1,2]}
    kSpaced,   // {"a": 1, "b": [1, 2]}
    kLines,    // One member or item per line, indented by two spaces per bracket.
  };
  explicit JsonWriter(Layout layout = Layout::kCompact) : layout_(layout) {}

  JsonWriter& BeginObject() { return Begin('{'); }
  JsonWriter& EndObject() { return End('}'); }
  JsonWriter& BeginArray() { return Begin('['); }
  JsonWriter& EndArray() { return End(']'); }
  JsonWriter& Key(std::string_view name);

  JsonWriter& Value(std::string_view text);
  JsonWriter& Value(const char* text) { return Value(std::string_view(text)); }
  JsonWriter& Value(const std::string& text) { return Value(std::string_view(text)); }
  JsonWriter& Value(bool value) { return Raw(value ? "true" : "false"); }
  // The shortest decimal that reads back as the same double; null for what is not finite.
  JsonWriter& Value(double value);
  template <std::integral T>
  JsonWriter& Value(T value) {
    return Raw(std::to_string(value));
  }
  JsonWriter& Null() { return Raw("null"); }
  // A value that is JSON already, such as a number with a fixed count of digits.
  JsonWriter& Raw(std::string_view json);

  template <typename T>
  JsonWriter& Member(std::string_view name, const T& value) {
    return Key(name).Value(value);
  }

  const std::string& text() const { return text_; }
  std::string Take() { return std::move(text_); }

 private:
  JsonWriter& Begin(char bracket);
  JsonWriter& End(char bracket);
  // What goes before a key, or before a value that has none.
  void Separate();
  void NewLine();

  std::string text_;
  std::vector<bool> empty_;  // By open bracket: nothing is in it yet.
  bool after_key_ = false;
  Layout layout_;
};

}  // namespace headrace
