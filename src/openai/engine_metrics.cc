#include "openai/engine_metrics.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <string>

namespace headrace::openai {
namespace {

// As a count of tokens; 0 for anything else, such as Python's None.
double Count(std::string_view text) {
  double number = 0;
  const char* const end = text.data() + text.size();
  if (std::from_chars(text.data(), end, number).ptr != end) return 0;
  return number >= 1 && number <= std::numeric_limits<Tokens>::max() ? number : 0;
}

// The value of a label, as it is written; empty if there is none.
std::string_view LabelIn(std::string_view sample, std::string_view name) {
  const std::string opening = std::string(name) + "=\"";
  for (std::size_t at = sample.find(opening); at != std::string_view::npos;
       at = sample.find(opening, at + 1)) {
    // Not the end of a longer name.
    if (at == 0 || (sample[at - 1] != '{' && sample[at - 1] != ',')) continue;
    const std::string_view value = sample.substr(at + opening.size());
    return value.substr(0, value.find('"'));
  }
  return {};
}

double KvTokensOf(std::string_view sample) {
  if (sample.starts_with("vllm:cache_config_info{")) {
    const double tokens = Count(LabelIn(sample, "kv_cache_size_tokens"));
    if (tokens > 0) return tokens;
    return Count(LabelIn(sample, "block_size")) * Count(LabelIn(sample, "num_gpu_blocks"));
  }
  constexpr std::string_view kSglang = "sglang:max_total_num_tokens";
  if (sample.starts_with(kSglang) && sample.size() > kSglang.size() &&
      (sample[kSglang.size()] == '{' || sample[kSglang.size()] == ' ')) {
    return Count(sample.substr(sample.rfind(' ') + 1));
  }
  return 0;
}

}  // namespace

Tokens KvTokensIn(std::string_view metrics) {
  double least = 0;
  while (!metrics.empty()) {
    const std::string_view line = metrics.substr(0, metrics.find('\n'));
    metrics.remove_prefix(std::min(line.size() + 1, metrics.size()));
    const double tokens = KvTokensOf(line);
    if (tokens > 0 && (least == 0 || tokens < least)) least = tokens;
  }
  return least <= std::numeric_limits<Tokens>::max() ? static_cast<Tokens>(least) : 0;
}

}  // namespace headrace::openai
