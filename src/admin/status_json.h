// The page /status.
#pragma once

#include <optional>
#include <string>

#include "base/json_writer.h"
#include "gateway/config_follower.h"
#include "gateway/gateway.h"

namespace headrace::admin {

// {"file", "state": "in force" | "stale" (it has a fault, what was read before stays), "taken_over"
// (Unix time), "changed": [options], "awaiting_restart": [options], "faults": [sentences]}
void WriteConfigFile(const gateway::ConfigFileStatus& status, JsonWriter& json);

// {"version", "ready", "draining", "configuration": {…},
// "files": [{"option": "listen.certificate", "file", "state", "fault", "ends" (Unix time)}],
// "models": [{"name", "aliases", "policy", "queue": {"length", "bytes", "sub_queues": […]},
//   "in_flight", "learned_lengths",
//   "prompts": {"plain", "chat", "tools": {"tokens_per_byte", "tokens_per_request", "samples"},
//     "unsized_parts": {"tokens_per_part", "samples"}},
//   "deployments": [{"name", "profile": {…}, "engine": {"a_ms", "b_us", "c_us", "d_us", "samples"},
//     "endpoints": [{"address", "up", "drained", "in_flight", "load",
//       "ejection": {"state", "failures_in_a_row", "last_fault", "returns_in_s"},
//       "forecast": {"scale", "residents", "prompts_in_line", "backlog_ms"}}]}]}]}
// `engine`: what one step there is believed to take, a + b·prefilled + c·sequences + d·held tokens
// (fleet::StepBelief). It and `forecast` are there once a request was routed by forecast.
// `unix_now` dates the profiles. `file`: nullopt if no configuration file is followed.
std::string StatusJson(const gateway::Gateway& gateway,
                       const std::optional<gateway::ConfigFileStatus>& file, Seconds unix_now);

}  // namespace headrace::admin
