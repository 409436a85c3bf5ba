#include "openai/engine_metrics.h"

#include <gtest/gtest.h>

#include <string>

namespace headrace::openai {
namespace {

TEST(EngineMetrics, TheKvRoomAsVllmSaysIt) {
  const std::string rest =
      "# HELP vllm:cache_config_info Information of the LLMEngine\n"
      "# TYPE vllm:cache_config_info gauge\n"
      "vllm:num_requests_running{engine=\"0\"} 3.0\n";
  EXPECT_EQ(KvTokensIn(rest), 0);
  EXPECT_EQ(KvTokensIn(rest + "vllm:cache_config_info{block_size=\"16\",cache_dtype=\"auto\","
                              "engine=\"0\",num_cpu_blocks=\"None\",num_gpu_blocks=\"573\","
                              "num_gpu_blocks_override=\"None\"} 1.0\n"),
            573 * 16);
  EXPECT_EQ(KvTokensIn("vllm:cache_config_info{mamba_block_size=\"64\",num_gpu_blocks=\"10\","
                       "block_size=\"32\",kv_cache_size_tokens=\"None\"} 1.0"),
            320)
      << "not the other block size";
  EXPECT_EQ(KvTokensIn("vllm:cache_config_info{block_size=\"16\",engine=\"0\","
                       "kv_cache_size_tokens=\"9000\",num_gpu_blocks=\"1000\"} 1.0\n"
                       "vllm:cache_config_info{block_size=\"16\",engine=\"1\","
                       "kv_cache_size_tokens=\"8000\",num_gpu_blocks=\"1000\"} 1.0\n"),
            8000)
      << "the smallest of the ranks";
}

TEST(EngineMetrics, TheKvRoomAsSglangSaysIt) {
  EXPECT_EQ(KvTokensIn("sglang:max_total_num_tokens{model_name=\"m\",tp_rank=\"0\"} 471258.0\n"),
            471258);
  EXPECT_EQ(KvTokensIn("sglang:max_total_num_tokens 4096\n"), 4096);
}

TEST(EngineMetrics, AnythingElseSaysNothing) {
  for (const char* text :
       {"", "\n\n", "{}", "vllm:cache_config_info{", "vllm:cache_config_info{block_size=\"",
        "vllm:cache_config_info{block_size=\"16\",num_gpu_blocks=\"None\"} 1.0",
        "vllm:cache_config_info{block_size=\"-16\",num_gpu_blocks=\"100\"} 1.0",
        "vllm:cache_config_info{block_size=\"100000\",num_gpu_blocks=\"1000000\"} 1.0",
        "sglang:max_total_num_tokens_other 5", "sglang:max_total_num_tokens{} NaN",
        "sglang:max_total_num_tokens"}) {
    EXPECT_EQ(KvTokensIn(text), 0) << text;
  }
}

}  // namespace
}  // namespace headrace::openai
