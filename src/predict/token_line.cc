#include "predict/token_line.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace headrace::predict {
namespace {

// The prior: as many empty prompts that came to nothing, and one standard deviation of the slope
// (English has 0.23 tokens per byte, code 0.3, Chinese 0.35 to 0.5, base64 0.75).
constexpr double kPriorSamples = 3;
constexpr double kPriorSlope = 0.07;

// Texts of one kind differ by a quarter, short ones by a few tokens.
constexpr double kRelativeSpread = 0.25;
constexpr double kLeastSpread = 8;

// A sample whose residual is this many times the usual one has half a weight, and those beyond ever
// less.
constexpr double kFar = 3;
constexpr double kLeastUsual = 0.25;
// Residuals of usual size that count beside those of the samples: with few samples, one that is
// far off is not taken for the rule.
constexpr std::size_t kAssumed = 4;

constexpr double kHalfLife = 1000;  // In samples.
constexpr std::size_t kEnough = 8;
// From so many samples on, a line moves little from fit to fit.
constexpr std::int64_t kSettled = 1024;
constexpr int kIterations = 6;
constexpr int kIterationsSettled = 3;
constexpr int kTryEvery = 16;  // Of those that were refused.

}  // namespace

int TokenLine::OctaveOf(std::int64_t bytes) {
  return std::clamp(static_cast<int>(std::bit_width(static_cast<std::uint64_t>(bytes))) - 1, 0,
                    kOctaves - 1);
}

double TokenLine::Spread(double bytes) const {
  return kLeastSpread + kRelativeSpread * slope() * bytes;
}

void TokenLine::Learn(std::int64_t bytes, Tokens tokens) {
  if (bytes < 1 || tokens < 1) return;
  if (tokens > kMostConstant + kMostSlope * static_cast<double>(bytes)) return;
  Octave& octave = octaves_[static_cast<std::size_t>(OctaveOf(bytes))];
  octave.refused = 0;
  const Sample sample{static_cast<float>(bytes), static_cast<float>(tokens), ++samples_};
  if (octave.samples.size() < kPerOctave) {
    octave.samples.push_back(sample);
  } else {
    octave.samples[octave.next] = sample;
    octave.next = (octave.next + 1) % kPerOctave;
  }
  // Few samples move the line with each, many only together: a fit takes some 20 µs.
  if (++since_fit_ * 16 >= std::min(samples_, kSettled)) Fit();
}

double TokenLine::Least(std::int64_t bytes) const {
  const int own = OctaveOf(bytes);
  std::size_t seen = 0;
  double lowest = 0;
  for (int i = std::max(0, own - 1); i <= std::min(kOctaves - 1, own + 1); ++i) {
    for (const Sample& sample : octaves_[static_cast<std::size_t>(i)].samples) {
      ++seen;
      const double line = constant_ + slope_ * sample.bytes;
      lowest = std::min(lowest, (sample.tokens - line) / Spread(sample.bytes));
    }
  }
  if (seen < kEnough) return Floor(bytes);
  const double least = At(bytes) + lowest * Spread(static_cast<double>(bytes));
  return std::max(least, Floor(bytes));
}

bool TokenLine::Refused(std::int64_t bytes) {
  return ++octaves_[static_cast<std::size_t>(OctaveOf(bytes))].refused % kTryEvery == 0;
}

void TokenLine::Fit() {
  since_fit_ = 0;
  points_.clear();
  for (const Octave& octave : octaves_) {
    for (const Sample& sample : octave.samples) {
      const auto age = static_cast<double>(samples_ - sample.number);
      points_.push_back({sample.bytes, sample.tokens, std::exp2(-age / kHalfLife), 0});
    }
  }
  if (samples_ == 1) slope_ = prior_slope_;
  for (int i = 0; i < (samples_ < kSettled ? kIterations : kIterationsSettled); ++i) {
    sizes_.assign(kAssumed, 1);
    for (Point& point : points_) {
      point.residual = (point.tokens - constant_ - slope_ * point.bytes) / Spread(point.bytes);
      sizes_.push_back(std::abs(point.residual));
    }
    const auto middle = sizes_.begin() + static_cast<std::ptrdiff_t>(sizes_.size() / 2);
    std::ranges::nth_element(sizes_, middle);
    Solve(std::max(*middle, kLeastUsual));
  }
}

// Least squares with two unknowns: sums over the samples and the prior, then Cramer's rule.
void TokenLine::Solve(double usual_residual) {
  const auto trust = [&](double residual) {
    const double far = residual / (kFar * usual_residual);
    return 1 / (1 + far * far);
  };
  // Samples that lie closer to a line than texts usually do say more about it.
  const double sure = 1 / std::min(1.0, usual_residual * usual_residual);
  double sum_1 = kPriorSamples * trust(constant_ / kLeastSpread) / (kLeastSpread * kLeastSpread);
  double sum_x = 0;
  double sum_xx = 1 / (kPriorSlope * kPriorSlope);
  double sum_y = 0;
  double sum_xy = prior_slope_ / (kPriorSlope * kPriorSlope);
  for (const Point& point : points_) {
    const double spread = Spread(point.bytes);
    const double weight = sure * point.age_weight * trust(point.residual) / (spread * spread);
    sum_1 += weight;
    sum_x += weight * point.bytes;
    sum_xx += weight * point.bytes * point.bytes;
    sum_y += weight * point.tokens;
    sum_xy += weight * point.bytes * point.tokens;
  }
  slope_ = (sum_1 * sum_xy - sum_x * sum_y) / (sum_1 * sum_xx - sum_x * sum_x);
  constant_ = (sum_y - slope_ * sum_x) / sum_1;
  // At a bound, the other one is the best for it.
  if (constant_ < 0) slope_ = sum_xy / sum_xx;
  slope_ = std::clamp(slope_, kLeastSlope, kMostSlope);
  constant_ = std::clamp((sum_y - slope_ * sum_x) / sum_1, 0.0, kMostConstant);
}

}  // namespace headrace::predict
