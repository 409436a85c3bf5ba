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
  const double share = 1 / total;
  double above = 0;
  double area = 0;
  for (int i = kBuckets - 1; i >= 0; --i) {
    const double before = above;
    above += counts[i] * share;
    area += (before + above) / 2 * WidthOf(i / kPerOctave);
    at_least_[i] = static_cast<float>(above);
    tail_mean_[i] = static_cast<float>(area);
  }
  mean_ = 1 + area;
}

LengthDistribution::Tail LengthDistribution::TailFrom(double length) const {
  if (length >= kMost) return {};
  const Place place = PlaceOf(length);
  const double next = at_least_[place.bucket + 1];
  const double alive = at_least_[place.bucket] + place.share * (next - at_least_[place.bucket]);
  const double rest = (1 - place.share) * WidthOf(place.bucket / kPerOctave);
  return {.alive = alive, .area = tail_mean_[place.bucket + 1] + (alive + next) / 2 * rest};
}

double LengthDistribution::MeanBeyond(double generated, double most) const {
  generated = std::max(generated, 1.0);
  const Tail tail = TailFrom(generated);
  if (!(tail.alive > 1e-6) || most <= generated + 1) return generated + 1;
  const double area = tail.area - TailFrom(most).area;
  return std::clamp(generated + area / tail.alive, generated + 1, most);
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
