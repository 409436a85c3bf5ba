#include "fleet/step_learner.h"

#include <algorithm>

namespace headrace::fleet {
namespace {

// Standard deviations of the prior, as shares of it: of what is common to all terms, and of each.
constexpr double kCommonSpread = 0.7;
constexpr double kOwnSpread = 0.3;
constexpr double kPriorVariance = kCommonSpread * kCommonSpread + kOwnSpread * kOwnSpread;
// The relative error of one sample.
constexpr double kNoise = 0.2;
constexpr double kFarthest = 0.5;
constexpr double kMost = 8;
constexpr double kMemory = 1 - 1.0 / 2000;

}  // namespace

StepLearner::StepLearner(const StepBelief& prior) : prior_(prior), belief_(prior) {
  theta_.fill(1);
  for (int i = 0; i < kTerms; ++i) {
    covariance_[i].fill(kCommonSpread * kCommonSpread);
    covariance_[i][i] = kPriorVariance;
  }
}

void StepLearner::Learn(const StepSample& sample) {
  if (!(sample.seconds > 0)) return;
  const Vector x{
      prior_.a * sample.steps / sample.seconds, prior_.c * sample.sequence_steps / sample.seconds,
      prior_.d * sample.held_steps / sample.seconds, prior_.b * sample.prefilled / sample.seconds};
  double predicted = 0;
  Vector gain{};
  for (int i = 0; i < kTerms; ++i) {
    predicted += theta_[i] * x[i];
    for (int j = 0; j < kTerms; ++j) gain[i] += covariance_[i][j] * x[j];
  }
  double variance = kNoise * kNoise;
  for (int i = 0; i < kTerms; ++i) variance += x[i] * gain[i];
  const double error = std::clamp(1 - predicted, -kFarthest, kFarthest);
  for (int i = 0; i < kTerms; ++i) {
    theta_[i] = std::clamp(theta_[i] + gain[i] / variance * error, 1 / kMost, kMost);
    for (int j = 0; j < kTerms; ++j) covariance_[i][j] -= gain[i] * gain[j] / variance;
  }
  // Old samples fade, but what is never seen does not get less certain than the prior.
  double most = 0;
  for (int i = 0; i < kTerms; ++i) most = std::max(most, covariance_[i][i]);
  if (most < kPriorVariance * kMemory) {
    for (Vector& row : covariance_) {
      for (double& entry : row) entry /= kMemory;
    }
  }
  belief_ = {.a = prior_.a * theta_[0],
             .b = prior_.b * theta_[3],
             .c = prior_.c * theta_[1],
             .d = prior_.d * theta_[2]};
}

}  // namespace headrace::fleet
