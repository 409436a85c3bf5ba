// The server that a subcommand sends requests to.
#pragma once

#include <string_view>

#include "base/result.h"
#include "system/address.h"

namespace headrace::cli {

// `host:port`, with or without `http://` before and a slash or `/v1` behind.
Result<system::HostPort> ParseTarget(std::string_view text);

// As many open connections as the system allows: an open loop may need one for each request of a
// server that has fallen behind.
void RaiseConnectionLimit();

}  // namespace headrace::cli
