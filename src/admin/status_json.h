// The page /status.
#pragma once

#include <string>

#include "gateway/gateway.h"

namespace headrace::admin {

// {"version", "models": [{"name", "aliases", "policy", "queue": {"length", "bytes", "sub_queues":
// […]},
//   "in_flight", "learned_lengths", "prompt": {"tokens_per_byte", "tokens_per_request"},
//   "deployments": [{"name", "profile": {…}, "endpoints": [{"address", "up", "in_flight",
//   "load"}]}]}]}
// `unix_now` dates the profiles.
std::string StatusJson(const gateway::Gateway& gateway, Seconds unix_now);

}  // namespace headrace::admin
