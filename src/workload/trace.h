// Recorded requests: when they arrived and how long they were.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "workload/lengths.h"

namespace headrace::workload {

struct TraceRow {
  Seconds at = 0;  // By the clock of the recorder, until BeginAtZero.
  RequestLength length;
  bool operator==(const TraceRow&) const = default;
};

// In order of time.
using Trace = std::vector<TraceRow>;

// What a file of requests holds.
struct RequestFile {
  std::string format;  // "Azure's CSV"
  Trace rows;          // Without times all are at 0, in the order of the file.
  bool timed = false;
  std::vector<std::string> notes;  // A sentence about what was left out or estimated, each.
};

// What "s", "ms", "us" and "ns" are in seconds; nullopt for another word.
std::optional<Seconds> TimeUnitOf(std::string_view word);

// Reads any of these; the content tells which:
//   CSV with a header, whose columns may be in any order, among others and in quotes: Azure's
//       traces of 2023 and 2024, BurstGPT, the files that Headrace writes, and one's own;
//   JSON lines, or an array, of objects with such keys: Mooncake's traces, recordings of
//       `/debug/record`, aiperf's profile_export.jsonl;
//   conversations in ShareGPT's form, whose lengths are estimated from their texts;
//   results of `vllm bench serve --save-detailed` and guidellm's benchmarks.json.
// docs/traces.md has the names of columns and keys.
//
// A time is a date as in ISO 8601 (its zone counts; without one it is UTC) or a number, from any
// beginning. The unit of a number is told by its name (`arrival_ms`) or by the format; of others it
// is `time_unit` (in seconds), and an error without that.
//
// Requests are sorted: recorders write when requests end. One that failed, or is without prompt or
// output tokens, is left out, with a note, as is a last line that breaks off. Every error begins
// with `name` (a file) and the line, if there are lines. A file without requests is an error.
Result<RequestFile> ReadRequests(std::string_view text, std::string_view name,
                                 std::optional<Seconds> time_unit = std::nullopt);

// The same of a file that must have times.
Result<RequestFile> ReadTrace(std::string_view text, std::string_view name,
                              std::optional<Seconds> time_unit = std::nullopt);

// The same of a file of which only the lengths matter.
Result<RequestFile> ReadLengths(std::string_view text, std::string_view name);
std::vector<RequestLength> LengthsOf(const Trace& trace);

// Shifts traces of the same clock so that the first request of all traces arrives at 0.
void BeginAtZero(std::span<Trace> traces);

// Mean requests per second over the trace's span; 0 for fewer than two rows.
double MeanRate(const Trace& trace);

}  // namespace headrace::workload
