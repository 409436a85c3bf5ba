#include "load/request_text.h"

#include <algorithm>
#include <cstdio>
#include <string_view>

#include "base/json_writer.h"
#include "openai/error.h"

namespace headrace::load {
namespace {

// What the emulated engine's chat template adds to a message.
constexpr Tokens kMessageTokens = 4;
constexpr std::size_t kBytesPerToken = 4;

}  // namespace

std::string ChatRequestJson(std::string_view model, Tokens prompt_tokens, std::uint64_t number,
                            bool stream, Tokens max_tokens) {
  constexpr std::string_view kWords = "lake dam sluice weir gate pipe wheel shaft ";
  const auto bytes = static_cast<std::size_t>(std::max(prompt_tokens - kMessageTokens, Tokens{1})) *
                     kBytesPerToken;
  std::string json;
  json.reserve(bytes + model.size() + kWords.size() + 200);
  json += R"({"model":)";
  AppendJsonString(model, json);
  json += R"(,"messages":[{"role":"user","content":")";
  const std::size_t end = json.size() + bytes;
  json += std::to_string(number) + " ";
  while (json.size() < end) json += kWords;
  json.resize(end);
  json += R"("}])";
  if (max_tokens > 0) {
    json += R"(,"max_tokens":)" + std::to_string(max_tokens) + R"(,"ignore_eos":true)";
  }
  if (stream) json += R"(,"stream":true,"stream_options":{"include_usage":true})";
  return json + "}";
}

void AddSloHeaders(const slo::Slo& slo, net::RequestHead& head) {
  const auto add = [&](std::string_view name, const std::optional<Seconds>& goal) {
    if (!goal) return;
    char text[32];
    std::snprintf(text, sizeof text, "%.10g", *goal / kMillisecond);
    head.Add(name, text);
  };
  add("x-slo-ttft-ms", slo.ttft);
  add("x-slo-tpot-ms", slo.tpot);
  add("x-slo-tpat-ms", slo.tpat);
  add("x-slo-e2e-ms", slo.e2e);
}

}  // namespace headrace::load
