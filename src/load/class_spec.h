// Classes of requests, as written on the command line.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "workload/workload.h"

namespace headrace::load {

// Reads a file that a class names; gzip is unpacked.
using LoadFileReader = std::function<Result<std::string>(const std::string& path)>;

// Reads classes like
//   chat: rate=7, lengths=sharegpt, tpat=50ms
//   code: rate=4, cv=2, prompt=4000-4600, output=32-64, ttft=2s, tpot=40ms
//   azure: trace=azure_llm_2023_code.csv, speed=2
//   mine: trace=requests.csv, time-unit=ms
// A class has a name and
//   rate=R     requests per second, or share=S of `total_rate` in proportion to the other shares,
//   cv=C       gaps with that coefficient of variation (gamma; without it Poisson), or
//   trace=FILE the times of a trace (workload/trace.h), speed=F times as fast; time-unit=s, ms, us
//              or ns of times that are numbers without a unit;
//   lengths=sharegpt, lengths=FILE (any that a trace may be, without its times), or prompt=N and
//              output=N, each a number or LOW-HIGH; a trace has its own;
//   ttft=, tpot=, tpat=, ntpot=, e2e= its latency targets, e.g. 50ms.
// In a closed loop rates are shares, and a class without one has share 1. Errors name the class and
// the fix.
struct ParsedClasses {
  workload::Workload workload;     // Passes CheckWorkload.
  std::vector<std::string> notes;  // What was left out of its files: a sentence each.
};
Result<ParsedClasses> ParseClasses(std::span<const std::string> specs,
                                   std::optional<double> total_rate, bool closed_loop,
                                   const LoadFileReader& read_file);

}  // namespace headrace::load
