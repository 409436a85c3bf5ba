// What a load came to, as files.
#pragma once

#include <string>

#include "load/load_generator.h"

namespace headrace::load {

// The client itself could not keep up when the 99th percentile of the send lag is above this; what
// it measured then says little about the server.
inline constexpr Seconds kOverloadLag = 20 * kMillisecond;
bool ClientOverloaded(const LoadSnapshot& snapshot);

// One JSON object of a run that has ended:
//   "target", "model", "policy", "seed", "rate_scale", "stream", "duration_s" (of arrivals),
//   "elapsed_s", "client_overloaded", "send_lag_s": {"p50", "p99", "max"},
//   "failures": {"status 502": 3, …}, then all classes together and each alone as
//   FormatReportMembers writes them, each class also with "slo" and
//   "deployments": {"llama2-7b-a10": {…}, …}, where "offered" is what was sent there.
std::string LoadReportJson(const LoadOptions& options, const LoadSnapshot& snapshot);

// One request a line, for plots and comparisons.
std::string_view LoadResultCsvHeader();
std::string LoadResultCsvRow(const LoadOptions& options, const LoadResult& result);

}  // namespace headrace::load
