// What a load has come to, as a table for people.
#pragma once

#include <string>
#include <vector>

#include "load/load_generator.h"

namespace headrace::cli {

// A row per class and, under it, per deployment that has served it:
//   offered   sent so far (of a deployment: sent there)
//   queued    sent, and nobody has begun to answer
//   SLO met   of what has ended, and of all requests that have ended
//   latencies of completed requests, P50 / P99
std::string LoadTable(const std::vector<std::string>& class_names,
                      const load::LoadSnapshot& snapshot);

// Failures that were no refusals, a line each; empty when there were none.
std::string FailureLines(const load::LoadSnapshot& snapshot);

}  // namespace headrace::cli
