#include "predict/length_distribution.h"

#include <algorithm>

namespace headrace::predict {

int LengthDistribution::BucketOf(double length) {
  if (!(length > 1)) return 0;
  return length >= kMost ? kBuckets - 1 : PlaceOf(length).bucket;
}

double LengthDistribution::BeginOf(int bucket) {
  const int octave = bucket / kPerOctave;
  return static_cast<double>(std::uint64_t{1} << octave) *
         (1 + static_cast<double>(bucket % kPerOctave) / kPerOctave);
}

LengthDistribution::LengthDistribution(const Counts& counts) {
  double total = 0;
  for (const float count : counts) total += count;
  double above = 0;
  double area = 0;
  for (int i = kBuckets - 1; i >= 0; --i) {
    const double before = above;
    above += counts[i] / total;
    area += (before + above) / 2 * (BeginOf(i + 1) - BeginOf(i));
    at_least_[i] = static_cast<float>(above);
    tail_mean_[i] = static_cast<float>(area);
  }
  mean_ = 1 + area;
}

double LengthDistribution::MeanBeyond(double generated, double most) const {
  generated = std::max(generated, 1.0);
  const double alive = AtLeast(generated);
  if (!(alive > 1e-6) || most <= generated + 1) return generated + 1;
  // ∫ P(L ≥ l) dl from a length on, with the part of its bucket that is left.
  const auto area_from = [this](double length) {
    if (length >= kMost) return 0.0;
    const Place place = PlaceOf(length);
    const double end = BeginOf(place.bucket + 1);
    return tail_mean_[place.bucket + 1] +
           (AtLeast(length) + at_least_[place.bucket + 1]) / 2 * (end - length);
  };
  const double area = area_from(generated) - (most < kMost ? area_from(most) : 0.0);
  return std::clamp(generated + area / alive, generated + 1, most);
}

double LengthDistribution::Quantile(double quantile) const {
  const double wanted = 1 - quantile;
  int bucket = 0;
  while (bucket + 1 < kBuckets && at_least_[bucket + 1] > wanted) ++bucket;
  const double drop = at_least_[bucket] - at_least_[bucket + 1];
  const double share = drop > 0 ? (at_least_[bucket] - wanted) / drop : 1;
  return BeginOf(bucket) + share * (BeginOf(bucket + 1) - BeginOf(bucket));
}

}  // namespace headrace::predict
