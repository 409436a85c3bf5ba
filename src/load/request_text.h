// The requests that a load generator sends.
#pragma once

#include <cstdint>
#include <string>

#include "base/units.h"
#include "net/http_message.h"
#include "profile/slo.h"

namespace headrace {

// A chat request with a prompt of `prompt_tokens`, counted as the emulated engine counts (4 bytes a
// token and 4 tokens for the message); a real tokenizer makes about as many of it. It begins with
// `number`, so that no two share a prefix that an engine could have cached. A stream is asked for
// with its usage.
std::string ChatRequestJson(const std::string& model, Tokens prompt_tokens, std::uint64_t number,
                            bool stream);

// The latency goals as x-slo-ttft-ms and its like.
void AddSloHeaders(const Slo& slo, RequestHead& head);

}  // namespace headrace
