// A request that has ended, as a trace shows it.
#pragma once

#include <vector>

#include "base/units.h"
#include "serving/finished_request.h"
#include "tracing/span.h"

namespace headrace::serving {

// Its own span, then for each endpoint that it was sent to the wait before and the try
// (docs/observability.md#traces). It must be traced. `unix_minus_monotonic`: what makes Unix times
// of its times.
std::vector<tracing::Span> SpansOf(const FinishedRequest& request, Seconds unix_minus_monotonic);
// `now`: MonotonicNow.
std::vector<tracing::Span> SpansOf(const AnsweredRequest& request, Seconds unix_minus_monotonic,
                                   Seconds now);

}  // namespace headrace::serving
