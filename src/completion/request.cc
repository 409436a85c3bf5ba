#include "completion/request.h"

#include <cstdio>
#include <string_view>

#include "base/json_writer.h"

namespace headrace::completion {
namespace {

void AddSlo(const slo::Slo& slo, net::RequestHead& head) {
  const auto add = [&](std::string_view name, const std::optional<Seconds>& target) {
    if (!target) return;
    char text[32];
    std::snprintf(text, sizeof text, "%.10g", *target / kMillisecond);
    head.Add(name, text);
  };
  add("x-slo-ttft-ms", slo.ttft);
  add("x-slo-tpot-ms", slo.tpot);
  add("x-slo-tpat-ms", slo.tpat);
  add("x-slo-ntpot-ms", slo.ntpot);
  add("x-slo-e2e-ms", slo.e2e);
}

}  // namespace

net::RequestHead RequestHeadOf(const Request& request, const std::string& base,
                               const std::string& host) {
  const bool chat = request.api == openai::ApiKind::kChatCompletions;
  net::RequestHead head("POST", base + (chat ? "/v1/chat/completions" : "/v1/completions"), host);
  head.Add("content-type", "application/json");
  if (request.slo) AddSlo(*request.slo, head);
  for (const auto& [name, value] : request.headers) head.Add(name, value);
  return head;
}

std::string RequestJson(const Request& request) {
  JsonWriter json;
  json.BeginObject().Member("model", request.model);
  if (request.api == openai::ApiKind::kChatCompletions) {
    json.Key("messages").BeginArray().BeginObject();
    json.Member("role", "user").Member("content", request.prompt).EndObject().EndArray();
  } else {
    json.Member("prompt", request.prompt);
  }
  if (request.max_tokens > 0) {
    json.Member("max_tokens", request.max_tokens).Member("ignore_eos", true);
  }
  if (request.temperature) json.Member("temperature", *request.temperature);
  if (request.stream) {
    json.Member("stream", true);
    json.Key("stream_options").BeginObject().Member("include_usage", true).EndObject();
  }
  return json.EndObject().Take();
}

}  // namespace headrace::completion
