// Files, for the subcommands.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace headrace {

// The whole contents; gzip is unpacked whatever the name; "-" is the standard input.
Result<std::string> ReadFile(const std::string& path);

// Replaces `path` as a whole, so that a watcher never reads half of it; "-" is the standard output.
Result<void> WriteFile(const std::string& path, std::string_view text);

// A file as it is, of a directory its *.json by name. An error for a directory without any.
Result<std::vector<std::string>> ListJsonFiles(const std::string& path);

}  // namespace headrace
