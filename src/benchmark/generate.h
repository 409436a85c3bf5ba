// Turns a benchmark into a GPU profile.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "benchmark/benchmark_rows.h"
#include "profile/gpu_profile.h"
#include "slo/slo.h"

namespace headrace::benchmark {

struct GenerateOptions {
  std::string deployment;
  double cost = 1;  // Price of one unit of GPU time.
  // `percentile` picks the statistic that the latency SLOs bound; `tput` and `tt` bound means.
  slo::Slo slo;
  Seconds created = 0;  // Unix time.
};

// The result for one cell, and its reason.
struct CellReport {
  Tokens output_tokens = 0;
  Tokens input_tokens = 0;
  std::size_t rates_measured = 0;
  std::size_t rates_kept = 0;  // Those at which every SLO holds.
  // The request rate that the cell's numbers come from, and the requests measured at it; NaN and 0
  // if nothing was measured.
  double rate = std::numeric_limits<double>::quiet_NaN();
  std::int64_t samples = 0;
  // The highest rate measured still met every SLO: the GPU may be able to do more.
  bool unbounded = false;
  std::string why_zero;  // A clause; empty if tput > 0.
};

struct GeneratedProfile {
  profile::GpuProfile profile;
  std::vector<CellReport> cells;  // In the order of the matrices.
};

// The rules are those of AIBrix's gen_profile.py (pull request 1192), and give the same numbers.
// Per (output, input) cell, a request rate is kept if, in this order,
//   TPUT mean ≥ slo.tput, TT mean ≥ slo.tt, and the statistic of E2E, TTFT, TPAT, TPOT, NTPOT < its
// SLO, where TPAT = E2E / (input + output) and NTPOT = E2E / output. An SLO that is not set passes
// every rate that was measured in that metric; a rate without a row of it is not kept. Of the kept
// rates, the highest whose TPUT mean ≥ 0.9 · rate is taken, else the lowest; `tputs` = its TPUT
// mean, `e2e` its E2E mean. If no rate is kept, `tputs` = 0 and the latencies are those of the
// cell's first row.
//
// In addition: `ttft` and `tpot` always, where measured; ProfileDetail; an unmeasured cell is tput
// 0 and NaN instead of a crash; every zero has its reason.
//
// Errors: no rows, no deployment name, a cost below 0, a percentile other than 0, 50, 90, 95, 99,
// more bucket centres than kMaxBucketCentres. A profile of zeros only is no error: requests may
// have other SLOs. The caller warns of it (HasUsableCell).
Result<GeneratedProfile> GenerateProfile(const Benchmark& benchmark,
                                         const GenerateOptions& options);

// What was left out of the benchmark, whether it is of another deployment or SLO, why cells are 0,
// and how many cells meet the SLO: one sentence per line.
std::string DescribeGeneration(const Benchmark& benchmark, const GeneratedProfile& generated);

}  // namespace headrace::benchmark
