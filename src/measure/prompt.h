// Prompts whose length in tokens can be set for any tokenizer.
#pragma once

#include <cstdint>
#include <string>

namespace headrace::measure {

// What a prompt is made of: some letters, each a word, then `filler` times " the".
struct PromptShape {
  int letters = 12;  // 1 … kMostLetters.
  int filler = 0;

  static constexpr int kMostLetters = 12;
};

// The letters' order makes a prompt unique (12! of them) and comes first, so that no prefix cache
// can help. Tokenizers take words one by one, so the number of tokens is the same in any order, and
// another " the" adds the same each time: one token in the vocabularies of today's models.
std::string MeasurePrompt(std::uint64_t number, const PromptShape& shape);

}  // namespace headrace::measure
