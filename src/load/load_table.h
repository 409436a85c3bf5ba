// The state of a load run, as text for a terminal.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "load/load_generator.h"
#include "load/load_report.h"

namespace headrace::load {

inline constexpr double kTablePercentiles[] = {50, 99};

// A row per class and, below it, a row per deployment that has served it:
//   offered   sent so far; for a deployment, sent to it
//   queued    sent, and no response has begun
//   SLO met   share of the requests that have ended
//   latencies of completed requests, at these percentiles; n/a if no response had it
std::string LoadTable(const std::vector<std::string>& class_names, const LoadSnapshot& snapshot,
                      std::span<const double> percentiles = kTablePercentiles);

// A row per stage: what was offered, what came of it, rates and latencies.
std::string StageTable(std::span<const LoadStage> stages,
                       std::span<const double> percentiles = kTablePercentiles);

// "Per second of 60 s of arrivals: 10.9 requests completed, 10.8 within their SLO (goodput), …".
std::string RateLine(const LoadStage& stage);

// Why requests were not completed, the five commonest reasons, each with what the server said to
// one of them; empty when all were.
std::string FailureLines(const LoadSnapshot& snapshot);

// "12 of 60 s: 130 sent, 4 open, 0 refused, 0 failed or late, SLO met by 98.1 % of those that
// ended". `draining`: no more requests are sent.
std::string ProgressText(const LoadSnapshot& snapshot, Seconds duration, bool draining);

}  // namespace headrace::load
