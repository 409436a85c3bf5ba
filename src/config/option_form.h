// How a single value is written: its type's name, its bounds, its reader and its printer.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/units.h"

namespace headrace::config {

// What an editor can check of a value, for the JSON Schema.
struct ValueSchema {
  enum class Kind { kText, kInteger, kNumber, kBoolean, kChoice };
  Kind kind = Kind::kText;
  std::string low = {};  // Of numbers, as JSON; empty: none.
  std::string high = {};
  std::vector<std::string> choices = {};
  // A regular expression of texts, or of numbers that are written as texts; empty: any.
  std::string pattern = {};
};

template <typename V>
struct OptionForm {
  std::string type;    // For the reference: "duration".
  std::string bounds;  // For the reference: "1ms to 1h"; empty when there are none.
  ValueSchema schema;
  // The value. The error is the rest of a sentence about the text; it says what to write instead.
  std::function<Result<V>(std::string_view)> parse;
  // As a person would write it.
  std::function<std::string(const V&)> print;
};

// Units that bounds are written in.
inline constexpr std::uint64_t kKiB = 1 << 10;
inline constexpr std::uint64_t kMiB = 1 << 20;
inline constexpr std::uint64_t kGiB = 1 << 30;
inline constexpr Seconds kMinute = 60;
inline constexpr Seconds kHour = 3600;
inline constexpr Seconds kDay = 24 * kHour;

// The bounds are allowed values.
OptionForm<Seconds> DurationForm(Seconds low, Seconds high);
OptionForm<std::size_t> SizeForm(std::uint64_t low, std::uint64_t high);
OptionForm<int> IntegerForm(int low, int high);
OptionForm<std::size_t> CountForm(std::size_t low, std::size_t high);
OptionForm<double> NumberForm(double low, double high);
OptionForm<double> ShareForm(double low, double high);

// Any text without control characters; not empty, at most 256 bytes.
OptionForm<std::string> TextForm(std::string type);
// Such a text without spaces.
OptionForm<std::string> NameForm();
// One of the names.
OptionForm<std::string> OneOfForm(std::string type, std::span<const std::string_view> names);
// `true` or `false`.
OptionForm<bool> BooleanForm();
// The path of a URL: begins with a slash.
OptionForm<std::string> UrlPathForm();
// Where to listen: `host:port`, `[::1]:port` or `:port`; port 0 picks a free one.
OptionForm<std::string> ListenForm();
OptionForm<std::string> ListenOrNoneForm();
// A path of a URL, or `none`.
OptionForm<std::string> UrlPathOrNoneForm();
// Where an HTTP server is (system::HttpUrl), as short as it can be written.
OptionForm<std::string> HttpUrlForm();
// `Name: value` of a header that is added to requests.
OptionForm<std::string> HeaderForm();
// What only machines read: any text without spaces and control characters, up to 16 KiB.
OptionForm<std::string> KeyForm();

// The rest of a sentence about a text that is none of the names: it suggests the nearest one, or
// lists all of them.
std::string NotOneOf(std::string_view text, std::span<const std::string_view> names);

// One of a few words, one per value.
template <typename V>
OptionForm<V> ChoiceForm(const std::vector<std::pair<std::string_view, V>>& choices) {
  OptionForm<V> form;
  form.type = "choice";
  std::vector<std::string_view> names;
  for (const auto& [name, value] : choices) {
    if (!form.bounds.empty()) form.bounds += ", ";
    form.bounds += name;
    names.push_back(name);
  }
  form.schema = {.kind = ValueSchema::Kind::kChoice, .choices = {names.begin(), names.end()}};
  form.parse = [choices, names](std::string_view text) -> Result<V> {
    for (const auto& [name, value] : choices) {
      if (name == text) return value;
    }
    return Fail(NotOneOf(text, names));
  };
  form.print = [choices](const V& printed) {
    for (const auto& [name, value] : choices) {
      if (value == printed) return std::string(name);
    }
    return std::string();
  };
  return form;
}

}  // namespace headrace::config
