// Estimates the tokens of a prompt, because only the engine has the tokenizer.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/units.h"
#include "predict/token_line.h"

namespace headrace::predict {

// What can be seen of a prompt.
struct PromptSize {
  // Each has a line of its own, because each is put into other words on its way to the engine.
  enum class Form {
    kPlain,  // Text as it is: completions, embeddings.
    kChat,   // Through a chat template.
    kTools,  // With tools or other JSON.
  };
  static constexpr std::size_t kForms = 3;

  Form form = Form::kPlain;
  std::int64_t bytes = 0;      // Of text and JSON.
  std::int64_t token_ids = 0;  // Given as such: exact.
  // Images, audio, files, what the engine keeps: parts that cannot be sized.
  int unsized_parts = 0;
};

// A line over bytes for each form, and the tokens per part that cannot be sized: the middle of the
// last 64. Prompts with such parts teach nothing about text. One per pool. Not thread-safe.
class PromptEstimator {
 public:
  Tokens Estimate(const PromptSize& size) const;
  // What it comes to at least, by the evidence of prompts of about this size; where there is none,
  // by what any text does. Nothing is refused for more than this.
  Tokens Least(const PromptSize& size) const;
  // Whatever was learned, it comes to no less.
  static Tokens Floor(const PromptSize& size);

  // Learns from a finished request.
  void Learn(const PromptSize& size, Tokens prompt_tokens);

  // A request was refused for its size. True: it is to be tried all the same (TokenLine::Refused).
  bool Refused(const PromptSize& size) {
    return lines_[static_cast<std::size_t>(size.form)].Refused(size.bytes);
  }

  const TokenLine& line(PromptSize::Form form) const {
    return lines_[static_cast<std::size_t>(form)];
  }
  double tokens_per_part() const { return tokens_per_part_; }
  std::int64_t unsized_samples() const { return unsized_samples_; }

 private:
  static constexpr std::size_t kParts = 64;
  // An image of usual size, as vision models count it.
  static constexpr double kUsualPart = 512;

  void LearnPart(double tokens);

  std::array<TokenLine, PromptSize::kForms> lines_;
  std::array<float, kParts> parts_{};  // A ring.
  std::int64_t unsized_samples_ = 0;
  double tokens_per_part_ = kUsualPart;
};

}  // namespace headrace::predict
