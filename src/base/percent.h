// Percent-encoding, as in URLs (RFC 3986, 2.1).
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace headrace {

// Nothing when a % is not followed by two hexadecimal digits.
std::optional<std::string> DecodePercent(std::string_view text);

}  // namespace headrace
