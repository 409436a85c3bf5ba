// An SLO as text.
#pragma once

#include <string>

#include "slo/slo.h"

namespace headrace::slo {

// Describe with the statistic that has to meet it: "tpat 50 ms (P99)", "tpat 50 ms (mean)"; "none"
// if no latency is set.
std::string DescribeWithPercentile(const Slo& slo);

}  // namespace headrace::slo
