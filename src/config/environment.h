// `${NAME}` in a value: the environment's part of a configuration.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace headrace::config {

// The value of an environment variable; nullopt if it is not set.
using Environment = std::function<std::optional<std::string>(const std::string& name)>;

// The text with the value of each variable in place of `${NAME}`, or, in `${NAME:-default}`, the
// default if the variable is not set or empty. `$${` stands for `${`. Values are taken as they are:
// what looks like a variable or like YAML in them is text. The error is the rest of a sentence
// about an option; it never holds a value.
Result<std::string> Expand(std::string_view text, const Environment& environment);

// The environment of this process.
std::optional<std::string> ProcessEnvironment(const std::string& name);

}  // namespace headrace::config
