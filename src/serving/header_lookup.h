// The headers of a request, whatever carries them.
#pragma once

#include <functional>
#include <string_view>

namespace headrace::serving {

// The value of the header with this (lower-case) name; "" when the request has none.
using HeaderLookup = std::function<std::string_view(std::string_view name)>;

}  // namespace headrace::serving
