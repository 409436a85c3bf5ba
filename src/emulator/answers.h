// The JSON and the events of an emulated engine's answers, as OpenAI and vLLM write them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/units.h"
#include "emulator/answer_plan.h"
#include "emulator/request.h"

namespace headrace::emulator {

// Writes the answer to one chat or completion request. Its text must need no escaping in JSON, as
// PlanAnswer's does not.
class CompletionWriter {
 public:
  // `id` without its prefix ("chatcmpl-", "cmpl-"); `created` in Unix seconds.
  CompletionWriter(openai::ApiKind kind, const EngineRequest& request, const AnswerPlan& plan,
                   std::string_view id, std::int64_t created);

  // The whole answer of a request that is not streamed.
  std::string Whole() const;
  // The events that come before the first token: none.
  std::string Begin() const { return {}; }
  // The event after `generated` tokens in all; only what is new since the last call is in it, and
  // the finish reason once all tokens are there.
  std::string Event(Tokens generated);
  // What follows the last event: the usage, if asked for, and [DONE].
  std::string End() const;

 private:
  std::string Usage() const;
  std::string Choice(std::string_view text, bool first, bool last) const;

  openai::ApiKind kind_;
  const EngineRequest& request_;
  const AnswerPlan& plan_;
  std::string head_;        // {"id": …, "model": …, "choices": up to the list.
  std::string chunk_head_;  // The same of a streamed chunk.
  std::size_t sent_ = 0;    // Bytes of the text.
  bool first_ = true;
};

// Writes the answer to one request of the Responses API: one message with one piece of text.
class ResponseWriter {
 public:
  ResponseWriter(const EngineRequest& request, const AnswerPlan& plan, std::string_view id,
                 std::int64_t created);

  std::string Whole() const;
  // The events that come before the first token, after each token, and at the end.
  std::string Begin();
  std::string Event(Tokens generated);
  std::string End();

 private:
  std::string Sequence();
  // `status`: "in_progress", "completed" or "incomplete".
  std::string Object(std::string_view status) const;
  std::string Item(std::string_view status) const;

  const EngineRequest& request_;
  const AnswerPlan& plan_;
  std::string id_;
  std::int64_t created_;
  int sequence_ = 0;
  std::size_t sent_ = 0;
};

// The answer to an embedding request: for each input a unit vector that depends on nothing but the
// input.
std::string EmbeddingsJson(const EngineRequest& request);

// GET /v1/models.
std::string ModelsJson(std::string_view model, Tokens max_model_len, std::int64_t created);

// POST /tokenize, as vLLM answers it. The token ids are made up.
std::string TokenizeJson(Tokens tokens, Tokens max_model_len);

}  // namespace headrace::emulator
