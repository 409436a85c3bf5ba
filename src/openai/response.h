// What a response says, read from its bytes while they pass.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/units.h"
#include "openai/request.h"

namespace headrace::openai {

// No engine counts more in one response: what says so is not believed. Two of them can be added.
inline constexpr Tokens kMostTokens = 1'000'000'000;

struct Usage {
  Tokens prompt_tokens = 0;
  Tokens completion_tokens = 0;
  Tokens cached_prompt_tokens = 0;  // prompt_tokens_details.cached_tokens, where it is told.

  bool operator==(const Usage&) const = default;
};

// Fed with the body of one response as it arrives, cut anywhere; tells what to pass on and what it
// saw. Only events that carry usage are parsed. Memory is bounded, whatever the input.
class ResponseStreamParser {
 public:
  enum class Form { kJson, kEventStream };

  // The longest event that is read; a longer one passes unread.
  static constexpr std::size_t kMaxEventBytes = 1 << 20;

  // `hide_usage`: the client didn't ask for the usage chunk that the engine will send; leave it
  // out.
  ResponseStreamParser(ApiKind kind, Form form, bool hide_usage);

  // Takes the next bytes and appends to `forward` what is to be sent on now, in order: views into
  // `bytes` or into this object, valid until the next call. Without hide_usage that is `bytes`
  // itself; with it, an event is held back until it is complete.
  void Feed(std::string_view bytes, std::vector<std::string_view>& forward);
  // At the end of the body: what was still held back.
  void Finish(std::vector<std::string_view>& forward);

  // A piece of the content has arrived: text, reasoning or a tool call (for a JSON response:
  // its first byte). Stamp the time when it first turns true.
  bool first_token() const { return deltas_ > 0; }
  // Events that brought a piece of the content; about one token each.
  std::uint64_t deltas() const { return deltas_; }
  // The last usage seen.
  const std::optional<Usage>& usage() const { return usage_; }
  // `data: [DONE]`, or response.completed, was seen: the stream is whole.
  bool done() const { return done_; }
  // The stream carried an error object.
  bool error_in_stream() const { return error_in_stream_; }

 private:
  void FeedJson(std::string_view bytes);
  void FeedEvents(std::string_view bytes, std::vector<std::string_view>& forward);
  bool ReadEvent(std::string_view event);
  bool ReadChunk(std::string_view name, std::string_view data);
  bool ReadResponseEvent(std::string_view name, std::string_view data);
  bool IsDelta(std::string_view data);

  ApiKind kind_;
  Form form_;
  bool hide_usage_;
  std::uint64_t deltas_ = 0;
  std::optional<Usage> usage_;
  bool done_ = false;
  bool error_in_stream_ = false;

  std::string pending_;    // The beginning of an event whose end has not come.
  std::string released_;   // Keeps what `forward` views of an earlier call's bytes alive.
  bool overlong_ = false;  // Inside an event that is too long to be read.
  std::size_t delta_hint_ =
      0;  // Where the last event had its delta: the next one has it there too.
};

// The usage object of a whole JSON response or of an event's data, if it has one.
std::optional<Usage> FindUsage(std::string_view json);

}  // namespace headrace::openai
