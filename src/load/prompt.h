// The prompts that a load generator sends.
#pragma once

#include <cstdint>
#include <string>

#include "base/units.h"

namespace headrace::load {

// A chat prompt of `tokens` tokens, counted as the emulated engine counts (4 bytes per token and 4
// tokens for the message); a real tokenizer finds about as many. It begins with `number`, so that
// no two prompts share a prefix that an engine could have cached.
std::string LoadPrompt(Tokens tokens, std::uint64_t number);

}  // namespace headrace::load
