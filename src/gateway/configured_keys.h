// The API keys that a configuration names.
#pragma once

#include <optional>

#include "access/api_key.h"
#include "base/result.h"
#include "config/config.h"

namespace headrace::gateway {

// Reads their file; nullopt: none is required. Blocks.
Result<std::optional<access::KeyFile>> ConfiguredKeys(const config::Config& config);

}  // namespace headrace::gateway
