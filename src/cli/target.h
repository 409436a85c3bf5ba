// The server that a subcommand sends requests to.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "completion/client.h"

namespace headrace::cli {

// The server of this URL (system::ParseHttpUrl), with headers for each request. Ends the program
// if it is none, or cannot be looked up.
completion::Endpoint TargetAt(std::string_view url, std::vector<std::string> headers);

}  // namespace headrace::cli
