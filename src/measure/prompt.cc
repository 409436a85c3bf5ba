#include "measure/prompt.h"

#include <nlohmann/json.hpp>

namespace headrace::measure {

std::string MeasurePrompt(std::uint64_t number, int filler) {
  // An odd factor that is no multiple of 5 permutes the numbers below 10^8: neighbours differ from
  // the first digit on.
  const std::uint64_t digits = number % 100'000'000 * 61'803'399 % 100'000'000;
  std::string prompt = std::to_string(100'000'000 + digits).substr(1);
  for (int i = 0; i < filler; ++i) prompt += " the";
  return prompt;
}

std::string MeasureRequestJson(openai::ApiKind api, const std::string& model,
                               const std::string& prompt, Tokens output) {
  nlohmann::json body = {{"model", model},     {"max_tokens", output},
                         {"ignore_eos", true}, {"temperature", 0},
                         {"stream", true},     {"stream_options", {{"include_usage", true}}}};
  if (api == openai::ApiKind::kChatCompletions) {
    body["messages"] = {{{"role", "user"}, {"content", prompt}}};
  } else {
    body["prompt"] = prompt;
  }
  return body.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace headrace::measure
