// Measurements and predictions of other tools.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "benchmark/import_results.h"
#include "profile/gpu_profile.h"

namespace headrace::benchmark {

// The table of NVIDIA AIConfigurator (`pareto.csv`, `best_config_topn.csv` of an aggregated
// deployment): one line per configuration and concurrency, with the columns isl, osl, seq/s,
// request_latency, ttft, tpot (milliseconds) and parallel ("tp2pp1dp1"), in any order among others.
// Source: ColumnsAgg in src/aiconfigurator/sdk/common.py of github.com/ai-dynamo/aiconfigurator.
//
// Every line becomes one request rate, its seq/s, with means and no percentiles, because these are
// predictions of a steady state. A profile describes one configuration: `parallel` chooses it, and
// may be empty if the table has only one. Errors name the line, or the configurations to choose
// from. A table of a disaggregated deployment is an error.
Result<ImportedResults> ImportAiConfigurator(std::string_view csv, std::string_view name,
                                             std::string_view parallel);

// One GPU of Mélange's input, {"gpu_info": {"A100-80GB": {"cost": 3.67, "tputs": [[…], …]}, …}},
// where a row is an input length and a column an output length. The file does not contain the
// lengths: `inputs` and `outputs` are the bucket centres it was profiled with. Source: README.md
// and melange/config/example.json of github.com/tyler-griggs/melange-release.
//
// The table has no latencies and no SLO, so the profile prices GPUs but cannot rank requests; the
// router uses its fallback for it, and reports that. Errors: a GPU that the file does not have,
// with those that it has; a table without one row per input and one column per output.
Result<profile::GpuProfile> ImportMelange(std::string_view json, std::string_view name,
                                          std::string_view gpu, const std::vector<Tokens>& inputs,
                                          const std::vector<Tokens>& outputs);

}  // namespace headrace::benchmark
