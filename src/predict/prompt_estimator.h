// Estimates the tokens of a prompt from its bytes, because only the engine has the tokenizer.
#pragma once

#include <cstdint>

#include "base/units.h"

namespace headrace::predict {

// tokens ≈ per_request + per_byte · bytes, by least squares over the finished requests' `usage`,
// with a weight that decays (about the last 1,000 count). The constant covers what the chat
// template adds. Starts at 4 bytes per token, the usual rule for English text. One per pool. Not
// thread-safe.
class PromptEstimator {
 public:
  // ≥ 1. `bytes`: the decoded text of the prompt.
  Tokens Estimate(std::int64_t bytes) const;

  // Learns from a finished request; counts below 1 are ignored.
  void Learn(std::int64_t bytes, Tokens prompt_tokens);

  double tokens_per_byte() const { return per_byte_; }
  double tokens_per_request() const { return per_request_; }

 private:
  void Fit();

  double per_byte_ = 0.25;
  double per_request_ = 0;
  // Decayed sums of 1, x, y, x², x·y with x = bytes, y = tokens.
  double weight_ = 0;
  double sum_x_ = 0;
  double sum_y_ = 0;
  double sum_xx_ = 0;
  double sum_xy_ = 0;
};

}  // namespace headrace::predict
