#include "workload/trace_fields.h"

#include <charconv>
#include <chrono>
#include <cmath>
#include <utility>

#include "base/limits.h"
#include "base/text.h"

namespace headrace::workload {
namespace {

// In seconds since 1970, or any other beginning; larger numbers are no times.
constexpr double kMostSeconds = 1e12;

constexpr std::array<std::string_view, 22> kTimes{
    "time",        "timestamp",         "at",           "arrival",    "arrival_time",
    "arrivaltime", "arrived",           "arrived_at",   "arrives_at", "start",
    "start_time",  "request_start",     "request_time", "created",    "created_at",
    "date",        "datetime",          "offset",       "epoch",      "unix_time",
    "elapsed",     "request_start_time"};
constexpr std::array<std::string_view, 15> kPrompts{"prompt_tokens",      "input_tokens",
                                                    "context_tokens",     "contexttokens",
                                                    "request_tokens",     "input_length",
                                                    "prompt_length",      "prompt_len",
                                                    "input_len",          "num_prompt_tokens",
                                                    "num_prefill_tokens", "input_sequence_length",
                                                    "prompt_token_count", "isl",
                                                    "prompttokens"};
constexpr std::array<std::string_view, 16> kOutputs{"output_tokens",
                                                    "response_tokens",
                                                    "generated_tokens",
                                                    "generatedtokens",
                                                    "completion_tokens",
                                                    "output_length",
                                                    "output_len",
                                                    "response_length",
                                                    "num_output_tokens",
                                                    "num_decode_tokens",
                                                    "output_sequence_length",
                                                    "output_token_count",
                                                    "completion_token_count",
                                                    "osl",
                                                    "outputtokens",
                                                    "completion_length"};

struct Unit {
  std::string_view word;
  Seconds seconds;
};
constexpr std::array<Unit, 17> kUnits{{{"s", 1},
                                       {"sec", 1},
                                       {"secs", 1},
                                       {"second", 1},
                                       {"seconds", 1},
                                       {"ms", 1e-3},
                                       {"msec", 1e-3},
                                       {"msecs", 1e-3},
                                       {"millis", 1e-3},
                                       {"millisecond", 1e-3},
                                       {"milliseconds", 1e-3},
                                       {"us", 1e-6},
                                       {"microsecond", 1e-6},
                                       {"microseconds", 1e-6},
                                       {"ns", 1e-9},
                                       {"nanosecond", 1e-9},
                                       {"nanoseconds", 1e-9}}};

// In small letters, words separated by one "_": "Arrival time (ms)" is "arrival_time_ms".
std::string Plain(std::string_view name) {
  std::string plain;
  for (const char c : name) {
    if (c >= 'A' && c <= 'Z') {
      plain += static_cast<char>(c - 'A' + 'a');
    } else if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) {
      plain += c;
    } else if (!plain.empty() && plain.back() != '_') {
      plain += '_';
    }
  }
  while (plain.ends_with('_')) plain.pop_back();
  return plain;
}

bool IsOneOf(std::string_view word, const auto& words) {
  for (const std::string_view other : words) {
    if (word == other) return true;
  }
  return false;
}

std::optional<Seconds> SecondsOf(std::string_view word) {
  for (const Unit& unit : kUnits) {
    if (word == unit.word) return unit.seconds;
  }
  return std::nullopt;
}

std::optional<double> NumberOf(std::string_view text) {
  double number = 0;
  const char* end = text.data() + text.size();
  const auto [stop, fault] = std::from_chars(text.data(), end, number);
  if (fault != std::errc{} || stop != end || !std::isfinite(number)) return std::nullopt;
  return number;
}

// Takes a date and time off the text's beginning, piece by piece.
class DateReader {
 public:
  explicit DateReader(std::string_view text) : text_(text) {}

