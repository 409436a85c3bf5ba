#include "load/prompt.h"

#include <algorithm>
#include <string_view>

namespace headrace::load {
namespace {

// What the emulated engine's chat template adds to a message.
constexpr Tokens kMessageTokens = 4;
constexpr std::size_t kBytesPerToken = 4;
constexpr std::string_view kWords =
    "the and for you not all can her was one our out day get has him "
    "his how man new now old see two way who boy did its let put say ";

}  // namespace

std::string LoadPrompt(Tokens tokens, openai::ApiKind api, Rng rng) {
  const bool chat = api == openai::ApiKind::kChatCompletions;
  const auto words =
      static_cast<std::size_t>(std::max(tokens - (chat ? kMessageTokens : 0), Tokens{1}));
  std::string prompt;
  prompt.reserve(words * kBytesPerToken);
  for (std::size_t i = 0; i < words; ++i) {
    const std::size_t word = rng.Below(kWords.size() / kBytesPerToken);
    prompt += kWords.substr(word * kBytesPerToken, kBytesPerToken);
  }
  return prompt;
}

}  // namespace headrace::load
