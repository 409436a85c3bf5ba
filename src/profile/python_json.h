// JSON as Python's json.dump writes it: bare NaN, Infinity and -Infinity are numbers. Include it
// only in .cc files: nlohmann's header compiles slowly.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace headrace::profile {

// `name` (a file, a Redis key) and the line begin an error's message; `first_line` is the number of
// the text's first line.
Result<nlohmann::json> ParsePythonJson(std::string_view text, std::string_view name,
                                       std::size_t first_line = 1);

// The number in a value of ParsePythonJson: NaN for a bare NaN and for null, nullopt if the value
// is not a number.
std::optional<double> NumberIn(const nlohmann::json& value);

}  // namespace headrace::profile
