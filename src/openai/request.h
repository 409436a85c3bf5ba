// What a request says, from one pass over its JSON.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

#include "base/units.h"
#include "openai/error.h"

namespace headrace::openai {

// What a request's body and its response are read as.
enum class ApiKind {
  kChatCompletions,
  kCompletions,
  kEmbeddings,
  kResponses,
  kMessages,  // Anthropic's.
  kOther,     // Only the model is read; the response passes unread.
};
// Names a text that is generated, in a form whose end and usage are known.
constexpr bool Generates(ApiKind kind) {
  return kind != ApiKind::kEmbeddings && kind != ApiKind::kOther;
}

// `insert` takes the place of `erase` bytes at `offset` of the body.
struct BodySplice {
  std::size_t offset = 0;
  std::size_t erase = 0;
  std::string insert;
};

// Where a body names its model.
struct ModelPlace {
  std::size_t offset = 0;  // Of the value; without one, of where a field can be put,
  std::size_t size = 0;    // and 0.
  bool only_field = false;
  std::string boundary = {};  // Of a form that it is a field of.

  // Not in a body that was not read.
  bool known() const { return offset > 0 || !boundary.empty(); }
};

struct RequestFacts {
  std::string model;  // "": it names none.
  ModelPlace model_at;
  bool stream = false;
  // The client asked for the usage chunk itself (stream_options.include_usage).
  bool usage_asked = false;
  // max_completion_tokens, else max_tokens; max_output_tokens for responses. Per choice. Numbers
  // and flags may be strings, as vLLM takes them (pydantic's lax mode).
  std::optional<Tokens> max_tokens;
  // Responses that the engine generates: the greater of n and best_of, times the number of prompts.
  int choices = 1;
  int prompts = 1;  // Of a completion that has several.
  // UTF-8 bytes of all text that becomes prompt, escapes undone: messages' and input's text,
  // prompt, instructions; `tools` with their JSON.
  std::uint64_t prompt_bytes = 0;
  // Some of these bytes are JSON (tools, their calls, documents), which engines write in a form of
  // their own.
  bool prompt_has_json = false;
  // Parts of the prompt whose size cannot be told from here: images, audio, files, what the engine
  // keeps (an earlier response, a stored prompt), a prompt that it is told to cut.
  int unsized_parts = 0;
  // Token ids given as such; to be added to what prompt_bytes comes to.
  std::uint64_t prompt_token_ids = 0;
  int messages = 0;
  std::string previous_response;  // The id of the response that this one goes on from.
  // `lora_path`: adapters that SGLang puts on the model, whatever the model is called.
  std::vector<std::string> adapters;
  // For a streamed chat or completion whose client did not ask for usage: the edit that makes the
  // engine send it. The chunk must then be hidden from the client (ResponseStreamParser).
  std::optional<BodySplice> ask_for_usage;
};

// The edit that makes the body name this model.
BodySplice NameModel(const ModelPlace& place, std::string_view model);

// Reads requests; keeps its buffers from one to the next. One per thread.
class RequestScanner {
 public:
  // Bytes that must be readable beyond the body; their values do not matter.
  static constexpr std::size_t kPadding = 64;

  RequestScanner();
  ~RequestScanner();

  // Scans the first `size` bytes at `body`; `capacity` ≥ size + kPadding bytes are readable there.
  // The error is ready to be sent: 400 for what is not JSON (with the byte offset) and for wrong
  // types. A field that is not understood is left for the engine to judge.
  tl::expected<RequestFacts, ApiError> Scan(ApiKind kind, const char* body, std::size_t size,
                                            std::size_t capacity);
  // Gives the string the capacity when it lacks it.
  tl::expected<RequestFacts, ApiError> Scan(ApiKind kind, std::string& body);
  // Scans a form (multipart/form-data, for audio and images), of which only the model is read.
  // `content_type`: the header's value.
  static tl::expected<RequestFacts, ApiError> ScanForm(std::string_view content_type,
                                                       std::string_view body);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace headrace::openai
