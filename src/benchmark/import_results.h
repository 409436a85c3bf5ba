// Results of other load generators, as measurements for a profile.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "benchmark/benchmark_rows.h"

namespace headrace::benchmark {

// Whose results a text holds: "vllm bench serve", "guidellm" or "aiperf"; nullopt: none of these.
std::optional<std::string_view> ToolOfResults(std::string_view text);
// About a run of theirs in another form, which is not read: what it is and what is, as a clause;
// empty: none.
std::string_view OtherFormOfResults(std::string_view text);

struct ImportedResults {
  std::vector<BenchmarkRow> rows;
  std::vector<std::string> notes;  // What was not as a profile needs it: a sentence each.
};

// The measurements in a result of `vllm bench serve` (--save-result), guidellm's benchmarks.json or
// aiperf's profile_export_aiperf.json: one per run in it. Its lengths are the mean ones, its rate
// the one that was offered; of a closed loop, which offers none, the one that was served. A
// statistic that the file does not hold stays unknown. An answer that came in one piece has no
// TPOT, for which the tools write 0: it is left out of the TPOT where the file lists its requests.
// `model`: instead of the file's; needed where it has none. Errors: none of these; no requests; no
// model.
Result<ImportedResults> ImportResults(std::string_view text, std::string_view name,
                                      std::string_view model);

}  // namespace headrace::benchmark
