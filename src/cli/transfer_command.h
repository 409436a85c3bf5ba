// `headrace profile push` and `pull`, and profiles written to Redis.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "base/result.h"
#include "profile/gpu_profile.h"

namespace headrace {

bool IsRedisUrl(const std::string& target);

// Sets AIBrix's key, aibrix:profile_{model}_{deployment}, and returns it with the address. `url`
// must name the model.
Result<std::string> PushProfile(const GpuProfile& profile, const std::string& url);

void AddPush(CLI::App& profile);
void AddPull(CLI::App& profile);

}  // namespace headrace
