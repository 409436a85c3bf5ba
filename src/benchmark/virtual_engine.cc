#include "benchmark/virtual_engine.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "base/random.h"
#include "benchmark/steady_state.h"
#include "engine/timed_engine.h"

namespace headrace::benchmark {
namespace {

// How long a request lives on an engine whose KV cache or running set is full of such requests: a
// scale for the warm-up and the window.
Seconds LongestLife(const engine::EngineConfig& config, const GridPoint& point) {
  const double held = point.input + point.output / 2.0;
  const double room = static_cast<double>(config.kv_blocks * engine::kKvBlockTokens);
  const double batch = std::clamp(room / held, 1.0, static_cast<double>(config.max_num_seqs));
  const Seconds step = config.step.Duration(
      {.decoding = static_cast<int>(batch), .held = static_cast<std::int64_t>(batch * held)});
  // While it decodes, `batch` prompts per life are prefilled on the same engine.
  const step::Work prefill = step::Work::Prefill(point.input);
  return point.output * step +
         batch * (config.step.b * prefill.prefilled + config.step.e * prefill.attended);
}

}  // namespace

Result<Measurement> VirtualEngine::Measure(const GridPoint& point) const {
  if (point.output < 1 || !(point.rate > 0) || options_.samples < 1) {
    return Fail("a measurement needs an output of at least 1 token, a rate above 0 and a sample");
  }
  if (!engine::EngineModel(engine_).Fits(point.input, point.output)) {
    return Fail("a request of " + std::to_string(point.input) + " input and " +
                std::to_string(point.output) + " output tokens does not fit into a context of " +
                std::to_string(engine_.max_model_len) + "; leave the cell out");
  }
  int samples = options_.samples;
  Measurement measured = MeasureOnce(point, samples);
  for (int i = 0; i < kMaxDoublings && measured.sustained && !measured.Settled(); ++i) {
    samples *= 2;
    measured = MeasureOnce(point, samples);
  }
  measured.sustained = measured.sustained && measured.Settled();
  return measured;
}

Measurement VirtualEngine::MeasureOnce(const GridPoint& point, int samples) const {
  engine::TimedEngine engine(engine_);
  const Seconds life = LongestLife(engine_, point);
  const Seconds begin = 2 * life + 20 / point.rate;
  const Seconds end = begin + std::max(samples / point.rate, 4 * life);
  Rng rng(options_.seed);
  std::vector<TimedRequest> requests;
  std::int64_t open = 0;  // Arrived in the window, not finished yet.

  Seconds next_arrival = rng.Exponential(1 / point.rate);
  while (next_arrival <= end || open > 0) {
    const Seconds wake = engine.NextWake();
    const Seconds now = std::min(next_arrival, wake);
    for (const auto& [at, event] : engine.Advance(now)) {
      TimedRequest& request = requests[event.tag];
      if (event.kind == engine::EngineModel::Event::Kind::kFirstToken) request.first_token = at;
      if (event.kind != engine::EngineModel::Event::Kind::kFinished) continue;
      request.finished = at;
      if (request.arrival >= begin && request.arrival < end) --open;
    }
    if (next_arrival > now) continue;
    next_arrival = now + rng.Exponential(1 / point.rate);
    // After the window, a queue this long keeps the engine as busy as a longer one would.
    if (now >= end && engine.model().waiting() >= engine_.max_num_seqs) continue;
    engine.Add(now, requests.size(), point.input, point.output);
    requests.push_back({.arrival = now});
    if (now >= begin && now < end) ++open;
  }
  return MeasureWindow(requests, begin, end, point);
}

}  // namespace headrace::benchmark
