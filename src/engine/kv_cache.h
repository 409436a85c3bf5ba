// How many blocks of keys and values an engine has.
#pragma once

#include <cstdint>

#include "base/units.h"

namespace headrace::engine {

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
