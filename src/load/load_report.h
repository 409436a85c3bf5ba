// The results of a load, as files.
#pragma once

#include <string>

#include "load/load_generator.h"

namespace headrace::load {

// The client itself could not keep up if the 99th percentile of the send lag is above this; its
// measurements then say little about the server.
inline constexpr Seconds kOverloadLag = 20 * kMillisecond;
bool ClientOverloaded(const LoadSnapshot& snapshot);

// One JSON object of a run that has ended:
//   "target", "model", "policy", "seed", "rate_scale", "stream", "duration_s" (of arrivals),
//   "elapsed_s", "client_overloaded", "send_lag_s": {"p50", "p99", "max"},
//   "failures": {"status 502": 3, …}, then all classes together as workload::WriteReport writes
//   them, and "classes": {"chat": {…}, …} with the same for each class, its "slo" and
//   "deployments": {"llama2-7b-a10": {…}, …}, where "offered" is what was sent there.
std::string LoadReportJson(const LoadOptions& options, const LoadSnapshot& snapshot);

// One line per request, for plots and comparisons.
std::string_view LoadResultCsvHeader();
std::string LoadResultCsvRow(const LoadOptions& options, const LoadResult& result);

}  // namespace headrace::load
