// Finds what is odd in a profile that loads.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "profile/gpu_profile.h"

namespace headrace::profile {

// Latencies too small to be true where the tput is usable: nothing or microseconds. One warning a
// matrix. `name` begins every sentence here and below.
std::vector<ProfileFault> CheckLatencies(const GpuProfile& profile, std::string_view name);

// A profile older than this describes another engine version, model or driver.
inline constexpr Seconds kStaleAfter = 180 * 86400.0;

// What looks wrong in the profile as a whole:
//   holes, cells and rows of zeros, nothing but zeros (an error);
//   throughput rising, or E2E or TTFT falling, with a length that only adds work;
//   E2E below TTFT; latencies that look like milliseconds; a mean that misses the SLO the profile
//   was made for; latencies as in CheckLatencies;
//   no `e2e`, no SLO, an SLO whose matrix is missing; no price; stale or from the future at `now`
//   (Unix time; not checked when absent).
// One fault per matrix and kind, with the number of cells and the worst or first of them.
std::vector<ProfileFault> CheckProfile(const GpuProfile& profile, std::string_view name,
                                       std::optional<Seconds> now);

// All that is known against a parsed profile: its own faults, then what CheckProfile adds.
std::vector<ProfileFault> AllFaults(const ParsedProfile& parsed, std::string_view name,
                                    std::optional<Seconds> now);

}  // namespace headrace::profile
