// Finds what looks wrong in a profile that loads.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "profile/gpu_profile.h"

namespace headrace::profile {

// Latencies too small to be true (0 or microseconds) where tput is above 0: one warning per matrix.
// `name` begins every message, here and below.
std::vector<ProfileFault> CheckLatencies(const GpuProfile& profile, std::string_view name);

// An older profile probably describes another engine version, model or driver.
inline constexpr Seconds kStaleAfter = 180 * 86400.0;

// What looks wrong in the profile as a whole:
//   holes, rows or columns of zeros, only zeros;
//   throughput that rises, or E2E that falls, with length;
//   E2E below TTFT; latencies that look like milliseconds; a mean that misses the profile's own
//   SLO; latencies as in CheckLatencies; no `e2e`, no SLO, an SLO whose matrix is missing; no
//   price; too old or from the future at `now` (Unix time; nullopt: not checked).
// One fault per matrix and kind, with the number of cells and the worst or first of them.
std::vector<ProfileFault> CheckProfile(const GpuProfile& profile, std::string_view name,
                                       std::optional<Seconds> now);

// All faults of a parsed profile: those found by parsing, then those that CheckProfile adds.
std::vector<ProfileFault> AllFaults(const ParsedProfile& parsed, std::string_view name,
                                    std::optional<Seconds> now);

}  // namespace headrace::profile
