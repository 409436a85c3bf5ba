// When a server wants to be asked again.
#pragma once

#include <string_view>

#include "base/units.h"

namespace headrace::net {

// The value of a Retry-After header (RFC 9110, 10.2.3), seconds or an HTTP date, as a time from
// now; 0 if it is neither, or is over. `unix_now`: for dates.
Seconds ParseRetryAfter(std::string_view value, Seconds unix_now);

}  // namespace headrace::net
