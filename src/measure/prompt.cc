#include "measure/prompt.h"

namespace headrace::measure {

std::string MeasurePrompt(std::uint64_t number, int filler) {
  // An odd factor that is not a multiple of 5 permutes the numbers below 10^8: neighbours differ
  // from the first digit on.
  const std::uint64_t digits = number % 100'000'000 * 61'803'399 % 100'000'000;
  std::string prompt = std::to_string(100'000'000 + digits).substr(1);
  for (int i = 0; i < filler; ++i) prompt += " the";
  return prompt;
}

}  // namespace headrace::measure
