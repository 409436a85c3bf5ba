// Finds what is odd in a profile that loads.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "profile/gpu_profile.h"

namespace headrace {

// Latencies too small to be true where the tput is usable: nothing or microseconds. One warning a
// matrix. `name` begins every sentence here and below.
std::vector<ProfileFault> CheckLatencies(const GpuProfile& profile, std::string_view name);

}  // namespace headrace
