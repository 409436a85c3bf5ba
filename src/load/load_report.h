// The results of a load, as files and as sentences.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "load/load_generator.h"

namespace headrace::load {

// One run of several: each with its own rates, or its own number of open requests.
struct LoadStage {
  LoadOptions options;
  LoadSnapshot snapshot;
};

// What a reader of the figures must know: the client was the limit, requests that are in no count,
// prompts or answers of other lengths than were asked for, prompts from a cache, answers that were
// not streamed. One sentence each; lengths and caches from 5 % on.
std::vector<std::string> LoadWarnings(const LoadOptions& options, const LoadSnapshot& snapshot);

// Requests per second that the workload asks for at the start; a closed loop has none.
double OfferedRate(const LoadOptions& options);

// One JSON object of a run that has ended:
//   "target", "model", "api", "policy", "seed", "rate" (asked for, per second; null: closed loop),
//   "rate_scale", "concurrency" (null: open loop), "stream", "warm_up", "rates_over": "arrivals" or
//   "steady part", "arrivals_s" (what rates are per second of), "elapsed_s", "warnings": […],
//   "send_lag_s": {"p50", "p99", "max"}, "not_counted": {reason: 3, …},
//   "failures": [{"reason": "status 502", "count": 3, "example": "…"}, …], the commonest first,
//   then all classes together as workload::WriteReport writes them, and
//   "classes": {"chat": {…}, …} with the same for each class, its "slo", its "asked" (see below)
//   and "deployments": {"llama2-7b-a10": {…}, …}, where "offered" is what was sent there.
//   "asked": {"prompt_tokens": {"asked", "got", "off"}, "output_tokens": {…},
//             "cached_prompt_tokens"}: sums over the completed requests; "off" is a share.
// Of several stages, of which `stages` were run: {"stages_asked": 3, "stages": [the same, …]}.
std::string LoadReportJson(std::span<const LoadStage> stages, std::size_t stages_asked = 1,
                           std::span<const double> percentiles = workload::kUsualPercentiles);

// One line per request, for plots and comparisons. `stage` counts from 1. A request that was not
// completed has 0 output tokens: so readers of traces leave it out. What did not happen is an empty
// cell.
std::string_view LoadResultCsvHeader();
std::string LoadResultCsvRow(const LoadOptions& options, std::size_t stage,
                             const LoadResult& result);

}  // namespace headrace::load
