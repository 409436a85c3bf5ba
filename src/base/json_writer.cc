#include "base/json_writer.h"

#include <algorithm>

#include "base/control_character.h"
#include "base/text.h"

namespace headrace {

namespace {

// By its number. A character of IsControl has three bytes at most.
void AppendEscaped(std::string_view character, std::string& out) {
  static constexpr char kHex[] = "0123456789abcdef";
  // The first of several bytes has as many bits before a 0.
  unsigned number = static_cast<unsigned char>(character[0]);
  if (character.size() > 1) number &= 0x7Fu >> character.size();
  for (const char c : character.substr(1))
    number = number << 6 | (static_cast<unsigned char>(c) & 0x3Fu);
  out += "\\u";
  for (int shift = 12; shift >= 0; shift -= 4) out += kHex[number >> shift & 15];
}

}  // namespace

void AppendJsonString(std::string_view text, std::string& out) {
  out += '"';
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x80) {
      const std::string_view character = text.substr(i, Utf8Length(text.substr(i)));
      if (IsControl(character)) {
        AppendEscaped(character, out);
      } else {
        out += character.empty() ? "\xEF\xBF\xBD" : character;
      }
      i += std::max<std::size_t>(character.size(), 1) - 1;
    } else if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (IsControl(c)) {
      AppendEscaped(text.substr(i, 1), out);
    } else {
      out += c;
    }
  }
  out += '"';
}

JsonWriter& JsonWriter::Key(std::string_view name) {
  Separate();
  AppendJsonString(name, text_);
  text_ += layout_ == Layout::kCompact ? ":" : ": ";
  after_key_ = true;
  return *this;
}

JsonWriter& JsonWriter::Value(std::string_view text) {
  Separate();
  AppendJsonString(text, text_);
  return *this;
}

JsonWriter& JsonWriter::Value(double value) { return Raw(FormatJsonNumber(value)); }

JsonWriter& JsonWriter::Raw(std::string_view json) {
  Separate();
  text_ += json;
  return *this;
}

JsonWriter& JsonWriter::Begin(char bracket) {
  Separate();
  text_ += bracket;
  empty_.push_back(true);
  return *this;
}

JsonWriter& JsonWriter::End(char bracket) {
  const bool empty = empty_.back();
  empty_.pop_back();
  if (layout_ == Layout::kLines && !empty) NewLine();
  text_ += bracket;
  return *this;
}

void JsonWriter::Separate() {
  if (std::exchange(after_key_, false) || empty_.empty()) return;
  if (!empty_.back()) text_ += layout_ == Layout::kSpaced ? ", " : ",";
  empty_.back() = false;
  if (layout_ == Layout::kLines) NewLine();
}

void JsonWriter::NewLine() {
  text_ += '\n';
  text_.append(2 * empty_.size(), ' ');
}

}  // namespace headrace
