// JSON as Python's json.dump writes it: bare NaN, Infinity and -Infinity are numbers. Only for the
// .cc files of this room; the header it needs is a slow one.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace headrace::profile {

// `name` (a file, a Redis key) and the line begin the sentence of an error; `first_line` is the
// line number of the text's first line.
Result<nlohmann::json> ParsePythonJson(std::string_view text, std::string_view name,
                                       std::size_t first_line = 1);

// The number in a value that ParsePythonJson made. NaN for a bare NaN and for null, which is how
// writers that stick to JSON say the same; nothing for what is no number.
std::optional<double> NumberIn(const nlohmann::json& value);

}  // namespace headrace::profile
