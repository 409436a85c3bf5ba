#include "predict/prompt_estimator.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace headrace::predict {
namespace {

// Parts of usual size that count beside those that were seen: one that is far off is not the rule.
constexpr std::size_t kAssumedParts = 3;
constexpr double kMostPerPart = 131'072;

Tokens Whole(double tokens) {
  constexpr double kMost = 1e9;
  return static_cast<Tokens>(std::lround(std::clamp(tokens, 1.0, kMost)));
}

}  // namespace

Tokens PromptEstimator::Estimate(const PromptSize& size) const {
  const auto exact = static_cast<double>(size.token_ids);
  if (size.bytes == 0 && size.unsized_parts == 0) return Whole(exact);
  return Whole(exact + line(size.form).At(size.bytes) + tokens_per_part_ * size.unsized_parts);
}

Tokens PromptEstimator::Least(const PromptSize& size) const {
  if (size.unsized_parts > 0) return Floor(size);
  const auto exact = static_cast<double>(size.token_ids);
  return std::min(Whole(exact + line(size.form).Least(size.bytes)), Estimate(size));
}

Tokens PromptEstimator::Floor(const PromptSize& size) {
  return Whole(static_cast<double>(size.token_ids) + TokenLine::Floor(size.bytes));
}

void PromptEstimator::Learn(const PromptSize& size, Tokens prompt_tokens) {
  if (prompt_tokens < 1 || size.token_ids > 0) return;
  if (size.unsized_parts > 0) {
    LearnPart((prompt_tokens - line(size.form).At(size.bytes)) / size.unsized_parts);
    return;
  }
  lines_[static_cast<std::size_t>(size.form)].Learn(size.bytes, prompt_tokens);
  // A form that was not seen yet begins with the slope of the one that was seen most.
  const TokenLine& known = *std::ranges::max_element(lines_, {}, &TokenLine::samples);
  for (TokenLine& other : lines_) {
    if (other.samples() == 0) other.SetPrior(known.slope());
  }
}

void PromptEstimator::LearnPart(double tokens) {
  parts_[static_cast<std::size_t>(unsized_samples_++) % kParts] =
      static_cast<float>(std::clamp(tokens, 0.0, kMostPerPart));
  std::vector<double> sorted(kAssumedParts, kUsualPart);
  const auto seen = std::min(static_cast<std::size_t>(unsized_samples_), kParts);
  sorted.insert(sorted.end(), parts_.begin(), parts_.begin() + static_cast<std::ptrdiff_t>(seen));
  const auto middle = sorted.begin() + static_cast<std::ptrdiff_t>(sorted.size() / 2);
  std::ranges::nth_element(sorted, middle);
  tokens_per_part_ = *middle;
}

}  // namespace headrace::predict
