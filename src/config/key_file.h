// Files of API keys: read, and changed without touching the rest.
#pragma once

#include <string>
#include <string_view>

#include "access/api_key.h"
#include "base/result.h"

namespace headrace::config {

// All faults, each with file and line.
Result<access::KeyFile> ReadKeyFile(std::string_view text, const std::string& file_name);

// The text with one more key. `text` is that of a key file; if it is empty, `salt` becomes the
// file's. The error: a sentence about what of the file is in the way.
Result<std::string> WithKey(std::string_view text, const std::string& file_name,
                            std::string_view salt, const access::ApiKey& key);
// The text without the key of this name.
Result<std::string> WithoutKey(std::string_view text, const std::string& file_name,
                               std::string_view name);

}  // namespace headrace::config
