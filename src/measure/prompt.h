// Prompts whose length in tokens can be set exactly for any tokenizer.
#pragma once

#include <cstdint>
#include <string>

namespace headrace::measure {

// Eight digits, then `filler` times " the". That is one token in the vocabularies of today's
// models: one more filler is one more token, so the engine's count for one prompt gives the filler
// for any length. The digits make a prompt unique. They come first, so that no prefix cache can
// help, and any eight digits are the same number of tokens for tokenizers that take digits one by
// one or in threes.
std::string MeasurePrompt(std::uint64_t number, int filler);

}  // namespace headrace::measure
