// The engine model beside what others have measured and published (tests/data/published.csv): none
// of it was used to fit the model.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "engine/gpu_catalog.h"
#include "engine/timed_engine.h"

namespace headrace::engine {
namespace {

struct Row {
  std::string source, gpu, model, engine;
  int concurrency = 0;  // Requests kept in flight until none is left.
  int requests = 0;
  Tokens prompt = 0;
  Tokens output = 0;
  std::string metric;
  double published = 0;
  double error_percent = 0;  // Of the model, as docs/emulated-engine.md says.
};

std::vector<Row> ReadPublished() {
  std::ifstream file("tests/data/published.csv");
  std::string line;
  std::getline(file, line);
  std::vector<Row> rows;
  while (std::getline(file, line)) {
    std::ranges::replace(line, ',', ' ');
    std::istringstream cells(line);
    Row row;
    cells >> row.source >> row.gpu >> row.model >> row.engine >> row.concurrency >> row.requests >>
        row.prompt >> row.output >> row.metric >> row.published >> row.error_percent;
    EXPECT_TRUE(cells) << line;
    rows.push_back(row);
  }
  return rows;
}

struct Outcome {
  Seconds duration = 0;
  Seconds ttft = 0;  // Means.
  Seconds e2e = 0;
};

// `requests` equal requests, `concurrency` of them at a time.
Outcome Run(const EngineConfig& config, const Row& row) {
  TimedEngine engine(config);
  std::vector<Seconds> arrived;
  Outcome outcome;
  const auto add = [&](Seconds now) {
    if (arrived.size() == static_cast<std::size_t>(row.requests)) return;
    engine.Add(now, arrived.size(), row.prompt, row.output);
    arrived.push_back(now);
  };
  for (int i = 0; i < row.concurrency; ++i) add(0);
  while (engine.NextWake() != kNever) {
    // Adding while the events are read would end their life.
    const auto delivered = engine.Advance(engine.NextWake());
    const std::vector<TimedEngine::TimedEvent> events(delivered.begin(), delivered.end());
    for (const auto& [at, event] : events) {
      using Kind = EngineModel::Event::Kind;
      if (event.kind == Kind::kFirstToken) outcome.ttft += at - arrived[event.tag];
      if (event.kind != Kind::kFinished) continue;
      outcome.e2e += at - arrived[event.tag];
      outcome.duration = at;
      add(at);
    }
  }
  outcome.ttft /= row.requests;
  outcome.e2e /= row.requests;
  return outcome;
}

double Modelled(const GpuCatalog& catalog, const Row& row) {
  const auto run = [&](const std::string& gpu) {
    const auto engine = catalog.Engine(gpu, row.model, 0, row.engine);
    EXPECT_TRUE(engine) << gpu;
    EngineConfig config = *engine;
    config.max_num_seqs = std::max(config.max_num_seqs, row.concurrency);
    return Run(config, row);
  };
  if (row.metric == "ratio") {
    const std::size_t slash = row.gpu.find('/');
    return run(row.gpu.substr(slash + 1)).duration / run(row.gpu.substr(0, slash)).duration;
  }
  const Outcome outcome = run(row.gpu);
  if (row.metric == "ttft_ms") return outcome.ttft / kMillisecond;
  if (row.metric == "e2e_ms") return outcome.e2e / kMillisecond;
  if (row.metric == "tpot_ms")
    return (outcome.e2e - outcome.ttft) / (row.output - 1) / kMillisecond;
  if (row.metric == "requests_per_s") return row.requests / outcome.duration;
  EXPECT_EQ(row.metric, "tokens_per_s");
  return row.requests * static_cast<double>(row.output) / outcome.duration;
}

// Holds each error where docs/emulated-engine.md says that it is.
TEST(Published, TheModelIsAsFarOffAsTheDocumentationSays) {
  const auto catalog = GpuCatalog::Parse(ShippedGpuCatalog(), "data/gpus.json");
  ASSERT_TRUE(catalog);
  for (const Row& row : ReadPublished()) {
    const double modelled = Modelled(*catalog, row);
    const double error = 100 * (modelled / row.published - 1);
    std::printf("| %s | %s, %s, %s | %d | %d | %d | %s | %.4g | %.4g | %+.0f %% |\n",
                row.source.c_str(), row.gpu.c_str(), row.model.c_str(), row.engine.c_str(),
                row.concurrency, row.prompt, row.output, row.metric.c_str(), row.published,
                modelled, error);
    EXPECT_NEAR(error, row.error_percent, 1)
        << row.source << " " << row.gpu << " " << row.prompt << " " << row.output;
  }
}

// DistServe (OSDI 2024) fits vLLM's steps with OPT 13B on an A100 of 80 GB
// (simdistserve/estimators/profile_data/profiler-a100-80g.vllm.json), in ms:
//   prefill of n tokens           22.05 + 0.1405·n + 8.08e-6·n²
//   decode of B < 95 sequences    23.48 + 0.0607·B + 0.000593·ΣKV
//   decode of more                20.21 + 0.1200·B + 0.000491·ΣKV
// Here is Llama 2 7B on an A100, its dense layers by the weights of the two models, its attention
// by layers · heads.
TEST(Published, DistServesFitsOfALargerModel) {
  const auto catalog = GpuCatalog::Parse(ShippedGpuCatalog(), "data/gpus.json");
  ASSERT_TRUE(catalog);
  const StepFigures& llama = catalog->gpus().at("a100").step_ms.at("llama2-7b");
  const EngineVersion& engine = catalog->engines().at("vllm-2024");
  const double dense = 25706946560.0 / catalog->models().at("llama2-7b").weights_bytes.value;
  const double attention = (40.0 * 40) / (32 * 32);
  const step::TimeModel opt{
      .a = dense * llama.a.value,
      .b = dense * llama.b.value,
      .c = dense * llama.c.value,
      .d = attention * llama.d.value,
      .e = attention * llama.e.value,
      .overlap = llama.overlap.value,
      .overhead = engine.step_ms.value,
      .overhead_per_sequence = engine.sequence_ms.value + attention * llama.f.value};

  const auto compare = [](const std::string& what, double modelled, double published,
                          double error_percent) {
    const double error = 100 * (modelled / published - 1);
    std::printf("| distserve | %s | %.4g | %.4g | %+.0f %% |\n", what.c_str(), published, modelled,
                error);
    EXPECT_NEAR(error, error_percent, 1) << what;
  };
  const auto decode = [&](int batch, std::int64_t each, double error_percent) {
    const std::int64_t held = batch * each;
    const auto kv = static_cast<double>(held);
    compare("decode of " + std::to_string(batch) + " with " + std::to_string(each) + " tokens each",
            opt.Duration({.decoding = batch, .held = held}),
            batch < 95 ? 23.475 + 0.060727 * batch + 0.00059293 * kv
                       : 20.206 + 0.12000 * batch + 0.00049077 * kv,
            error_percent);
  };
  const auto prefill = [&](Tokens n, double error_percent) {
    compare("prefill of " + std::to_string(n) + " tokens", opt.Duration(step::Work::Prefill(n)),
            22.052 + 0.14051 * n + 8.0766e-6 * n * n, error_percent);
  };
  decode(1, 512, -19);
  decode(16, 512, -14);
  decode(64, 512, -5);
  decode(128, 256, 13);
  prefill(128, -36);
  prefill(512, -24);
  prefill(1024, -18);
  prefill(2048, -17);
}

}  // namespace
}  // namespace headrace::engine