  // Exactly `count` digits, a number from `low` to `high`.
  std::optional<int> Digits(std::size_t count, int low, int high) {
    int value = 0;
    if (text_.size() < count) return std::nullopt;
    for (const char c : text_.substr(0, count)) {
      if (c < '0' || c > '9') return std::nullopt;
      value = 10 * value + (c - '0');
    }
    if (value < low || value > high) return std::nullopt;
    text_.remove_prefix(count);
    return value;
  }
  bool Take(char c) {
    if (!text_.starts_with(c)) return false;
    text_.remove_prefix(1);
    return true;
  }
  // ".98", ",98" or nothing.
  std::optional<double> Fraction() {
    if (!Take('.') && !Take(',')) return 0;
    double fraction = 0;
    double unit = 0.1;
    std::size_t digits = 0;
    while (digits < text_.size() && text_[digits] >= '0' && text_[digits] <= '9') {
      fraction += (text_[digits++] - '0') * unit;
      unit /= 10;
    }
    text_.remove_prefix(digits);
    if (digits == 0) return std::nullopt;
    return fraction;
  }
  // "Z", "+02:00", "-0530", "+02", after a blank or not; `zoned` says whether there is one.
  std::optional<Seconds> Zone(bool& zoned) {
    const bool blank = Take(' ');
    zoned = !text_.empty();
    if (!zoned) return blank ? std::nullopt : std::optional<Seconds>(0);
    if (Take('Z') || Take('z')) return 0;
    if (text_ == "UTC" || text_ == "GMT") {
      text_ = {};
      return 0;
    }
    const double sign = text_.starts_with('-') ? -1 : 1;
    if (!Take('+') && !Take('-')) return std::nullopt;
    const std::optional<int> hours = Digits(2, 0, 23);
    if (!hours) return std::nullopt;
    Take(':');
    const std::optional<int> minutes = text_.empty() ? 0 : Digits(2, 0, 59);
    if (!minutes) return std::nullopt;
    return sign * (*hours * 3600 + *minutes * 60);
  }
  bool done() const { return text_.empty(); }

 private:
  std::string_view text_;
};

struct Date {
  Seconds at = 0;  // Since 1970.
  bool zoned = false;
};

// 2023-11-16 18:17:03.9799600, 2024-05-10T00:00:00.009930+00:00; nullopt for anything else.
std::optional<Date> ParseDate(std::string_view text) {
  DateReader reader(text);
  const auto year = reader.Digits(4, 1970, 9999);
  if (!year || !reader.Take('-')) return std::nullopt;
  const auto month = reader.Digits(2, 1, 12);
  if (!month || !reader.Take('-')) return std::nullopt;
  const auto day = reader.Digits(2, 1, 31);
  if (!day || !(reader.Take(' ') || reader.Take('T'))) return std::nullopt;
  const auto hour = reader.Digits(2, 0, 23);
  if (!hour || !reader.Take(':')) return std::nullopt;
  const auto minute = reader.Digits(2, 0, 59);
  if (!minute) return std::nullopt;
  std::optional<int> second = 0;
  std::optional<double> fraction = 0;
  if (reader.Take(':')) {
    second = reader.Digits(2, 0, 60);
    if (!second) return std::nullopt;
    fraction = reader.Fraction();
  }
  Date date;
  const auto zone = fraction ? reader.Zone(date.zoned) : std::nullopt;
  const std::chrono::year_month_day calendar{std::chrono::year(*year),
                                             std::chrono::month(static_cast<unsigned>(*month)),
                                             std::chrono::day(static_cast<unsigned>(*day))};
  if (!zone || !reader.done() || !calendar.ok()) return std::nullopt;
  const auto days = std::chrono::sys_days(calendar).time_since_epoch().count();
  date.at =
      static_cast<double>(days) * 86400 + *hour * 3600 + *minute * 60 + *second - *zone + *fraction;
  return date;
}

std::string_view WordOf(Field field) {
  if (field == Field::kTime) return "the times";
  return field == Field::kPromptTokens ? "the prompts' tokens" : "the outputs' tokens";
}

}  // namespace

