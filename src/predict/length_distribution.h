// The lengths that a response may have, as a distribution.
#pragma once

#include <array>
#include <bit>
#include <cstdint>

#include "base/units.h"

namespace headrace::predict {

// P(L ≥ l) for the length L of a response in tokens, from counts in buckets that are an eighth of
// an octave wide (9 %); within a bucket lengths are spread evenly. Immutable once made; shared by
// all requests that it describes.
class LengthDistribution {
 public:
  static constexpr int kPerOctave = 8;
  static constexpr int kOctaves = 22;  // Up to 4 million tokens.
  static constexpr int kBuckets = kPerOctave * kOctaves;
  using Counts = std::array<float, kBuckets>;

  // `counts` by bucket, not all 0.
  explicit LengthDistribution(const Counts& counts);

  // The bucket of a length, from 0; lengths below 1 count as 1.
  static int BucketOf(double length);
  // The length at which a bucket begins; BeginOf(kBuckets) is the end of the last one.
  static double BeginOf(int bucket);

  // P(L ≥ length), for any real length; 1 at 1 and below.
  double AtLeast(double length) const {
    if (!(length > 1)) return 1;
    if (length >= kMost) return 0;
    const Place place = PlaceOf(length);
    const auto bucket = static_cast<std::size_t>(place.bucket);
    return at_least_[bucket] + place.share * (at_least_[bucket + 1] - at_least_[bucket]);
  }
  double mean() const { return mean_; }
  // E[L | L > generated] with lengths cut at `most`: at least generated + 1.
  double MeanBeyond(double generated, double most) const;
  // The least length that a share `quantile` of responses does not exceed.
  double Quantile(double quantile) const;

 private:
  static constexpr double kMost = static_cast<double>(std::uint64_t{1} << kOctaves);

  struct Place {
    int bucket;
    double share;  // Of the bucket that lies below.
  };
  // Buckets divide each octave evenly, so no logarithm is needed: the exponent gives the octave,
  // the first bits of the fraction the bucket.
  static Place PlaceOf(double length) {
    const auto bits = std::bit_cast<std::uint64_t>(length);
    const auto octave = static_cast<int>(bits >> 52) - 1023;
    const double within = std::bit_cast<double>((bits & ((std::uint64_t{1} << 52) - 1)) |
                                                (std::uint64_t{1023} << 52));
    const double scaled = (within - 1) * kPerOctave;
    const int bucket = static_cast<int>(scaled);
    return {octave * kPerOctave + bucket, scaled - bucket};
  }

  // Of every bucket of an octave.
  static double WidthOf(int octave) {
    return static_cast<double>(std::uint64_t{1} << octave) / kPerOctave;
  }

  // P(L ≥ length), and ∫ P(L ≥ l) dl from there on.
  struct Tail {
    double alive = 0;
    double area = 0;
  };
  Tail TailFrom(double length) const;

  std::array<float, kBuckets + 1> at_least_{};   // At the beginning of each bucket.
  std::array<float, kBuckets + 1> tail_mean_{};  // ∫ from the beginning of the bucket P(L ≥ l) dl.
  double mean_ = 1;
};

}  // namespace headrace::predict
