#include "workload/trace.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <nlohmann/json.hpp>
#include <optional>
#include <tuple>
#include <utility>

#include "base/csv.h"
#include "base/limits.h"

namespace headrace::workload {
namespace {

// Of Mooncake's lines; larger numbers are an error.
constexpr double kMaxTimestamp = 1e15;

// Reads the digits at `from`; nullopt if there is anything else.
std::optional<int> Digits(std::string_view text, std::size_t from, std::size_t count) {
  int value = 0;
  if (from + count > text.size()) return std::nullopt;
  const char* begin = text.data() + from;
  const auto [stop, fault] = std::from_chars(begin, begin + count, value);
  if (fault != std::errc{} || stop != begin + count || *begin == '-') return std::nullopt;
  return value;
}

// "2023-11-16 18:17:03.9799600", as seconds since 1970. A time zone may follow; it is ignored,
// because it is the same in all rows and only differences matter.
std::optional<Seconds> ParseTimestamp(std::string_view text) {
  const auto year = Digits(text, 0, 4);
  const auto month = Digits(text, 5, 2);
  const auto day = Digits(text, 8, 2);
  const auto hour = Digits(text, 11, 2);
  const auto minute = Digits(text, 14, 2);
  const auto second = Digits(text, 17, 2);
  if (!year || !month || !day || !hour || !minute || !second) return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year(*year),
                                         std::chrono::month(static_cast<unsigned>(*month)),
                                         std::chrono::day(static_cast<unsigned>(*day))};
  if (!date.ok()) return std::nullopt;
  double fraction = 0;
  double unit = 0.1;
  if (text.size() > 19 && text[19] == '.') {
    for (const char digit : text.substr(20)) {
      if (digit < '0' || digit > '9') break;
      fraction += (digit - '0') * unit;
      unit /= 10;
    }
  }
  const auto days = std::chrono::sys_days(date).time_since_epoch().count();
  return static_cast<double>(days) * 86400 + *hour * 3600 + *minute * 60 + *second + fraction;
}

Result<Trace> Finish(Trace trace, std::string_view name) {
  if (trace.empty()) {
    return Fail(std::string(name) + ": it has no requests; name another trace");
  }
  std::ranges::sort(trace, {}, [](const TraceRow& row) {
    return std::tuple(row.at, row.length.prompt_tokens, row.length.output_tokens);
  });
  if (!limits::kDuration.Contains(trace.back().at - trace.front().at)) {
    return Fail(std::string(name) + ": its requests are spread over more than a year; give a part");
  }
  for (TraceRow& row : trace) {
    row.length.prompt_tokens = std::max(row.length.prompt_tokens, Tokens{1});
    row.length.output_tokens = std::max(row.length.output_tokens, Tokens{1});
  }
  return trace;
}

}  // namespace

Result<Trace> ParseAzureTrace(std::string_view csv, std::string_view name) {
  CsvReader reader(csv, name);
  HEADRACE_TRY(reader.ReadHeader({"TIMESTAMP", "ContextTokens", "GeneratedTokens"}));
  Trace trace;
  while (reader.NextRow()) {
    HEADRACE_ASSIGN(const std::string_view cell, reader.At(0));
    const std::optional<Seconds> at = ParseTimestamp(cell);
    if (!at) {
      return reader.FailHere("\"" + std::string(cell) +
                             "\" is not a time; write it as 2023-11-16 18:17:03.98");
    }
    HEADRACE_ASSIGN(const Tokens prompt, reader.TokensAt(1));
    HEADRACE_ASSIGN(const Tokens output, reader.TokensAt(2));
    trace.push_back({*at, {prompt, output}});
  }
  return Finish(std::move(trace), name);
}

Result<Trace> ParseMooncakeTrace(std::string_view jsonl, std::string_view name) {
  Trace trace;
  std::size_t line = 0;
  while (!jsonl.empty()) {
    ++line;
    const std::size_t end = jsonl.find('\n');
    const std::string_view text = jsonl.substr(0, end);
    jsonl.remove_prefix(end == std::string_view::npos ? jsonl.size() : end + 1);
    if (text.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const auto where = [&] { return std::string(name) + ":" + std::to_string(line) + ": "; };
    const auto row = nlohmann::json::parse(text, nullptr, false);
    if (row.is_discarded() && end == std::string_view::npos && !trace.empty()) break;
    if (!row.is_object()) {
      return Fail(where() +
                  "the line is not a JSON object; write it like {\"timestamp\": 12.5, "
                  "\"input_length\": 800, \"output_length\": 90}");
    }
    std::array<double, 3> numbers{};
    constexpr std::array<const char*, 3> kKeys{"timestamp", "input_length", "output_length"};
    for (std::size_t i = 0; i < kKeys.size(); ++i) {
      const auto found = row.find(kKeys[i]);
      const double max = i == 0 ? kMaxTimestamp : limits::kMostTokens;
      if (found == row.end() || !found->is_number() || found->get<double>() < 0 ||
          found->get<double>() > max) {
        return Fail(where() + "\"" + kKeys[i] + "\" must be a number from 0 to " +
                    (i == 0 ? "1e15 (ms)" : "16777216 (tokens)"));
      }
      numbers[i] = found->get<double>();
    }
    trace.push_back({numbers[0] * kMillisecond,
                     {static_cast<Tokens>(numbers[1]), static_cast<Tokens>(numbers[2])}});
  }
  return Finish(std::move(trace), name);
}

Result<Trace> ParseTrace(std::string_view text, std::string_view name) {
  const std::size_t begin = text.find_first_not_of("\xEF\xBB\xBF \t\r\n");
  if (begin != std::string_view::npos && text[begin] == '{') return ParseMooncakeTrace(text, name);
  return ParseAzureTrace(text, name);
}

void BeginAtZero(std::span<Trace> traces) {
  Seconds first = kNever;
  for (const Trace& trace : traces) {
    if (!trace.empty()) first = std::min(first, trace.front().at);
  }
  for (Trace& trace : traces) {
    for (TraceRow& row : trace) row.at -= first;
  }
}

double MeanRate(const Trace& trace) {
  if (trace.size() < 2 || trace.back().at <= trace.front().at) return 0;
  return static_cast<double>(trace.size() - 1) / (trace.back().at - trace.front().at);
}

}  // namespace headrace::workload
