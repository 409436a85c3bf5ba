#include <benchmark/benchmark.h>

#include <algorithm>

#include "base/random.h"
#include "engine/timed_engine.h"

namespace headrace::engine {
namespace {

// Llama 2 7B on an L20, as in data/gpus.json.
EngineConfig L20() {
  EngineConfig config;
  config.step = {.a = 20.9e-3, .b = 0.15e-3, .c = 0.0675e-3, .d = 0.6068e-6};
  config.kv_blocks = 3513;
  config.max_model_len = 4096;
  return config;
}

// One step in which the whole batch decodes.
void BM_Step(::benchmark::State& state) {
  EngineConfig config = L20();
  config.kv_blocks = 1 << 20;
  config.max_model_len = 1 << 24;
  EngineModel engine(config);
  for (int i = 0; i < state.range(0); ++i) engine.Add(0, 1, 1 << 23);
  engine.Step();
  while (state.KeepRunning()) {
    ::benchmark::DoNotOptimize(engine.Step());
    if (engine.kv_blocks_used() > config.kv_blocks / 2) {
      state.PauseTiming();
      engine = EngineModel(config);
      for (int i = 0; i < state.range(0); ++i) engine.Add(0, 1, 1 << 23);
      engine.Step();
      state.ResumeTiming();
    }
  }
}
BENCHMARK(BM_Step)->Arg(1)->Arg(32)->Arg(256);

// Whole requests through one engine in virtual time: Poisson arrivals at a rate it just sustains,
// lengths about those of chat (prompt 200, output 240 tokens on average).
void BM_Requests(::benchmark::State& state) {
  TimedEngine engine(L20());
  Rng rng(1);
  std::uint64_t steps = 0;
  Seconds arrival = 0;
  while (state.KeepRunning()) {
    arrival += rng.Exponential(1.0 / 4);
    while (engine.NextWake() < arrival) {
      ::benchmark::DoNotOptimize(engine.Advance(engine.NextWake()));
      ++steps;
    }
    engine.Advance(arrival);
    engine.Add(arrival, 0, 1 + static_cast<Tokens>(std::min(rng.Exponential(200), 2000.0)),
               1 + static_cast<Tokens>(std::min(rng.Exponential(240), 2000.0)));
  }
  state.SetItemsProcessed(state.iterations());
  state.counters["wakes_per_request"] =
      static_cast<double>(steps) / static_cast<double>(state.iterations());
  state.counters["waiting"] = engine.model().waiting();
  state.counters["running"] = engine.model().running();
}
BENCHMARK(BM_Requests);

}  // namespace
}  // namespace headrace::engine
