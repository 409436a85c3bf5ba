// Requests that somebody recorded: when they came and how long they were.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "workload/lengths.h"

namespace headrace::workload {

struct TraceRow {
  Seconds at = 0;  // By the clock of whoever recorded it, until BeginAtZero.
  RequestLength length;
  bool operator==(const TraceRow&) const = default;
};

// In order of time.
using Trace = std::vector<TraceRow>;

// The readers below put `name` (a file) and the line into every error, and refuse an empty trace.
// Rows that are out of order are sorted: recorders write when requests end. A row of no prompt
// tokens or no output tokens counts as one token.

// Azure's LLM inference traces: CSV `TIMESTAMP,ContextTokens,GeneratedTokens` with times like
// `2023-11-16 18:17:03.9799600`.
Result<Trace> ParseAzureTrace(std::string_view csv, std::string_view name);

// Mooncake's traces: JSON lines {"timestamp": ms, "input_length": …, "output_length": …}; other
// keys (`hash_ids`) are left alone. A last line that breaks off, because somebody stopped the
// recording, does not count.
Result<Trace> ParseMooncakeTrace(std::string_view jsonl, std::string_view name);

// Whichever of the two the first line looks like.
Result<Trace> ParseTrace(std::string_view text, std::string_view name);

// Shifts traces of the same clock such that the first request of all comes at 0.
void BeginAtZero(std::span<Trace> traces);

// Mean requests per second over the trace's span; 0 for fewer than two rows.
double MeanRate(const Trace& trace);

}  // namespace headrace::workload
