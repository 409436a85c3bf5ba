// What an emulated engine will generate, decided when its request arrives.
#pragma once

#include <string>
#include <string_view>

#include "base/random.h"
#include "base/units.h"
#include "emulator/request.h"

namespace headrace::emulator {

// How long responses are when the request does not say: lognormal with this median and sigma (the
// mean is 240 tokens), which has about the shape of chat responses.
inline constexpr double kMedianOutput = 160;
inline constexpr double kOutputSigma = 0.9;

struct OutputPlan {
  Tokens tokens = 0;  // What the engine will generate.
  std::string text;   // What of that is visible; a stop string and what follows are not.
  std::string_view finish_reason;  // "stop" or "length".

  // The visible text after so many tokens.
  std::string_view After(Tokens generated) const;
};

// One length from the distribution, at least 1.
Tokens DrawOutputLength(Rng& rng);

// Plans a response that would end by itself after `natural` tokens. It is cut at `limit` tokens
// (max_tokens and the rest of the context), and at the first stop string in its text. ignore_eos
// makes it go on to the limit. The text is words of exactly one token each, drawn from `rng`.
OutputPlan PlanOutput(const EngineRequest& request, Tokens natural, Tokens limit, Rng& rng);

}  // namespace headrace::emulator
