// Recorded requests: when they arrived and how long they were.
#pragma once

#include <span>
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

// The readers below put `name` (a file) and the line into every error. An empty trace is an error.
// Rows that are out of order are sorted: recorders write when requests end. A row with no prompt
// tokens or no output tokens counts as one token.

// Azure's LLM inference traces: CSV `TIMESTAMP,ContextTokens,GeneratedTokens` with times like
// `2023-11-16 18:17:03.9799600`.
Result<Trace> ParseAzureTrace(std::string_view csv, std::string_view name);

// Mooncake's traces: JSON lines {"timestamp": ms, "input_length": …, "output_length": …}; other
// keys (`hash_ids`) are ignored. A last line that breaks off, because the recording was stopped,
// is ignored too.
Result<Trace> ParseMooncakeTrace(std::string_view jsonl, std::string_view name);

// Reads either format; the first line tells which.
Result<Trace> ParseTrace(std::string_view text, std::string_view name);

// Shifts traces of the same clock so that the first request of all traces arrives at 0.
void BeginAtZero(std::span<Trace> traces);

// Mean requests per second over the trace's span; 0 for fewer than two rows.
double MeanRate(const Trace& trace);

}  // namespace headrace::workload
