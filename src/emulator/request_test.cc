#include "emulator/request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace headrace::emulator {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

EngineRequest Read(openai::ApiKind kind, std::string_view body) {
  auto request = ReadEngineRequest(kind, body);
  EXPECT_TRUE(request) << request.error().message;
  return request ? *request : EngineRequest{};
}

openai::ApiError Refusal(openai::ApiKind kind, std::string_view body) {
  const auto request = ReadEngineRequest(kind, body);
  EXPECT_FALSE(request) << body;
  return request ? openai::ApiError{} : request.error();
}

TEST(EngineRequest, AChatsPromptIsItsTextAndItsTemplate) {
  const auto request = Read(openai::ApiKind::kChatCompletions, R"({
      "model": "m", "stream": true, "stream_options": {"include_usage": true},
      "messages": [{"role": "system", "content": "12345678"},
                   {"role": "user", "content": [{"type": "text", "text": "123"},
                                                {"type": "image_url", "image_url": {}}]},
                   {"role": "assistant", "content": null}],
      "max_tokens": 7, "max_completion_tokens": 9, "stop": ["a", "b"], "ignore_eos": true})");
  EXPECT_EQ(request.prompt, 2 + 1 + 3 * kTokensPerMessage);
  EXPECT_EQ(request.model, "m");
  EXPECT_TRUE(request.stream);
  EXPECT_TRUE(request.include_usage);
  EXPECT_TRUE(request.ignore_eos);
  EXPECT_EQ(request.max_tokens, 9);
  EXPECT_THAT(request.stop, ElementsAre("a", "b"));
}

TEST(EngineRequest, APromptIsTextOrTokenIds) {
  EXPECT_EQ(Read(openai::ApiKind::kCompletions, R"({"model":"m","prompt":"12345"})").prompt, 2);
  EXPECT_EQ(Read(openai::ApiKind::kCompletions, R"({"model":"m","prompt":["12345"]})").prompt, 2);
  EXPECT_EQ(Read(openai::ApiKind::kCompletions, R"({"model":"m","prompt":[5,6,7]})").prompt, 3);
  EXPECT_EQ(Read(openai::ApiKind::kCompletions, R"({"model":"m","prompt":[[5,6,7]]})").prompt, 3);
  EXPECT_EQ(Read(openai::ApiKind::kCompletions, R"({"model":"m","prompt":""})").prompt, 1);
}

TEST(EngineRequest, AResponsesInputIsAStringOrItems) {
  EXPECT_EQ(Read(openai::ApiKind::kResponses,
                 R"({"model":"m","input":"12345","instructions":"1","max_output_tokens":3})")
                .prompt,
            2 + 1 + 2 * kTokensPerMessage);
  const auto items =
      Read(openai::ApiKind::kResponses, R"({"model":"m","max_output_tokens":3,"input":[
      {"role":"user","content":[{"type":"input_text","text":"1234"}]},
      {"type":"function_call_output","call_id":"c","output":"12345678"}]})");
  EXPECT_EQ(items.prompt, 1 + 2 + 2 * kTokensPerMessage);
  EXPECT_EQ(items.max_tokens, 3);
}

TEST(EngineRequest, EmbeddingsTakeAnyNumberOfInputs) {
  EXPECT_THAT(Read(openai::ApiKind::kEmbeddings, R"({"model":"m","input":"12345"})").inputs,
              ElementsAre(2));
  EXPECT_THAT(
      Read(openai::ApiKind::kEmbeddings, R"({"model":"m","input":["1","123456789"]})").inputs,
      ElementsAre(1, 3));
  EXPECT_THAT(Read(openai::ApiKind::kEmbeddings, R"({"model":"m","input":[1,2,3]})").inputs,
              ElementsAre(3));
  EXPECT_THAT(Read(openai::ApiKind::kEmbeddings, R"({"model":"m","input":[[1,2],[3]]})").inputs,
              ElementsAre(2, 1));
}

TEST(EngineRequest, RefusesWhatItCannotServeAndNamesTheField) {
  const auto param = [](openai::ApiKind kind, std::string_view body) {
    return Refusal(kind, body).param;
  };
  EXPECT_THAT(Refusal(openai::ApiKind::kCompletions, "{").message, HasSubstr("not valid JSON"));
  EXPECT_THAT(Refusal(openai::ApiKind::kCompletions, "[]").message, HasSubstr("JSON object"));
  EXPECT_EQ(Refusal(openai::ApiKind::kCompletions, "{}").status, 400);
  EXPECT_EQ(param(openai::ApiKind::kCompletions, R"({"prompt":"x"})"), "model");
  EXPECT_EQ(param(openai::ApiKind::kCompletions, R"({"model":"m"})"), "prompt");
  EXPECT_EQ(param(openai::ApiKind::kCompletions, R"({"model":"m","prompt":["a","b"]})"), "prompt");
  EXPECT_EQ(param(openai::ApiKind::kCompletions, R"({"model":"m","prompt":"x","n":2})"), "n");
  EXPECT_EQ(param(openai::ApiKind::kCompletions, R"({"model":"m","prompt":"x","max_tokens":0})"),
            "max_tokens");
  EXPECT_EQ(param(openai::ApiKind::kCompletions, R"({"model":"m","prompt":"x","stop":""})"),
            "stop");
  EXPECT_EQ(param(openai::ApiKind::kCompletions, R"({"model":"m","prompt":"x","stream":"yes"})"),
            "stream");
  EXPECT_EQ(param(openai::ApiKind::kChatCompletions, R"({"model":"m","messages":[]})"), "messages");
  EXPECT_EQ(param(openai::ApiKind::kResponses, R"({"model":"m"})"), "input");
  EXPECT_EQ(param(openai::ApiKind::kEmbeddings, R"({"model":"m","input":[]})"), "input");
  EXPECT_EQ(param(openai::ApiKind::kEmbeddings, R"({"model":"m","input":"x","dimensions":0})"),
            "dimensions");
}

TEST(EngineRequest, TokenizesPromptsAndMessages) {
  EXPECT_EQ(*ReadTokenizeRequest(R"({"model":"m","prompt":"123456789"})"), 3);
  EXPECT_EQ(*ReadTokenizeRequest(R"({"messages":[{"role":"user","content":"12345"}]})"), 6);
  EXPECT_FALSE(ReadTokenizeRequest("{}"));
}

}  // namespace
}  // namespace headrace::emulator