std::optional<NamedField> FieldOf(std::string_view column) {
  const std::string plain = Plain(column);
  if (IsOneOf(plain, kPrompts)) return NamedField{Field::kPromptTokens, {}};
  if (IsOneOf(plain, kOutputs)) return NamedField{Field::kOutputTokens, {}};
  if (IsOneOf(plain, kTimes)) return NamedField{Field::kTime, {}};
  const std::size_t last = plain.rfind('_');
  const std::optional<Seconds> unit = SecondsOf(
      last == plain.npos ? std::string_view(plain) : std::string_view(plain).substr(last + 1));
  if (!unit) return std::nullopt;
  if (last != plain.npos && !IsOneOf(plain.substr(0, last), kTimes)) return std::nullopt;
  return NamedField{Field::kTime, unit};
}

Result<void> FieldColumns::Add(std::string_view name, std::size_t index) {
  const std::optional<NamedField> named = FieldOf(name);
  if (!named) return {};
  Column& column = columns_[static_cast<std::size_t>(named->field)];
  if (column.index) {
    return Fail("both \"" + column.name + "\" and \"" + Excerpt(name) + "\" may be " +
                std::string(WordOf(named->field)) + "; rename or remove one");
  }
  column = {index, std::string(name)};
  if (named->field == Field::kTime) time_unit_ = named->unit;
  return {};
}

Result<void> FieldColumns::CheckLengths() const {
  for (const Field field : {Field::kPromptTokens, Field::kOutputTokens}) {
    if (IndexOf(field)) continue;
    return Fail("none is called like " + std::string(WordOf(field)) + "; call one \"" +
                (field == Field::kPromptTokens ? "prompt_tokens" : "output_tokens") + "\"");
  }
  return {};
}

Result<Seconds> TimeColumn::Read(std::string_view text) {
  if (const std::optional<double> number = NumberOf(text)) return Read(*number);
  const std::optional<Date> date = ParseDate(text);
  if (!date) {
    return Fail("\"" + Excerpt(text) +
                "\" is not a time; write it as 2023-11-16 18:17:03.98, or as a number of seconds");
  }
  if (zoned_.value_or(date->zoned) != date->zoned) {
    return Fail("\"" + Excerpt(text) + "\" " +
                (date->zoned ? "has a time zone, and those before it have none"
                             : "has no time zone, and those before it have one") +
                "; write it in all of them");
  }
  zoned_ = date->zoned;
  return date->at;
}

Result<Seconds> TimeColumn::Read(double number) const {
  if (told_ && asked_ && *told_ != *asked_) {
    return Fail("\"" + name_ + "\" is in another unit than the one asked for; leave that out");
  }
  const std::optional<Seconds> unit = told_ ? told_ : asked_;
  if (!unit) {
    return Fail("the unit of the numbers under \"" + name_ + "\" is not known; call it \"" + name_ +
                "_s\" or \"" + name_ + "_ms\", or give the time unit");
  }
  const Seconds at = number * *unit;
  if (!(at >= 0 && at <= kMostSeconds)) {
    return Fail("the time " + FormatJsonNumber(number) + " under \"" + name_ +
                "\" is out of bounds; 0 to 1e12 seconds is allowed");
  }
  return at;
}

Result<Tokens> ReadTokens(double number) {
  if (!(number >= 0) || number != std::floor(number)) {
    return Fail("\"" + FormatJsonNumber(number) +
                "\" is not a number of tokens; write a whole number");
  }
  if (number > limits::kMostTokens) {
    return Fail("\"" + FormatJsonNumber(number) + "\" tokens are more than any request has; " +
                std::to_string(limits::kMostTokens) + " are allowed");
  }
  return static_cast<Tokens>(number);
}

Result<Tokens> ReadTokens(std::string_view text) {
  const std::optional<double> number = NumberOf(text);
  if (!number) {
    return Fail("\"" + Excerpt(text) + "\" is not a number of tokens; write a whole number");
  }
  return ReadTokens(*number);
}

}  // namespace headrace::workload
