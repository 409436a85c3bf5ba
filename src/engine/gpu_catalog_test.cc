#include "engine/gpu_catalog.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
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
  for (const char* gpu : {"a10", "a10g", "l20", "l4", "a40", "a100", "h100", "h200"}) {
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
      // No step reads weights, keys and values faster than the memory can deliver them.
      EXPECT_GT(step.a.value, model.weights_bytes.value / 1e9 / gb_per_ms);
      EXPECT_GT(step.d.value, model.kv_bytes_per_token.value / 1e9 / gb_per_ms);
      // Nor computes faster than the tensor cores: 2 operations a parameter, 2 bytes each.
      EXPECT_GT(step.b.value, model.weights_bytes.value / (gpu.tflops.value * 1e9));
      EXPECT_GT(step.c.value, model.weights_bytes.value / (gpu.tflops.value * 1e9));
      // 4 operations per attended token, query head (32), its dimension (128) and layer (32).
      EXPECT_GT(step.e.value, 4.0 * 32 * 128 * 32 / (gpu.tflops.value * 1e9));
      const bool dense_measured =
          model_name == "llama2-7b" ? gpu_name == "a40" || gpu_name == "a100" || gpu_name == "h100"
                                    : gpu_name == "a100";
      for (const SourcedFigure* figure : {&step.a, &step.c, &step.overlap}) {
        EXPECT_EQ(figure->modelled, !dense_measured);
      }
      const bool attention_measured =
          model_name == "llama2-7b" && (gpu_name == "a40" || gpu_name == "a100");
      for (const SourcedFigure* figure : {&step.b, &step.d, &step.e, &step.f}) {
        EXPECT_EQ(figure->modelled, !attention_measured);
      }
    }
  }
  const StepFigures& a40 = catalog.gpus().at("a40").step_ms.at("llama2-7b");
  const StepFigures& a10 = catalog.gpus().at("a10").step_ms.at("llama2-7b");
  EXPECT_NEAR(a10.a.value, a40.a.value * 696 / 600, 0.01);
  EXPECT_NEAR(a10.b.value, a40.b.value * 149.7 / 125, 1e-4);
}

TEST(GpuCatalog, AnEngineHasTheOverheadOfItsVersion) {
  const GpuCatalog catalog = Shipped();
  const step::TimeModel now = catalog.Engine("a100", "llama2-7b")->step;
  EXPECT_EQ(now, catalog.Engine("a100", "llama2-7b", 0, "vllm-2026")->step);
  const step::TimeModel then = catalog.Engine("a100", "llama2-7b", 0, "vllm-2024")->step;
  EXPECT_NEAR(now.overhead, 0.9e-3, 1e-9);
  EXPECT_NEAR(then.overhead, 1.3e-3, 1e-9);
  EXPECT_NEAR(then.overhead_per_sequence - now.overhead_per_sequence, (0.106 - 0.01) * 1e-3, 1e-9);
  EXPECT_EQ(then.a, now.a);
  EXPECT_THAT(catalog.Engine("a100", "llama2-7b", 0, "vllm-1999").error().message,
              AllOf(HasSubstr("\"vllm-1999\""), HasSubstr("vllm-2024, vllm-2026")));
}

// data/gpus-linear.json is the catalogue from before overlap, attention and engine versions.
TEST(GpuCatalog, AnOldFileKeepsItsMeaning) {
  std::ifstream file("data/gpus-linear.json");
  const std::string text(std::istreambuf_iterator<char>(file), {});
  const auto catalog = GpuCatalog::Parse(text, "data/gpus-linear.json");
  ASSERT_TRUE(catalog) << catalog.error().message;
  const auto engine = catalog->Engine("a10", "llama2-7b");
  ASSERT_TRUE(engine);
  EXPECT_DOUBLE_EQ(
      engine->step.Duration({.decoding = 30, .held = 9000, .prefilled = 500, .attended = 125'000}),
      (29.0 + 0.9 + 30 * 0.0675 + 9000 * 0.0008738 + 500 * 0.15) * 1e-3);
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

TEST(GpuCatalog, UnknownNamesAndImpossibleContextsAreErrorsWithTheFix) {
  const GpuCatalog catalog = Shipped();
  EXPECT_THAT(catalog.Engine("b200", "llama2-7b").error().message,
              AllOf(HasSubstr("\"b200\""), HasSubstr("a10, a100")));
  EXPECT_THAT(catalog.Engine("a10", "gpt").error().message,
              AllOf(HasSubstr("\"gpt\""), HasSubstr("llama2-7b, llama3-8b")));
  EXPECT_THAT(catalog.Engine("a10", "llama2-7b", 100000).error().message,
              HasSubstr("does not fit into the KV cache"));
}

TEST(GpuCatalog, FiguresHaveRanges) {
  const auto shipped = nlohmann::json::parse(ShippedGpuCatalog());
  const auto flat = shipped.flatten();
  for (const auto& [pointer, value] : flat.items()) {
    if (!pointer.ends_with("/value")) continue;
    for (const double figure : {0.0, -1.0, 1e-300, 1e-9, 1e9, 0x1p63, 1e308}) {
      auto changed = shipped;
      changed[nlohmann::json::json_pointer(pointer)] = figure;
      const auto catalog = GpuCatalog::Parse(changed.dump(1), "my.json");
      if (figure <= 0 || figure >= 1e300) {
        ASSERT_FALSE(catalog) << pointer << " = " << figure;
        EXPECT_THAT(catalog.error().message, HasSubstr("my.json line"));
      }
      if (!catalog) continue;
      for (const auto& [gpu, facts] : catalog->gpus()) {
        for (const auto& [model, step] : facts.step_ms) {
          const auto engine = catalog->Engine(gpu, model);
          if (!engine) continue;
          EXPECT_GT(engine->kv_blocks, 0);
          EXPECT_LT(engine->kv_blocks, std::int64_t{1} << 50);
          EXPECT_LE(engine->max_model_len, 1 << 24);
        }
      }
    }
  }
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
  EXPECT_THAT(
      fault(Replaced(text, "\"default_engine\": \"vllm-2026\"", "\"default_engine\": \"vllm\"")),
      AllOf(HasSubstr("default_engine"), HasSubstr("vllm-2024, vllm-2026")));
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
