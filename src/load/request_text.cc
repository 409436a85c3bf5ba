#include "load/request_text.h"

#include <algorithm>
#include <cstdio>
#include <string_view>

namespace headrace {
namespace {

// What the emulated engine's chat template adds to a message.
constexpr Tokens kMessageTokens = 4;
constexpr std::size_t kBytesPerToken = 4;

}  // namespace

std::string ChatRequestJson(const std::string& model, Tokens prompt_tokens, std::uint64_t number,
                            bool stream) {
  std::string text = std::to_string(number) + " ";
  const auto bytes = static_cast<std::size_t>(std::max(prompt_tokens - kMessageTokens, Tokens{1})) *
                     kBytesPerToken;
  constexpr std::string_view kWords = "lake dam sluice weir gate pipe wheel shaft ";
  text.reserve(bytes + kWords.size());
  while (text.size() < bytes) text += kWords;
  text.resize(bytes);
  return R"({"model":")" + model + R"(","messages":[{"role":"user","content":")" + text + R"("}])" +
         (stream ? R"(,"stream":true,"stream_options":{"include_usage":true}})" : "}");
}

void AddSloHeaders(const Slo& slo, RequestHead& head) {
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

}  // namespace headrace
