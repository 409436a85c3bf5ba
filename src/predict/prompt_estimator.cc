#include "predict/prompt_estimator.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace headrace::predict {
namespace {

constexpr double kForget = 0.999;  // Weight kept per later sample.

}  // namespace

Tokens PromptEstimator::Estimate(std::int64_t bytes) const {
  const double tokens = per_request_ + per_byte_ * static_cast<double>(bytes);
  constexpr double kMost = std::numeric_limits<Tokens>::max() / 2.0;
  return static_cast<Tokens>(std::lround(std::clamp(tokens, 1.0, kMost)));
}

void PromptEstimator::Learn(std::int64_t bytes, Tokens prompt_tokens) {
  if (bytes < 1 || prompt_tokens < 1) return;
  const auto x = static_cast<double>(bytes);
  const auto y = static_cast<double>(prompt_tokens);
  weight_ = weight_ * kForget + 1;
  sum_x_ = sum_x_ * kForget + x;
  sum_y_ = sum_y_ * kForget + y;
  sum_xx_ = sum_xx_ * kForget + x * x;
  sum_xy_ = sum_xy_ * kForget + x * y;
  Fit();
}

void PromptEstimator::Fit() {
  const double mean_x = sum_x_ / weight_;
  const double mean_y = sum_y_ / weight_;
  const double variance = sum_xx_ / weight_ - mean_x * mean_x;
  const double covariance = sum_xy_ / weight_ - mean_x * mean_y;
  // Prompts all of one size cannot tell the slope from the constant: keep to one number then, as
  // when the line would fall or start below zero, which no tokenizer does.
  if (variance > 0.01 * mean_x * mean_x && covariance > 0) {
    const double slope = covariance / variance;
    const double constant = mean_y - slope * mean_x;
    if (constant >= 0) {
      per_byte_ = slope;
      per_request_ = constant;
      return;
    }
  }
  per_byte_ = sum_y_ / sum_x_;
  per_request_ = 0;
}

}  // namespace headrace::predict
