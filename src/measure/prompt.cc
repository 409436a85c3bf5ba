#include "measure/prompt.h"

#include <utility>

namespace headrace::measure {

std::string MeasurePrompt(std::uint64_t number, const PromptShape& shape) {
  std::string letters = "abcdefghijkl";
  std::string prompt;
  for (std::size_t i = 0; i < static_cast<std::size_t>(shape.letters); ++i) {
    const auto left = static_cast<std::uint64_t>(shape.letters) - i;
    std::swap(letters[i], letters[i + number % left]);
    number /= left;
    if (i > 0) prompt += ' ';
    prompt += letters[i];
  }
  for (int i = 0; i < shape.filler; ++i) prompt += " the";
  return prompt;
}

}  // namespace headrace::measure
