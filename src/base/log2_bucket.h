// Token counts are compared in log2 space: 100 and 130 tokens are alike, 10 and 40 are not.
#pragma once

#include <bit>
#include <cstdint>

#include "base/units.h"

namespace headrace {

// round(log2(tokens)), halves up, exactly (no floating point): the bucket that AIBrix's predictor
// and SLO queue use. Counts below 1 fall into bucket 0.
constexpr int Log2Bucket(Tokens tokens) {
  if (tokens <= 1) return 0;
  const auto n = static_cast<std::uint64_t>(tokens);
  const int floor = std::bit_width(n) - 1;
  // log2(n) ≥ floor + ½  ⇔  n² ≥ 2^(2·floor + 1)
  return n * n >= (std::uint64_t{1} << (2 * floor + 1)) ? floor + 1 : floor;
}

// The token count that stands for a bucket: 2^bucket.
constexpr Tokens Log2BucketCentre(int bucket) { return Tokens{1} << bucket; }

// Buckets of all representable token counts: 0 … 31.
inline constexpr int kLog2Buckets = 32;

}  // namespace headrace
