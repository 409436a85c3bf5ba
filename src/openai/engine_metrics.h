// What an engine says of itself in its metrics: the response to GET /metrics.
#pragma once

#include <string_view>

#include "base/units.h"

namespace headrace::openai {

// How many tokens the engine's KV cache holds; 0 where it does not tell. Read from Prometheus'
// text:
//   vLLM    vllm:cache_config_info{…,block_size="16",num_gpu_blocks="2048",…} 1.0
//           newer ones also say kv_cache_size_tokens="…", which is right where layers differ
//   SGLang  sglang:max_total_num_tokens{…} 32768.0
// The smallest counts where an engine of several ranks says it more than once.
Tokens KvTokensIn(std::string_view metrics);

}  // namespace headrace::openai
