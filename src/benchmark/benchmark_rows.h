// The benchmark file that a profile is made from: AIBrix's JSON lines.
//
//   {"input_tokens": 128, "output_tokens": 4, "request_rate": 1.0, "seed": 0, "model": "llama2-7b",
//    "samples": 100, "metric": "E2E", "mean": 0.57, "P50": 0.08, "P90": 1.55, "P99": 3.88}
//
// "P95" is Headrace's own, where it was measured.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "benchmark/measurement.h"

namespace headrace::benchmark {

enum class Metric : std::uint8_t {
  kTput,  // Requests finished per second.
  kTt,    // Output tokens per second.
  kE2e,   // Seconds, as are the others.
  kTtft,
  kTpot,
};
inline constexpr std::size_t kMetrics = 5;

// "TPUT", "TT", "E2E", "TTFT", "TPOT".
std::string_view MetricName(Metric metric);

// One line.
struct BenchmarkRow {
  Tokens input_tokens = 0;
  Tokens output_tokens = 0;
  double request_rate = 0;  // Offered, req/s; infinity = all at once.
  std::int64_t seed = 0;
  std::string model;
  std::int64_t samples = 0;  // Requests measured.
  Metric metric = Metric::kTput;
  Statistics value;  // Of TPUT and TT only the mean.
  // Beyond AIBrix's: what was measured, and the SLO that decided which rates were; empty: not said.
  std::string deployment = {};
  std::string slo = {};
};

struct Benchmark {
  std::vector<BenchmarkRow> rows;       // In file order, without repetitions.
  std::size_t repeated_rows = 0;        // Left out: the first of its kind counts.
  std::size_t unknown_metric_rows = 0;  // Left out: no profile needs the metric.
  bool broken_off = false;              // The last line was, and is left out.
};

// Reads the lines. Blank lines, unknown keys and a last line that breaks off are ignored; `seed`,
// `model`, `samples` and every statistic may be missing, NaN or null. Errors name `name` and the
// line: not JSON, a missing or impossible `input_tokens`, `output_tokens`, `request_rate` or
// `metric`, no rows, rows of several deployments or models.
Result<Benchmark> ParseBenchmark(std::string_view jsonl, std::string_view name);

// One line of the file, newline included.
std::string FormatBenchmarkRow(const BenchmarkRow& row);

// The rows of one measurement, by metric. A rate that is not sustained has no TPOT row: both
// GenerateProfile and AIBrix's generator drop a rate that lacks one of the metrics, for any
// SLO. Its E2E and TTFT stay, because AIBrix's generator fails on a cell without any. Numbers are
// rounded to six significant digits.
std::vector<BenchmarkRow> RowsOf(const Measurement& measured, std::int64_t seed,
                                 const std::string& model);

// The measurement that the rows of one point contain; the inverse of RowsOf.
Measurement MeasurementOf(std::span<const BenchmarkRow> rows);

}  // namespace headrace::benchmark
