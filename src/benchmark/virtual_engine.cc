#include "benchmark/virtual_engine.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "base/random.h"
#include "engine/timed_engine.h"

namespace headrace::benchmark {
namespace {

// How long a request lives on an engine whose KV room or running set is full of its like: a scale
// for the warm-up and the window.
Seconds LongestLife(const engine::EngineConfig& config, const MeasureCell& cell) {
  const double held = cell.input + cell.output / 2.0;
  const double room = static_cast<double>(config.kv_blocks * engine::kKvBlockTokens);
  const double batch = std::clamp(room / held, 1.0, static_cast<double>(config.max_num_seqs));
  const Seconds step =
      config.step.Duration(static_cast<int>(batch), static_cast<std::int64_t>(batch * held), 0);
  // While it decodes, `batch` prompts per life are prefilled on the same engine.
  return cell.output * step + batch * config.step.b * cell.input;
}

}  // namespace

Result<CellMeasurement> Measure(const engine::EngineConfig& config, const MeasureCell& cell) {
  if (cell.output < 1 || !(cell.rate > 0) || cell.samples < 1) {
    return Fail("a cell needs an output of at least 1 token, a rate above 0 and a sample");
  }
  engine::TimedEngine engine(config);
  if (!engine.model().Fits(cell.input, cell.output)) {
    return Fail("a request of " + std::to_string(cell.input) + " input and " +
                std::to_string(cell.output) + " output tokens does not fit into a context of " +
                std::to_string(config.max_model_len) + "; leave the cell out");
  }

  const Seconds life = LongestLife(config, cell);
  const Seconds begin = 2 * life + 20 / cell.rate;
  const Seconds end = begin + std::max(cell.samples / cell.rate, 4 * life);
  Rng rng(cell.seed);
  std::vector<TimedRequest> requests;
  std::int64_t open = 0;  // Arrived in the window, not finished yet.

  Seconds next_arrival = rng.Exponential(1 / cell.rate);
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
    next_arrival = now + rng.Exponential(1 / cell.rate);
    // Behind the window a queue this long keeps the engine as busy as a longer one would.
    if (now >= end && engine.model().waiting() >= config.max_num_seqs) continue;
    engine.Add(now, requests.size(), cell.input, cell.output);
    requests.push_back({.arrival = now});
    if (now >= begin && now < end) ++open;
  }

  const SteadyState state = MeasureWindow(requests, begin, end, cell.rate, cell.output);
  CellMeasurement measured;
  measured.tput = state.tput;
  measured.tt = state.tput * cell.output;
  measured.samples = state.samples;
  measured.e2e = state.e2e;
  measured.ttft = state.ttft;
  measured.tpot = state.tpot;
  measured.sustained = !state.grew;
  measured.e2e_error = state.e2e_error;
  return measured;
}

}  // namespace headrace::benchmark
