// What one call asks for, and the request that says so.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/units.h"
#include "net/http_message.h"
#include "openai/request.h"
#include "slo/slo.h"

namespace headrace::completion {

struct Request {
  openai::ApiKind api = openai::ApiKind::kChatCompletions;  // Or kCompletions.
  std::string model;
  std::string prompt;
  // Above 0: an output of exactly that length, by max_tokens and ignore_eos (vLLM, SGLang, others).
  Tokens max_tokens = 0;
  std::optional<double> temperature;
  bool stream = true;  // With its usage.
  // Latency targets, as the headers x-slo-ttft-ms, x-slo-tpot-ms and so on.
  std::optional<slo::Slo> slo;
  std::vector<std::pair<std::string, std::string>> headers;  // More of them: name and value.
};

// Without the headers that are the same for every request (Client).
// `base`: before the path.
net::RequestHead RequestHeadOf(const Request& request, const std::string& base,
                               const std::string& host);
std::string RequestJson(const Request& request);

}  // namespace headrace::completion
