// The pages /explain and /explain/{request-id}.
#pragma once

#include <span>
#include <string>

#include "base/units.h"
#include "serving/request_history.h"

namespace headrace::admin {

// {"request_id", "model", "arrived", "outcome", "why", "policy", "slo": {…}, "queued_ms",
//  "prompt_tokens": {"expected", "counted"}, "output_tokens": {…}, "deployment", "endpoint",
//  "predicted": {"ttft_ms", "tpot_ms", "e2e_ms", "miss", "harm"},
//  "actual": {"ttft_ms", "tpot_ms", "e2e_ms", "met_slo"},
//  "failed_tries": [{"deployment", "endpoint", "fault", "why", "sent_ms", "took_ms"}],
//  "candidates": [{"deployment", "endpoint", "chosen", "cost", "ttft_ms", …,
//                  "harmed": [{"request_id", "miss_before", "miss_after"}]}]}
// Where the policy reads profiles, its candidates are deployments: "expected_ms", "allowed_ms",
// "share", "least_load". Times count from the arrival; `unix_minus_monotonic` dates that.
std::string ExplainJson(const serving::PastRequest& past, Seconds unix_minus_monotonic);

// {"kept", "requests": [the same of each, without its candidates]}
std::string ExplainListJson(std::span<const serving::PastRequest> latest,
                            Seconds unix_minus_monotonic);

}  // namespace headrace::admin
