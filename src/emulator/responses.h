// The JSON and the events of an emulated engine's responses, as OpenAI and vLLM
// write them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/json_writer.h"
#include "base/units.h"
#include "emulator/output_plan.h"
#include "emulator/request.h"

namespace headrace::emulator {

// Writes the response to one chat or completion request. Its text must need no
// escaping in JSON, as PlanOutput's does not.
class CompletionWriter {
 public:
  // `id` without its prefix ("chatcmpl-", "cmpl-"); `created` in Unix seconds.
  CompletionWriter(openai::ApiKind kind, const EngineRequest& request, const OutputPlan& plan,
                   std::string_view id, std::int64_t created);

  // The whole response to a request that is not streamed.
  std::string Whole() const;
  // The events that come before the first token: none.
  std::string Begin() const { return {}; }
  // The event after `generated` tokens in total; only what is new since the last
  // call is in it, and the finish reason once all tokens are there.
  std::string Event(Tokens generated);
  // What follows the last event: the usage, if asked for, and [DONE].
  std::string End() const;

 private:
  // The object up to its choices; of the whole response, and of each streamed
  // chunk.
  JsonWriter Begin(std::string_view object) const;
  JsonWriter BeginChunk() const;
  void WriteUsage(JsonWriter& json) const;
  void AppendChunk(std::string_view text, bool first, bool last, std::string& events) const;

  bool chat_;
  const EngineRequest& request_;
  const OutputPlan& plan_;
  std::string id_;
  std::int64_t created_;
  std::string chunk_head_;  // What all chunks begin with.
  std::size_t sent_ = 0;    // Bytes of the text.
  bool first_ = true;
};

// Writes the response to one request of the Responses API: one message with one
// piece of text.
class ResponseWriter {
 public:
  ResponseWriter(const EngineRequest& request, const OutputPlan& plan, std::string_view id,
                 std::int64_t created);

  std::string Whole() const;
  // The events that come before the first token, after each token, and at the
  // end.
  std::string Begin();
  std::string Event(Tokens generated);
  std::string End();

 private:
  JsonWriter BeginEvent(std::string_view type);
  // `status`: "in_progress", "completed" or "incomplete".
  std::string ObjectEvent(std::string_view type, std::string_view status);
  std::string ItemEvent(std::string_view type, std::string_view status);
  std::string PartEvent(std::string_view type, std::string_view text);
  void WriteObject(std::string_view status, JsonWriter& json) const;
  void WriteItem(std::string_view status, JsonWriter& json) const;
  void WritePlace(JsonWriter& json) const;

  const EngineRequest& request_;
  const OutputPlan& plan_;
  std::string id_;
  std::int64_t created_;
  int sequence_ = 0;
  std::size_t sent_ = 0;
};

// Writes the response to one request of Anthropic's Messages API, as vLLM does: one piece of text.
class MessageWriter {
 public:
  MessageWriter(const EngineRequest& request, const OutputPlan& plan, std::string_view id)
      : request_(request), plan_(plan), id_(id) {}

  std::string Whole() const;
  std::string Begin() const;
  std::string Event(Tokens generated);
  std::string End() const;

 private:
  void WriteMessage(bool done, JsonWriter& json) const;
  std::string_view StopReason() const;

  const EngineRequest& request_;
  const OutputPlan& plan_;
  std::string id_;
  std::size_t sent_ = 0;
};

// The response to an embedding request: for each input a unit vector that depends
// on nothing but the input.
std::string EmbeddingsJson(const EngineRequest& request);

// GET /v1/models.
std::string ModelsJson(std::string_view model, Tokens max_model_len, std::int64_t created);

// POST /tokenize, as vLLM responds to it. The token ids are made up.
std::string TokenizeJson(Tokens tokens, Tokens max_model_len);

}  // namespace headrace::emulator
