#include "fleet/step_learner.h"

#include <algorithm>

namespace headrace::fleet {
StepLearner::StepLearner(const StepBelief& prior, const HeadroomConstants& constants)
    : constants_(constants), prior_(prior), belief_(prior) {
  const double common = constants_.common_spread * constants_.common_spread;
  prior_variance_ = common + constants_.own_spread * constants_.own_spread;
  theta_.fill(1);
  for (int i = 0; i < kTerms; ++i) {
    covariance_[i].fill(common);
    covariance_[i][i] = prior_variance_;
  }
}

void StepLearner::Learn(const StepSample& sample, double weight) {
  if (!(sample.seconds > 0)) return;
  ++samples_;
  const Vector x{
      prior_.a * sample.steps / sample.seconds, prior_.c * sample.sequence_steps / sample.seconds,
      prior_.d * sample.held_steps / sample.seconds, prior_.b * sample.prefilled / sample.seconds};
  double predicted = 0;
  Vector gain{};
  for (int i = 0; i < kTerms; ++i) {
    predicted += theta_[i] * x[i];
    for (int j = 0; j < kTerms; ++j) gain[i] += covariance_[i][j] * x[j];
  }
  double variance = constants_.sample_noise * constants_.sample_noise / weight;
  for (int i = 0; i < kTerms; ++i) variance += x[i] * gain[i];
  const double error =
      std::clamp(1 - predicted, -constants_.sample_farthest, constants_.sample_farthest);
  for (int i = 0; i < kTerms; ++i) {
    theta_[i] = std::clamp(theta_[i] + gain[i] / variance * error, 1 / constants_.belief_most,
                           constants_.belief_most);
    for (int j = 0; j < kTerms; ++j) covariance_[i][j] -= gain[i] * gain[j] / variance;
  }
  // Old samples fade, but what is never seen does not get less certain than the prior.
  const double memory = 1 - 1 / constants_.samples;
  double most = 0;
  for (int i = 0; i < kTerms; ++i) most = std::max(most, covariance_[i][i]);
  if (most < prior_variance_ * memory) {
    for (Vector& row : covariance_) {
      for (double& entry : row) entry /= memory;
    }
  }
  belief_ = {.a = prior_.a * theta_[0],
             .b = prior_.b * theta_[3],
             .c = prior_.c * theta_[1],
             .d = prior_.d * theta_[2]};
}

}  // namespace headrace::fleet
