// The state of a load run, as text for a terminal.
#pragma once

#include <string>
#include <vector>

#include "load/load_generator.h"

namespace headrace::load {

// A row per class and, below it, a row per deployment that has served it:
//   offered   sent so far; for a deployment, sent to it
//   queued    sent, and no response has begun
//   SLO met   share of the requests that have ended
//   latencies of completed requests, P50 / P99
std::string LoadTable(const std::vector<std::string>& class_names, const LoadSnapshot& snapshot);

// Failures other than refusals, one line per kind; empty when there were none.
std::string FailureLines(const LoadSnapshot& snapshot);

// "12 of 60 s: 130 sent, 4 open, 0 refused, 0 failed or late, SLO met by 98.1 % of those that
// ended". `draining`: no more requests are sent.
std::string ProgressText(const LoadSnapshot& snapshot, Seconds duration, bool draining);

}  // namespace headrace::load
