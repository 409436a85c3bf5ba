// Prompts whose length in tokens can be set exactly, whatever the tokenizer.
#pragma once

#include <cstdint>
#include <string>

namespace headrace::measure {

// Eight digits, then `filler` times " the", a token of its own in the vocabularies of today's
// models: one more filler is one more token, so that an engine's own count for one prompt tells the
// filler for any length. The digits are what makes a prompt unique: they stand first, so that no
// prefix cache can help, and eight digits are the same number of tokens whichever they are, in
// tokenizers that take digits one by one or in threes.
std::string MeasurePrompt(std::uint64_t number, int filler);

}  // namespace headrace::measure
