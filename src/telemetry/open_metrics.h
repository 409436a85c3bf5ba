// OpenMetrics' text format, version 1.0.0: what prometheus-cpp cannot write, with exemplars.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/units.h"

namespace prometheus {
struct MetricFamily;
}

namespace headrace::telemetry {

// A request that one bucket of a histogram has counted.
struct Exemplar {
  std::string trace_id;  // Empty: there is none.
  double value = 0;
  Seconds at = 0;  // Unix time.
};

// By bucket of a histogram, +Inf last; empty: it has none.
using ExemplarsOf = std::function<std::vector<Exemplar>(
    const std::string& name, const std::map<std::string, std::string>& labels)>;

std::string OpenMetricsText(const std::vector<prometheus::MetricFamily>& families,
                            const ExemplarsOf& exemplars);

// Whether a client that sends this `Accept` is better served with it than with Prometheus' own text
// format, which everybody gets who says nothing.
bool PrefersOpenMetrics(std::string_view accept);

}  // namespace headrace::telemetry
