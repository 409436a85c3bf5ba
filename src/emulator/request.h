// What the emulated engine needs to know of a request.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

#include "base/units.h"
#include "openai/error.h"
#include "openai/request.h"

namespace headrace::emulator {

// The emulated tokenizer: one token for each 4 bytes of UTF-8 text, rounded up.
inline constexpr Tokens kBytesPerToken = 4;
// A chat template spends this much on each message beside its text.
inline constexpr Tokens kTokensPerMessage = 4;

constexpr Tokens CountTokens(std::string_view text) {
  return static_cast<Tokens>((text.size() + kBytesPerToken - 1) / kBytesPerToken);
}

struct EngineRequest {
  std::string model;
  bool stream = false;
  bool include_usage = false;
  bool ignore_eos = false;
  std::optional<Tokens> max_tokens;
  std::vector<std::string> stop;
  Tokens prompt = 0;               // Tokens; of an embedding request, those of all inputs.
  std::vector<Tokens> inputs;      // Embeddings only: tokens of each.
  std::vector<std::string> texts;  // Embeddings only: what each vector is made from.
  bool base64 = false;             // Embeddings only.
  int dimensions = 16;             // Embeddings only.
};

// Reads the body of a request of that kind. The error is ready to be sent.
tl::expected<EngineRequest, openai::ApiError> ReadEngineRequest(openai::ApiKind kind,
                                                                std::string_view body);

// Reads the body of POST /tokenize ({"prompt": …} or {"messages": …}): the number of tokens.
tl::expected<Tokens, openai::ApiError> ReadTokenizeRequest(std::string_view body);

}  // namespace headrace::emulator
