#include "workload/trace.h"

#include <algorithm>
#include <array>
#include <tuple>
#include <utility>

#include "base/limits.h"
#include "base/text.h"
#include "workload/request_rows.h"

namespace headrace::workload {

std::optional<Seconds> TimeUnitOf(std::string_view word) {
  constexpr std::array<std::pair<std::string_view, Seconds>, 4> kUnits{
      {{"s", 1}, {"ms", 1e-3}, {"us", 1e-6}, {"ns", 1e-9}}};
  for (const auto& [known, seconds] : kUnits) {
    if (word == known) return seconds;
  }
  return std::nullopt;
}

void RequestRows::Add(std::optional<Seconds> at, Tokens prompt, Tokens output) {
  if (prompt < 1 || output < 1) {
    ++without_tokens_;
    return;
  }
  timed_ += at.has_value();
  rows_.push_back({at.value_or(0), {prompt, output}});
}

Result<RequestFile> RequestRows::Finish(std::string_view format) && {
  if (rows_.empty()) {
    const std::string_view which = without_tokens_ > 0 ? " with prompt and output tokens"
                                   : failed_ > 0       ? " that were completed"
                                                       : "";
    return Fail(name_ + ": it has no requests" + std::string(which) + "; name another file");
  }
  if (timed_ > 0 && timed_ < rows_.size()) {
    return Fail(name_ + ": only " + std::to_string(timed_) + " of its " +
                std::to_string(rows_.size()) + " requests have times; leave out the others");
  }
  const bool timed = timed_ > 0;
  if (timed) {
    std::ranges::sort(rows_, {}, [](const TraceRow& row) {
      return std::tuple(row.at, row.length.prompt_tokens, row.length.output_tokens);
    });
    if (!limits::kDuration.Contains(rows_.back().at - rows_.front().at)) {
      return Fail(name_ + ": its requests are spread over more than a year; give a part");
    }
  }
  RequestFile file{
      .format = std::string(format), .rows = std::move(rows_), .timed = timed, .notes = {}};
  const std::string all = std::to_string(file.rows.size() + failed_ + without_tokens_);
  const auto note = [&](std::size_t count, const std::string& what) {
    if (count == 0) return;
    file.notes.push_back(name_ + ": " + std::to_string(count) + " of " + all + " requests " + what +
                         " and are left out");
  };
  note(failed_, "failed or did not end");
  note(without_tokens_, "have no prompt or no output tokens");
  if (broken_line_ > 0) {
    file.notes.push_back(name_ + ":" + std::to_string(broken_line_) +
                         ": the last line breaks off and is left out");
  }
  return file;
}

Result<RequestFile> ReadRequests(std::string_view text, std::string_view name,
                                 std::optional<Seconds> time_unit) {
  const std::size_t begin = text.find_first_not_of("\xEF\xBB\xBF \t\r\n");
  const bool json = begin != text.npos && (text[begin] == '{' || text[begin] == '[');
  return json ? ReadRequestJson(text.substr(begin), name, time_unit)
              : ReadRequestCsv(text, name, time_unit);
}

Result<RequestFile> ReadTrace(std::string_view text, std::string_view name,
                              std::optional<Seconds> time_unit) {
  HEADRACE_ASSIGN(RequestFile file, ReadRequests(text, name, time_unit));
  if (file.timed) return file;
  return Fail(std::string(name) + ": it has lengths but no times (" + file.format +
              "); name it under lengths, with a rate, or name another file");
}

Result<RequestFile> ReadLengths(std::string_view text, std::string_view name) {
  auto file = ReadRequests(text, name);
  // Times without a unit are no fault here.
  if (!file) {
    if (auto other = ReadRequests(text, name, 1)) return other;
  }
  return file;
}

std::vector<RequestLength> LengthsOf(const Trace& trace) {
  std::vector<RequestLength> lengths;
  lengths.reserve(trace.size());
  for (const TraceRow& row : trace) lengths.push_back(row.length);
  return lengths;
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
