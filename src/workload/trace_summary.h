// What a trace is like: its rate, lengths and bursts.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "base/units.h"
#include "workload/trace.h"
#include "workload/workload.h"

namespace headrace::workload {

// Of one of the two lengths, in tokens.
struct LengthSummary {
  double mean = 0;
  Tokens p50 = 0;
  Tokens p90 = 0;
  Tokens p95 = 0;
  Tokens p99 = 0;
  Tokens most = 0;
  std::vector<Tokens> percentiles;     // P0, P1, … P100.
  std::vector<std::size_t> doublings;  // Requests of 2^i to 2^(i+1) - 1 tokens.
};

// How arrivals differ between windows of one length.
struct BurstSummary {
  Seconds window = 0;
  double peak_rate = 0;   // Requests per second of the fullest window.
  double dispersion = 0;  // Variance of the windows' counts / their mean: 1 is Poisson.
  // The median over windows of at least 20 requests of the CV of the gaps in each; nullopt if there
  // are none.
  std::optional<double> gap_cv;
};

struct TraceSummary {
  std::size_t requests = 0;
  bool timed = false;
  LengthSummary prompt;
  LengthSummary output;
  // The rest is 0 or empty without times, and if all requests came at once.
  Seconds span = 0;      // From the first arrival to the last.
  double mean_rate = 0;  // MeanRate.
  double gap_cv = 0;     // Standard deviation of the gaps / their mean: 1 is Poisson.
  // Requests per second in equal parts of the span: up to 120, of ten requests on average.
  std::vector<double> rates;
  std::vector<BurstSummary> bursts;  // By windows of which at least ten fit into the span.
};

// `file.rows` must not be empty.
TraceSummary Summarize(const RequestFile& file);

// Requests whose prompt leaves no room for a token within the context, and those whose output is
// cut there.
struct BeyondContext {
  std::size_t prompts = 0;
  std::size_t outputs = 0;
};
BeyondContext CountBeyond(const Trace& trace, Tokens context);

// A sentence about each class whose trace is longer than a run of `duration` seconds, and cut, or
// shorter, so that nothing comes of it at the end. `rate_scale`: as of WorkloadStream.
std::vector<std::string> DescribeReplays(const Workload& workload, Seconds duration,
                                         double rate_scale = 1);

}  // namespace headrace::workload
