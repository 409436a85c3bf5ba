#include "load/prompt.h"

#include <algorithm>
#include <string_view>

namespace headrace::load {
namespace {

// What the emulated engine's chat template adds to a message.
constexpr Tokens kMessageTokens = 4;
constexpr std::size_t kBytesPerToken = 4;

}  // namespace

std::string LoadPrompt(Tokens tokens, std::uint64_t number) {
  constexpr std::string_view kWords = "lake dam sluice weir gate pipe wheel shaft ";
  const auto bytes =
      static_cast<std::size_t>(std::max(tokens - kMessageTokens, Tokens{1})) * kBytesPerToken;
  std::string prompt = std::to_string(number) + " ";
  prompt.reserve(bytes + kWords.size());
  while (prompt.size() < bytes) prompt += kWords;
  prompt.resize(bytes);
  return prompt;
}

}  // namespace headrace::load
