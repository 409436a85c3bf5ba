// The last half hour as JSON, for the status page.
#pragma once

#include <string>

#include "base/units.h"
#include "gateway/gateway.h"

namespace headrace::admin {

// On one line. Of each model, arrays with a value per interval, the oldest first, the present one
// last; null where nothing was. `unix_now` and `now` are the same moment.
std::string TimelineJson(const gateway::Gateway& gateway, Seconds unix_now, Seconds now);

}  // namespace headrace::admin
