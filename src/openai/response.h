// What a response says, read from its bytes while they pass.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "openai/error_forms.h"
#include "openai/request.h"
#include "openai/usage.h"

namespace headrace::openai {

// Fed with the body of one response as it arrives, cut anywhere; tells what to pass on and what it
// saw. Memory is bounded, whatever the input.
//
// Events are passed on whole, so whatever follows an engine that stops in one begins a new event.
// Lines end with LF, CRLF or CR. An event whose data is whole by itself does not wait for the blank
// line that ends it: some engines send none.
class ResponseStreamParser {
 public:
  enum class Form { kJson, kEventStream };

  // The longest event that is read; a longer one passes unread.
  static constexpr std::size_t kMaxEventBytes = 1 << 20;

  // `hide_usage`: the client didn't ask for the usage chunk that the engine will send; leave it
  // out. `choices`: that the request asked for.
  ResponseStreamParser(ApiKind kind, Form form, bool hide_usage, int choices = 1);

  // Takes the next bytes and appends to `forward` what is to be sent on now, in order: views into
  // `bytes` or into this object, valid until the next call.
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

  // The response had its end.
  //   chat, completions  every choice that began has its finish_reason; or `data: [DONE]` came and
  //                      no choice has one. (Some engines leave out the one, some the other.)
  //   responses          response.completed, .incomplete or .failed
  //   messages           message_stop
  //   JSON               an object that began has ended; anything else, if there is something
  bool complete() const;
  // Of a response (ApiKind::kResponses): its id, once that has come.
  const std::string& response_id() const { return response_id_; }
  const std::optional<EngineError>& error() const { return error_; }
  // Events with data so far.
  std::uint64_t events() const { return events_; }

 private:
  enum class Opening { kUnknown, kAnswer, kError };

  static Opening OpeningOf(std::string_view json);
  void FeedJson(std::string_view bytes, std::vector<std::string_view>& forward);
  void FindJsonUsage(std::string_view bytes);
  void FeedEvents(std::string_view bytes, std::vector<std::string_view>& forward);
  std::size_t FeedPending(std::string_view bytes, std::vector<std::string_view>& forward);
  std::size_t EventEnd(std::string_view text, std::size_t from);
  bool EndsEvent(std::string_view line);
  std::size_t RestOfHidden(std::string_view bytes);
  void NoteHidden(std::string_view event);
  bool ReadEvent(std::string_view event);
  bool ReadData(std::string_view name, std::string_view data);
  bool ReadChunk(std::string_view name, std::string_view data);
  void ReadResponseEvent(std::string_view name, std::string_view data);
  void ReadMessagesEvent(std::string_view name, std::string_view data);
  void NoteResponseId(std::string_view json);
  bool ReadChoice(std::string_view data);
  void ReadFinish(std::string_view data);
  void ReadAllChoices(std::string_view data);
  bool IsDelta(std::string_view data, std::size_t at) const;

  ApiKind kind_;
  Form form_;
  bool hide_usage_;
  int choices_;
  std::uint64_t deltas_ = 0;
  std::uint64_t events_ = 0;
  std::optional<Usage> usage_;
  std::optional<EngineError> error_;
  std::string response_id_;

  // Of an event stream:
  bool done_ = false;
  bool begun_ = false;     // A choice was in an event, or an event was too long to be read.
  bool finished_ = false;  // A choice had its finish_reason.
  std::vector<bool> begun_choices_;  // By index, where more than one was asked for.
  std::vector<bool> finished_choices_;
  std::string pending_;       // The beginning of an event whose end has not come:
  std::size_t line_ = 0;      // where its last line begins;
  bool open_data_ = false;    // it has data that goes on in the next line.
  bool ended_early_ = false;  // The last event was not waited for to have its blank line.
  bool overlong_ = false;     // Inside a line of an event that is too long to be read.
  bool skip_lf_ = false;      // What the end of a hidden event may still have: the LF of a CRLF,
  bool skip_blank_ = false;   // and a blank line.
  std::string released_;      // Keeps what `forward` views of an earlier call's bytes alive.

  // Of a JSON response:
  Opening opening_ = Opening::kUnknown;
  std::string held_;           // Of one whose first key is not known yet, or is that of an error.
  std::string tail_;           // Where a usage object may have begun.
  std::optional<char> first_;  // Its first and its last character that is no white space.
  char last_ = '\0';
};

}  // namespace headrace::openai
