// The prompts that a load generator sends.
#pragma once

#include <string>

#include "base/random.h"
#include "base/units.h"
#include "openai/request.h"

namespace headrace::load {

// A prompt of `tokens` tokens: words of three letters, each with its blank one token for the
// emulated engine, and in the vocabularies of today's models. A chat has 4 tokens fewer, those of
// the emulated engine's template. The words are drawn, five bits each, so prompts share no prefix
// that an engine could have cached.
std::string LoadPrompt(Tokens tokens, openai::ApiKind api, Rng rng);

}  // namespace headrace::load
