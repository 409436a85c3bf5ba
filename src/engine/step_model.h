// How long one iteration of a continuous-batching engine takes, and how much context it can hold.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "base/units.h"

namespace headrace::engine {

// t = a + c·B + d·ΣKV + b·P, in seconds, for a step in which B sequences decode one token each and
// hold ΣKV tokens in total (the new ones included), and P prompt tokens are prefilled. A linear
// form fits public timings of dense models: the weights are read once per step (a), each prompt
// token costs compute (b), each sequence costs sampling and small matrix work (c), and each held
// token costs the reading of its keys and values (d).
struct StepModel {
  Seconds a = 0;
  Seconds b = 0;  // Per prefilled token.
  Seconds c = 0;  // Per decoding sequence.
  Seconds d = 0;  // Per token held by the decoding sequences.

  Seconds Duration(int decoding, std::int64_t held, Tokens prefilled) const {
    return a + c * decoding + d * static_cast<double>(held) + b * prefilled;
  }

  // `steps` pure decode steps in a row: `held` tokens before the first one, one more for each of
  // the `decoding` sequences in each step. Σ (a + c·B + d·(held + B·i)), i = 1 … steps.
  Seconds DecodeRun(std::int64_t steps, int decoding, std::int64_t held) const {
    const auto k = static_cast<double>(steps);
    return k * (a + c * decoding + d * static_cast<double>(held)) + d * decoding * k * (k + 1) / 2;
  }

  // The fewest pure decode steps (at least 1, at most `limit`) that take `duration` or longer.
  std::int64_t StepsToFill(Seconds duration, std::int64_t limit, int decoding,
                           std::int64_t held) const {
    if (!(duration > 0) || limit <= 1) return 1;
    if (DecodeRun(limit, decoding, held) <= duration) return limit;
    // The positive root of q·k² + p·k = duration, in the form that stays exact for a tiny q.
    const double q = d * decoding / 2;
    const double p = a + c * decoding + d * static_cast<double>(held) + q;
    const double root = 2 * duration / (p + std::sqrt(p * p + 4 * q * duration));
    auto steps = std::clamp(static_cast<std::int64_t>(std::ceil(root)), std::int64_t{1}, limit);
    while (steps > 1 && DecodeRun(steps - 1, decoding, held) >= duration) --steps;
    while (steps < limit && DecodeRun(steps, decoding, held) < duration) ++steps;
    return steps;
  }

  // A GPU that is `factor` times slower (throttled, or the ± 30 % sweep of a modelled one).
  StepModel SlowedBy(double factor) const {
    return {a * factor, b * factor, c * factor, d * factor};
  }

  bool operator==(const StepModel&) const = default;
};

// Key-value memory is allocated in blocks of this many tokens (vLLM's default).
inline constexpr Tokens kKvBlockTokens = 16;

constexpr std::int64_t KvBlocksFor(std::int64_t tokens) {
  return (tokens + kKvBlockTokens - 1) / kKvBlockTokens;
}

// The share of GPU memory that the engine takes (vLLM's default --gpu-memory-utilization).
inline constexpr double kGpuMemoryShare = 0.9;

// Blocks that fit beside the model: (memory · 0.9 − weights − activations) / bytes per block; 0
// if the model does not fit. All in bytes.
constexpr std::int64_t KvBlocksBeside(double memory, double weights, double activations,
                                      double kv_per_token) {
  const double room = memory * kGpuMemoryShare - weights - activations;
  return room <= 0 ? 0 : static_cast<std::int64_t>(room / (kv_per_token * kKvBlockTokens));
}

}  // namespace headrace::engine
