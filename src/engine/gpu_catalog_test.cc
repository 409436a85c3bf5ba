#include "engine/gpu_catalog.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <string>

namespace headrace::engine {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

GpuCatalog Shipped() {
  auto catalog = GpuCatalog::Parse(ShippedGpuCatalog(), "data/gpus.json");
  EXPECT_TRUE(catalog) << catalog.error().message;
  return *catalog;
}

std::string Replaced(std::string text, const std::string& what, const std::string& by) {
  const std::size_t at = text.find(what);
  EXPECT_NE(at, std::string::npos) << what;
  return text.replace(at, what.size(), by);
}

TEST(GpuCatalog, TheFileIsPartOfTheProgram) {
  std::ifstream file("data/gpus.json");
  EXPECT_EQ(ShippedGpuCatalog(), std::string(std::istreambuf_iterator<char>(file), {}));
}

TEST(GpuCatalog, HasEveryGpuAndModelThatTheEngineOffers) {
  const GpuCatalog catalog = Shipped();
  for (const char* gpu : {"a10", "l20", "l4", "a40", "a100", "h100", "h200"}) {
    for (const char* model : {"llama2-7b", "llama3-8b"}) {
      const auto engine = catalog.Engine(gpu, model);
      ASSERT_TRUE(engine) << engine.error().message;
      EXPECT_EQ(engine->max_num_seqs, 256);
      EXPECT_EQ(engine->max_num_batched_tokens, 2048);
    }
  }
  EXPECT_EQ(catalog.Engine("a10", "llama2-7b")->max_model_len, 4096);
  EXPECT_EQ(catalog.Engine("a10", "llama2-7b", 8192)->max_model_len, 8192);
}

TEST(GpuCatalog, FiguresThatAreNotMeasuredAreMarkedAndFollowTheirFormula) {
  const GpuCatalog catalog = Shipped();
  for (const auto& [gpu_name, gpu] : catalog.gpus()) {
    const double gb_per_ms = gpu.bandwidth_gb_s.value / 1e3;
    for (const auto& [model_name, step] : gpu.step_ms) {
      SCOPED_TRACE(gpu_name);
      SCOPED_TRACE(model_name);
      const ModelFacts& model = catalog.models().at(model_name);
      EXPECT_TRUE(step.d.modelled);
      EXPECT_NEAR(step.d.value, model.kv_bytes_per_token.value / 1e9 / gb_per_ms,
                  step.d.value * 1e-3);
      // No step reads the weights faster than the memory can deliver them.
      EXPECT_GT(step.a.value, 0.9 * model.weights_bytes.value / 1e9 / gb_per_ms);
      // Nor computes faster than the tensor cores: 2 operations a parameter, 2 bytes each.
      EXPECT_GT(step.b.value, model.weights_bytes.value / (gpu.tflops.value * 1e9));
      const bool measured = model_name == "llama2-7b"
                                ? gpu_name == "a40" || gpu_name == "a100" || gpu_name == "h100"
                                : gpu_name == "a100";
      EXPECT_EQ(step.a.modelled, !measured);
      EXPECT_EQ(step.b.modelled, !measured);
      EXPECT_EQ(step.c.modelled, !measured);
    }
    const StepFigures& llama2 = gpu.step_ms.at("llama2-7b");
    const StepFigures& llama3 = gpu.step_ms.at("llama3-8b");
    EXPECT_NEAR(llama3.a.value, llama2.a.value * 9.7 / 8.7, 0.01);
    EXPECT_NEAR(llama3.b.value, llama2.b.value * 0.067 / 0.064, 0.001);
  }
}

TEST(GpuCatalog, TheKvCacheGetsWhatTheModelLeavesOfNineTenthsOfTheMemory) {
  const GpuCatalog catalog = Shipped();
  const double memory = 23028.0 * 1024 * 1024;
  const double block = 16.0 * 524288;
  const auto expected =
      static_cast<std::int64_t>((memory * 0.9 - 13476831232.0 - 536870912.0) / block);
  EXPECT_EQ(catalog.Engine("a10", "llama2-7b")->kv_blocks, expected);
  EXPECT_EQ(KvBlocksBeside(10e9, 9e9, 1e9, 1000), 0) << "the model does not fit";
}

// Public measurements of vLLM that are not what the coefficients were fitted to.
TEST(GpuCatalog, AgreesWithPublicMeasurementsOfVllm) {
  const GpuCatalog catalog = Shipped();
  // databasemart.com/blog/vllm-gpu-benchmark-a40: Llama-3.1-8B on an A40, 50 concurrent requests of
  // 100 input tokens that end after 443 tokens on average: median TPOT 35.96 ms.
  const step::TimeModel a40 = catalog.Engine("a40", "llama3-8b")->step;
  EXPECT_NEAR(a40.Duration({.decoding = 50, .held = 50 * (100 + 443 / 2)}), 35.96e-3,
              0.07 * 35.96e-3);
  // johnmusgrave.com/p/vllm-throughput-latency-sweep-on: Llama-3.1-8B on an A100 of 40 GB (1555
  // instead of 2039 GB/s), one request of 1024 input tokens: about 75 tokens/s.
  const step::TimeModel a100 = catalog.Engine("a100", "llama3-8b")->step;
  const double slower = 2039.0 / 1555.0;
  EXPECT_NEAR(a100.Duration({.decoding = 1, .held = 1088}) * slower, 1.0 / 75, 0.07 / 75);
}

TEST(GpuCatalog, UnknownNamesAndImpossibleContextsAreErrorsWithTheFix) {
  const GpuCatalog catalog = Shipped();
  EXPECT_THAT(catalog.Engine("b200", "llama2-7b").error().message,
              AllOf(HasSubstr("\"b200\""), HasSubstr("a10, a100")));
  EXPECT_THAT(catalog.Engine("a10", "gpt").error().message,
              AllOf(HasSubstr("\"gpt\""), HasSubstr("llama2-7b, llama3-8b")));
  EXPECT_THAT(catalog.Engine("a10", "llama2-7b", 100000).error().message,
              HasSubstr("does not fit into the KV cache"));
}

TEST(GpuCatalog, ErrorsNameFileLineKeyAndFix) {
  const auto fault = [](const std::string& text) {
    const auto parsed = GpuCatalog::Parse(text, "my.json");
    return parsed ? std::string("none") : parsed.error().message;
  };
  const std::string text(ShippedGpuCatalog());
  EXPECT_THAT(fault("{\n\n  \"gpus\": [1,,2]}"), HasSubstr("my.json line 3: is not JSON"));
  EXPECT_THAT(fault("[]"), HasSubstr("not a JSON object"));
  EXPECT_THAT(fault("{}"), HasSubstr("sources is missing"));
  const std::string memory = "{\"value\": 23028, \"source\": \"smi\", \"modelled\": false}";
  const auto line =
      1 +
      std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(text.find(memory)), '\n');
  const std::string where = "my.json line " + std::to_string(line) + ": gpus.a10.memory_mib";
  EXPECT_THAT(fault(Replaced(text, memory, "{\"value\": -1}")),
              AllOf(HasSubstr(where), HasSubstr("\"value\" above 0")));
  EXPECT_THAT(fault(Replaced(text, memory, "{\"value\": 1}")),
              AllOf(HasSubstr(where), HasSubstr("\"modelled\"")));
  EXPECT_THAT(
      fault(Replaced(text, memory, "{\"value\": 1, \"modelled\": true, \"source\": \"me\"}")),
      AllOf(HasSubstr(where), HasSubstr("\"me\" is not in \"sources\"")));
}

}  // namespace
}  // namespace headrace::engine
