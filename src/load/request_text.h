// The requests that a load generator sends.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/units.h"
#include "net/http_message.h"
#include "slo/slo.h"

namespace headrace::load {

// A chat request with a prompt of `prompt_tokens`, counted as the emulated engine counts (4 bytes a
// token and 4 tokens for the message); a real tokenizer makes about as many of it. It begins with
// `number`, so that no two share a prefix that an engine could have cached. A stream is asked for
// with its usage. `max_tokens` > 0 limits the answer and has it go on to there (vLLM's ignore_eos).
std::string ChatRequestJson(std::string_view model, Tokens prompt_tokens, std::uint64_t number,
                            bool stream, Tokens max_tokens);

// The latency goals as x-slo-ttft-ms and its like.
void AddSloHeaders(const slo::Slo& slo, net::RequestHead& head);

}  // namespace headrace::load
