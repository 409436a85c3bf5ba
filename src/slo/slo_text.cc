#include "slo/slo_text.h"

namespace headrace::slo {

std::string DescribeWithPercentile(const Slo& slo) {
  std::string text = Describe(slo);
  if (!slo.HasLatency()) return text;
  return text + (slo.percentile == 0 ? " (mean)" : " (P" + std::to_string(slo.percentile) + ")");
}

}  // namespace headrace::slo
