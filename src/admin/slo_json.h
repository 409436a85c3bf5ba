// Latency targets on the operator's pages.
#pragma once

#include "base/json_writer.h"
#include "slo/slo.h"

namespace headrace::admin {

// {"ttft_s": 1, …}: only what is set.
inline void WriteSlo(const slo::Slo& slo, JsonWriter& json) {
  if (slo.ttft) json.Member("ttft_s", *slo.ttft);
  if (slo.tpot) json.Member("tpot_s", *slo.tpot);
  if (slo.tpat) json.Member("tpat_s", *slo.tpat);
  if (slo.ntpot) json.Member("ntpot_s", *slo.ntpot);
  if (slo.e2e) json.Member("e2e_s", *slo.e2e);
}

}  // namespace headrace::admin
