// Seeded randomness. The pure rooms take an Rng as an argument, so the same seed gives the same
// decisions; the distributions are our own because the standard library's differ between vendors.
#pragma once

#include <bit>
#include <cstdint>

namespace headrace {

// xoshiro256** (Blackman & Vigna, https://prng.di.unimi.it/), seeded through splitmix64.
class Rng {
 public:
  explicit Rng(std::uint64_t seed);

  std::uint64_t Next() {
    const std::uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
    const std::uint64_t t = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= t;
    state_[3] = std::rotl(state_[3], 45);
    return result;
  }

  // Uniform in [0, 1).
  double Uniform() { return static_cast<double>(Next() >> 11) * 0x1.0p-53; }
  // Uniform in 0 … bound − 1; bound ≥ 1.
  std::uint64_t Below(std::uint64_t bound);
  // Exponential with the given mean (> 0).
  double Exponential(double mean);
  // Standard normal (Marsaglia's polar method).
  double Normal();
  // Gamma with the given shape and scale (both > 0), by Marsaglia & Tsang (2000). Mean =
  // shape·scale, coefficient of variation = 1/√shape.
  double Gamma(double shape, double scale);

  // Weibull with the given shape and scale (both > 0): shape 1 is exponential.
  double Weibull(double shape, double scale);

  // An independent generator, for a part that must not disturb the others' draws.
  Rng Fork() { return Rng(Next()); }

 private:
  std::uint64_t state_[4];
};

}  // namespace headrace
