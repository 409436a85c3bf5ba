// Bytes written as base64 (RFC 4648 §4).
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace headrace {

// Line ends, spaces and padding are passed over; nullopt if there is anything else.
std::optional<std::string> Base64Decoded(std::string_view text);

}  // namespace headrace
