// Prompts whose length in tokens can be set exactly, whatever the tokenizer.
#pragma once

#include <cstdint>
#include <string>

#include "base/units.h"
#include "openai/request.h"

namespace headrace::measure {

// Eight digits, then `filler` times " the", a token of its own in the vocabularies of today's
// models: one more filler is one more token, so that an engine's own count for one prompt tells the
// filler for any length. The digits are what makes a prompt unique: they stand first, so that no
// prefix cache can help, and eight digits are the same number of tokens whichever they are, in
// tokenizers that take digits one by one or in threes.
std::string MeasurePrompt(std::uint64_t number, int filler);

// The body of a streamed request for exactly `output` tokens, by ignore_eos and max_tokens (vLLM,
// SGLang and others), with its usage.
std::string MeasureRequestJson(openai::ApiKind api, const std::string& model,
                               const std::string& prompt, Tokens output);

}  // namespace headrace::measure
