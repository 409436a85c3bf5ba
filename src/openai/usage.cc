#include "openai/usage.h"

#include <algorithm>
#include <cstdint>

#include "openai/json_text.h"

namespace headrace::openai {

ParsedUsage ParseUsage(std::string_view json, Usage& usage) {
  if (json.empty()) return ParsedUsage::kCut;
  JsonCursor cursor(json.substr(0, kMaxUsageBytes));
  if (!cursor.Take('{')) return ParsedUsage::kNot;
  usage = {};
  bool known = false;
  bool credible = true;
  // Anthropic's, which are not part of its input_tokens.
  Tokens cache_read = 0;
  Tokens cache_written = 0;
  const auto take = [&](Tokens& tokens) {
    cursor.Peek();
    const bool null = cursor.rest().starts_with("null");
    const std::optional<std::int64_t> count = cursor.Count(kMostTokens);
    if (!count && !null) credible = false;
    tokens = static_cast<Tokens>(count.value_or(0));
  };
  std::string_view key;
  for (bool first = true; cursor.NextKey(key, first); first = false) {
    if (key == "prompt_tokens" || key == "input_tokens") {
      take(usage.prompt_tokens);
      known = true;
    } else if (key == "completion_tokens" || key == "output_tokens") {
      take(usage.completion_tokens);
      known = true;
    } else if (key == "cache_read_input_tokens") {
      take(cache_read);
    } else if (key == "cache_creation_input_tokens") {
      take(cache_written);
    } else if ((key == "prompt_tokens_details" || key == "input_tokens_details") &&
               cursor.Take('{')) {
      for (bool inner = true; cursor.NextKey(key, inner); inner = false) {
        if (key == "cached_tokens") {
          take(usage.cached_prompt_tokens);
        } else {
          cursor.Skip();
        }
      }
    } else {
      cursor.Skip();
    }
  }
  if (!cursor.ok()) return json.size() < kMaxUsageBytes ? ParsedUsage::kCut : ParsedUsage::kNot;
  const std::int64_t prompt = std::int64_t{usage.prompt_tokens} + cache_read + cache_written;
  if (prompt > kMostTokens) credible = false;
  usage.prompt_tokens = static_cast<Tokens>(std::min<std::int64_t>(prompt, kMostTokens));
  if (cache_read > 0) usage.cached_prompt_tokens = cache_read;
  return known && credible ? ParsedUsage::kWhole : ParsedUsage::kNot;
}

std::optional<Usage> FindUsage(std::string_view json) {
  std::optional<Usage> last;
  for (std::size_t at = 0; (at = FindValue(json, kUsageKey, at)) != json.npos;) {
    Usage usage;
    if (ParseUsage(json.substr(at), usage) == ParsedUsage::kWhole) last = usage;
  }
  return last;
}

}  // namespace headrace::openai
