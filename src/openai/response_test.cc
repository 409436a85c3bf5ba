#include "openai/response.h"

#include <gmock/gmock.h>

#include <functional>

#include "base/random.h"

namespace headrace::openai {
namespace {

using Form = ResponseStreamParser::Form;

// What a meter saw, and what it let through, when fed `wire` cut by `cut` (which gives the size of
// each piece).
struct Seen {
  std::string forwarded;
  std::uint64_t deltas = 0;
  std::optional<Usage> usage;
  bool complete = false;
  bool error = false;
  bool operator==(const Seen&) const = default;
};
using Cut = std::function<std::size_t()>;
Seen Meter(ApiKind kind, Form form, bool hide, const std::string& wire, const Cut& cut) {
  ResponseStreamParser meter(kind, form, hide);
  Seen seen;
  std::vector<std::string_view> forward;
  for (std::size_t at = 0; at < wire.size();) {
    const std::string piece = wire.substr(at, cut());
    at += piece.size();
    forward.clear();
    meter.Feed(piece, forward);
    for (const std::string_view view : forward) seen.forwarded += view;
  }
  forward.clear();
  meter.Finish(forward);
  for (const std::string_view view : forward) seen.forwarded += view;
  seen.deltas = meter.deltas();
  seen.usage = meter.usage();
  seen.complete = meter.complete();
  seen.error = meter.error().has_value();
  return seen;
}
Seen Meter(ApiKind kind, Form form, bool hide, const std::string& wire,
           std::size_t step = 1 << 30) {
  return Meter(kind, form, hide, wire, [step] { return step; });
}

const std::string kRole =
    R"(data: {"id":"c-1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}],"usage":null})";
const std::string kToken =
    R"(data: {"id":"c-1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"to\"ken"},"finish_reason":null}],"usage":null})";
const std::string kLast =
    R"(data: {"id":"c-1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null})";
const std::string kUsageChunk =
    R"(data: {"id":"c-1","object":"chat.completion.chunk","choices":[],"usage":{"prompt_tokens":11,"total_tokens":13,"completion_tokens":2,"prompt_tokens_details":{"audio_tokens":0,"cached_tokens":8}}})";
const std::string kDone = "data: [DONE]";
const Usage kUsage = {11, 2, 8};

std::string Stream(std::initializer_list<std::string> events, const std::string& end = "\n\n") {
  std::string wire;
  for (const std::string& event : events) wire += event + end;
  return wire;
}

TEST(ResponseStreamParser, ReadsAChatStreamWhereverItIsCut) {
  for (const std::string end : {"\n\n", "\r\n\r\n"}) {
    const std::string wire = Stream({kRole, kToken, kToken, kLast, kUsageChunk, kDone}, end);
    const Seen whole = {wire, 2, kUsage, true, false};
    const Seen hidden = {Stream({kRole, kToken, kToken, kLast, kDone}, end), 2, kUsage, true,
                         false};
    for (std::size_t step = 1; step <= wire.size(); ++step) {
      ASSERT_EQ(Meter(ApiKind::kChatCompletions, Form::kEventStream, false, wire, step), whole)
          << step;
      ASSERT_EQ(Meter(ApiKind::kChatCompletions, Form::kEventStream, true, wire, step), hidden)
          << step;
    }
  }
}

TEST(ResponseStreamParser, ReadsAStreamCutInTwoAnywhere) {
  const std::string wire = Stream({kToken, kUsageChunk, kToken, kDone});
  for (std::size_t first = 1; first < wire.size(); ++first) {
    bool begun = false;
    const Cut cut = [&] { return std::exchange(begun, true) ? wire.size() : first; };
    ASSERT_EQ(Meter(ApiKind::kChatCompletions, Form::kEventStream, true, wire, cut),
              (Seen{Stream({kToken, kToken, kDone}), 2, kUsage, true, false}))
        << first;
  }
}

TEST(ResponseStreamParser, PassesWholeEventsOnAtOnceWhileHiding) {
  ResponseStreamParser meter(ApiKind::kChatCompletions, Form::kEventStream, true);
  std::vector<std::string_view> forward;
  const std::string event = kToken + "\n\n";
  meter.Feed(event, forward);
  ASSERT_EQ(forward.size(), 1u);
  EXPECT_EQ(forward[0].data(), event.data());  // Not even copied.
  EXPECT_EQ(forward[0].size(), event.size());
  // The beginning of an event might be that of the usage chunk.
  forward.clear();
  meter.Feed(std::string_view(event).substr(0, 50), forward);
  EXPECT_TRUE(forward.empty());
  meter.Feed(std::string_view(event).substr(50), forward);
  ASSERT_EQ(forward.size(), 1u);
  EXPECT_EQ(forward[0], event);
}

TEST(ResponseStreamParser, KnowsWhatAFirstTokenIs) {
  const auto deltas = [](const std::string& delta) {
    const std::string wire = "data: {\"choices\": [{\"delta\": " + delta + "}]}\n\n";
    return Meter(ApiKind::kChatCompletions, Form::kEventStream, false, wire).deltas;
  };
  EXPECT_EQ(deltas(R"({"role": "assistant", "content": ""})"), 0u);
  EXPECT_EQ(deltas(R"({"role": "assistant", "content": null, "tool_calls": null})"), 0u);
  EXPECT_EQ(deltas("{}"), 0u);
  EXPECT_EQ(deltas("null"), 0u);
  EXPECT_EQ(deltas(R"({"tool_calls": [], "function_call": {}})"), 0u);
  EXPECT_EQ(deltas(R"({"other": {"content": "x"}, "list": ["content", ":", "x"]})"), 0u);
  EXPECT_EQ(deltas(R"({"content": "x"})"), 1u);
  EXPECT_EQ(deltas(R"({"content": "\n"})"), 1u);
  EXPECT_EQ(deltas(R"({"role": "assistant", "content": "", "reasoning_content": "hm"})"), 1u);
  EXPECT_EQ(deltas(R"({"reasoning": "hm"})"), 1u);
  EXPECT_EQ(deltas(R"({"content": null, "tool_calls": [{"index": 0}]})"), 1u);
  EXPECT_EQ(deltas(R"({"function_call": {"name": "f"}})"), 1u);
  EXPECT_EQ(deltas(R"({"refusal": "no"})"), 1u);
}

TEST(ResponseStreamParser, FindsDeltasThatMove) {
  const auto event = [](const std::string& before, const std::string& content) {
    return "data: {" + before + "\"choices\":[{\"delta\":{\"content\":\"" + content + "\"}}]}\n\n";
  };
  const std::string wire = event("", "a") + event("\"x\":1,", "b") + event("", "") +
                           event("", "c") + event("\"longer\":\"\\\"delta\\\":{\",", "d");
  EXPECT_EQ(Meter(ApiKind::kChatCompletions, Form::kEventStream, false, wire).deltas, 4u);
}

TEST(ResponseStreamParser, ReadsTextCompletions) {
  const std::string wire =
      "data: {\"choices\":[{\"index\":0,\"text\":\"\",\"logprobs\":null}]}\n\n"
      "data: {\"choices\":[{\"index\":0,\"text\":\"a\",\"logprobs\":null}]}\n\n"
      "data: {\"choices\":[{\"index\":0,\"text\":\"\\\"\",\"logprobs\":null}]}\n\n" +
      kUsageChunk + "\n\n" + kDone + "\n\n";
  for (std::size_t step = 1; step < 100; ++step) {
    const Seen seen = Meter(ApiKind::kCompletions, Form::kEventStream, true, wire, step);
    EXPECT_EQ(seen.deltas, 2u);
    EXPECT_EQ(seen.usage, kUsage);
    EXPECT_EQ(seen.forwarded.size(), wire.size() - kUsageChunk.size() - 2);
  }
}

TEST(ResponseStreamParser, ReadsResponses) {
  const std::string wire =
      "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"usage\":null,"
      "\"error\":null}}\n\n"
      "event: response.reasoning_text.delta\ndata: {\"type\":\"response.reasoning_text.delta\"}\n\n"
      "data: {\"type\": \"response.output_text.delta\",\"delta\":\"x\"}\n\n"
      "event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"usage\":"
      "{\"input_tokens\":11,\"input_tokens_details\":{\"cached_tokens\":8},\"output_tokens\":2}}}"
      "\n\n";
  const Seen expected = {wire, 2, kUsage, true, false};
  for (std::size_t step = 1; step <= wire.size(); ++step) {
    ASSERT_EQ(Meter(ApiKind::kResponses, Form::kEventStream, false, wire, step), expected) << step;
  }
}

// --- The end of a stream

std::string Chunk(int index, const std::string& delta, const std::string& finish) {
  return R"(data: {"id":"c","choices":[{"index":)" + std::to_string(index) + R"(,"delta":)" +
         delta + R"(,"finish_reason":)" + finish + "}]}";
}
const std::string kMore = R"({"content":"x"})";

// The first so many events of a stream that are its end: whether it is complete after each of them.
std::vector<bool> CompleteAfterEach(ApiKind kind, const std::vector<std::string>& events,
                                    int choices = 1) {
  ResponseStreamParser parser(kind, Form::kEventStream, false, choices);
  std::vector<bool> complete;
  std::vector<std::string_view> forward;
  for (const std::string& event : events) {
    parser.Feed(event + "\n\n", forward);
    complete.push_back(parser.complete());
  }
  return complete;
}

TEST(ResponseStreamParser, ReadsAnthropicsMessages) {
  const auto event = [](const std::string& name, const std::string& rest) {
    return "event: " + name + "\ndata: {\"type\":\"" + name + "\"" + rest + "}\n\n";
  };
  const std::string begin =
      event("message_start", R"(,"message":{"id":"m","usage":{"input_tokens":7,)"
                             R"("cache_read_input_tokens":4,"output_tokens":1}})") +
      event("content_block_start", R"(,"index":0)") + event("ping", "") +
      event("content_block_delta", R"(,"delta":{"type":"text_delta","text":"Hi"})") +
      event("content_block_delta", R"(,"delta":{"type":"text_delta","text":"!"})") +
      event("message_delta", R"(,"delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":3})");
  const std::string whole = begin + event("message_stop", "");
  for (const std::size_t step : {1, 7, 1000}) {
    const Seen seen = Meter(ApiKind::kMessages, Form::kEventStream, false, whole, step);
    EXPECT_EQ(seen.forwarded, whole);
    EXPECT_EQ(seen.deltas, 2u);
    EXPECT_EQ(seen.usage, (Usage{11, 3, 4}));
    EXPECT_TRUE(seen.complete);
  }
  EXPECT_FALSE(Meter(ApiKind::kMessages, Form::kEventStream, false, begin).complete);
  const Seen failed = Meter(ApiKind::kMessages, Form::kEventStream, false,
                            begin + event("error", R"(,"error":{"type":"overloaded_error"})"));
  EXPECT_TRUE(failed.error);
  const Seen json = Meter(ApiKind::kMessages, Form::kJson, false,
                          R"({"type":"message","usage":{"input_tokens":7,"output_tokens":3}})");
  EXPECT_EQ(json.usage, (Usage{7, 3, 0}));
}

TEST(ResponseStreamParser, NotesAResponsesId) {
  const auto id = [](Form form, const std::string& text) {
    ResponseStreamParser parser(ApiKind::kResponses, form, false);
    std::vector<std::string_view> forward;
    parser.Feed(text, forward);
    return parser.response_id();
  };
  EXPECT_EQ(id(Form::kJson, R"({"object":"response","x":{"id":"no"},"id":"resp_1"})"), "resp_1");
  EXPECT_EQ(id(Form::kEventStream,
               "event: response.created\ndata: {\"response\":{\"id\":\"resp_2\""
               ",\"status\":\"in_progress\"}}\n\n"),
            "resp_2");
  EXPECT_EQ(id(Form::kJson, R"({"error":{"id":"x"}})"), "");
}

TEST(ResponseStreamParser, KnowsTheEndsOfRealEngines) {
  const ApiKind chat = ApiKind::kChatCompletions;
  using testing::ElementsAre;
  // vLLM, SGLang, OpenAI: the reason, then perhaps usage, then the mark.
  EXPECT_THAT(CompleteAfterEach(chat, {kRole, kToken, kLast, kUsageChunk, kDone}),
              ElementsAre(false, false, true, true, true));
  // The reason comes with the last text, or with a tool call.
  EXPECT_THAT(CompleteAfterEach(chat, {Chunk(0, kMore, "null"), Chunk(0, kMore, "\"length\"")}),
              ElementsAre(false, true));
  EXPECT_THAT(CompleteAfterEach(chat, {Chunk(0, R"({"tool_calls":[{"index":0,"id":"1"}]})", "null"),
                                       Chunk(0, "{}", "\"tool_calls\""), kDone}),
              ElementsAre(false, true, true));
  // llama.cpp writes the reason first.
  EXPECT_THAT(
      CompleteAfterEach(
          chat,
          {R"(data: {"choices":[{"finish_reason":null,"index":0,"delta":{"content":"x"}}]})",
           R"(data: {"choices":[{"finish_reason":"stop","index":0,"delta":{}}],"timings":{}})",
           kDone}),
      ElementsAre(false, true, true));
  // No mark (ik_llama.cpp, older TGI), no reason (vllm-mlx 0.4), reasons that are empty until then.
  EXPECT_THAT(CompleteAfterEach(chat, {kToken, kLast}), ElementsAre(false, true));
  EXPECT_THAT(CompleteAfterEach(chat, {kToken, Chunk(0, "{}", "null"), kDone}),
              ElementsAre(false, false, true));
  EXPECT_THAT(CompleteAfterEach(chat, {Chunk(0, kMore, "\"\""), Chunk(0, "{}", "\"stop\"")}),
              ElementsAre(false, true));
  // Azure: a first chunk without a choice.
  EXPECT_THAT(CompleteAfterEach(
                  chat, {R"(data: {"choices":[],"prompt_filter_results":[{}]})", kToken, kLast}),
              ElementsAre(false, false, true));
  EXPECT_THAT(CompleteAfterEach(
                  ApiKind::kCompletions,
                  {R"(data: {"choices":[{"text":"a","index":0,"finish_reason":null}]})",
                   R"(data: {"choices":[{"text":"","index":0,"finish_reason":"stop"}]})", kDone}),
              ElementsAre(false, true, true));
  EXPECT_THAT(CompleteAfterEach(ApiKind::kResponses,
                                {R"(data: {"type":"response.created","response":{"error":null}})",
                                 R"(data: {"type":"response.output_text.delta","delta":"x"})",
                                 R"(data: {"type":"response.output_text.done","text":"x"})",
                                 R"(data: {"type":"response.incomplete","response":{}})"}),
              ElementsAre(false, false, false, true));
}

TEST(ResponseStreamParser, AStreamOfSeveralChoicesEndsWithTheLastOfThem) {
  const ApiKind chat = ApiKind::kChatCompletions;
  using testing::ElementsAre;
  EXPECT_THAT(CompleteAfterEach(chat,
                                {Chunk(0, kMore, "null"), Chunk(1, kMore, "null"),
                                 Chunk(1, "{}", "\"stop\""), Chunk(0, "{}", "\"stop\""), kDone},
                                2),
              ElementsAre(false, false, false, true, true));
  // One that began has no end: the mark does not help.
  EXPECT_THAT(
      CompleteAfterEach(
          chat,
          {Chunk(0, kMore, "null"), Chunk(1, kMore, "null"), Chunk(1, "{}", "\"stop\""), kDone}, 2),
      ElementsAre(false, false, false, false));
  // Engines that know no n give one choice.
  EXPECT_THAT(CompleteAfterEach(chat, {kToken, kLast, kDone}, 2), ElementsAre(false, true, true));
}

TEST(ResponseStreamParser, WhatHasNoEndIsNotComplete) {
  for (const ApiKind kind :
       {ApiKind::kChatCompletions, ApiKind::kCompletions, ApiKind::kResponses}) {
    for (const std::string wire : {"", ": ping\n\n", "data: [DONE]\n\n", "data: {}\n\n", "hello"}) {
      EXPECT_FALSE(Meter(kind, Form::kEventStream, true, wire).complete) << wire;
    }
  }
}

// An engine that stops anywhere leaves the client at the end of an event, so that an error can
// follow.
TEST(ResponseStreamParser, PassesOnOnlyWholeEvents) {
  const std::string wire = Stream({kRole, kToken, kLast});
  for (std::size_t size = 0; size <= wire.size(); ++size) {
    ResponseStreamParser parser(ApiKind::kChatCompletions, Form::kEventStream, false);
    std::vector<std::string_view> forward;
    const std::string begun = wire.substr(0, size);  // `forward` has views of it.
    parser.Feed(begun, forward);
    std::string got;
    for (const std::string_view view : forward) got += view;
    EXPECT_TRUE(got.empty() || got.ends_with("}\n") || got.ends_with("\n\n")) << size;
  }
}

// --- Line ends

TEST(ResponseStreamParser, StreamsWithAnyLineEnds) {
  for (const std::string end : {"\n\n", "\r\n\r\n", "\r\r", "\n", "\r\n", "\r", "\n\r\n"}) {
    const std::string wire = Stream({kRole, kToken, kToken, kLast, kUsageChunk, kDone}, end);
    const Seen expected = {Stream({kRole, kToken, kToken, kLast, kDone}, end), 2, kUsage, true,
                           false};
    for (std::size_t step = 1; step <= wire.size(); ++step) {
      ASSERT_EQ(Meter(ApiKind::kChatCompletions, Form::kEventStream, true, wire, step), expected)
          << step << " of lines that end with " << testing::PrintToString(end);
    }
    // Each token is passed on when it has come.
    ResponseStreamParser parser(ApiKind::kChatCompletions, Form::kEventStream, true);
    for (std::uint64_t i = 1; i <= 3; ++i) {
      std::vector<std::string_view> forward;
      parser.Feed(kToken + end, forward);
      EXPECT_EQ(parser.deltas(), i);
      ASSERT_FALSE(forward.empty());
    }
  }
}

TEST(ResponseStreamParser, WaitsForNothingThatIsNoEvent) {
  ResponseStreamParser parser(ApiKind::kChatCompletions, Form::kEventStream, true);
  for (const std::string line : {": ping\n", "{\"choices\":[]}\n", "x\r"}) {
    std::vector<std::string_view> forward;
    parser.Feed(line, forward);
    std::string got;
    for (const std::string_view view : forward) got += view;
    EXPECT_EQ(got, line);
  }
}

// --- Errors

TEST(ResponseStreamParser, NoticesErrorsInTheStream) {
  const auto error = [](const std::string& data, ApiKind kind = ApiKind::kChatCompletions) {
    ResponseStreamParser parser(kind, Form::kEventStream, true);
    std::vector<std::string_view> forward;
    parser.Feed(data + "\n\n", forward);
    EXPECT_FALSE(forward.empty()) << data;  // Whatever it is, the client gets it.
    if (!parser.error()) return std::string("none");
    return std::to_string(parser.error()->status) +
           (parser.error()->understood ? " understood" : "");
  };
  EXPECT_EQ(error(R"(data: {"error": {"message": "out of memory"}})"), "500 understood");
  EXPECT_EQ(error(R"(data: {"error": "out of memory", "error_type": "x"})"), "500 understood");
  EXPECT_EQ(error(R"(data: {"error":{"message":"m","type":"BadRequestError","code":400}})"),
            "400 understood");
  EXPECT_EQ(error(R"(data: {"error":{"code":503,"type":"unavailable_error"}})"), "503 understood");
  EXPECT_EQ(error(R"(data: {"error":{"type":"invalid_request_error","code":null}})"),
            "400 understood");
  EXPECT_EQ(error(R"(data: {"error":{"type":"x","code":-3}})"), "500 understood");
  EXPECT_EQ(error(R"(data: {"id":"c","error":{"code":"429"},"usage":{"prompt_tokens":1}})"),
            "429 understood");
  EXPECT_EQ(error(R"(data:{"object": "error", "message": "x", "code": 400})"), "400");
  EXPECT_EQ(error("event: error\ndata: {}"), "500");
  EXPECT_EQ(error("error: {\"code\":500}"), "500");
  EXPECT_EQ(error(Chunk(0, "{}", "\"error\"")), "500");
  EXPECT_EQ(error(R"(data: {"error": null, "choices": []})"), "none");
  EXPECT_EQ(error(R"(data: {"choices":[{"delta":{"content":"{\"error\": 1}"}}]})"), "none");
  EXPECT_EQ(error(kToken), "none");
  EXPECT_EQ(
      error(R"(data: {"type":"error","code":"server_error","message":"x"})", ApiKind::kResponses),
      "500 understood");
  EXPECT_EQ(error("event: error\ndata: {\"code\":\"invalid_prompt\"}", ApiKind::kResponses),
            "500 understood");
  EXPECT_EQ(
      error(R"(data: {"type":"response.failed","response":{"error":{"code":"server_error"}}})",
            ApiKind::kResponses),
      "500 understood");
  EXPECT_EQ(
      error(R"(data: {"type":"response.failed","response":{"error":{"code":"invalid_prompt"}}})",
            ApiKind::kResponses),
      "400 understood");
  EXPECT_EQ(
      error(R"(data: {"type":"response.created","response":{"error":null}})", ApiKind::kResponses),
      "none");
}

TEST(ErrorEvent, IsWhatClientsUnderstand) {
  const ApiError error = MakeApiError(502, "It \"broke\".");
  EXPECT_EQ(ErrorEvent(ApiKind::kChatCompletions, error, 7), "data: " + error.ToJson() + "\n\n");
  EXPECT_EQ(ErrorEvent(ApiKind::kResponses, error, 7),
            "event: error\ndata: {\"type\":\"error\",\"code\":\"bad_gateway\","
            "\"message\":\"It \\\"broke\\\".\",\"param\":null,\"sequence_number\":7}\n\n");
}

TEST(ResponseStreamParser, HoldsBackAJsonErrorUntilItIsWhole) {
  const std::string errors[] = {R"({"error":{"message":"no","type":"BadRequestError","code":400}})",
                                R"( {"object":"error","message":"no","code":400})"};
  for (const std::string& wire : errors) {
    for (std::size_t step = 1; step <= wire.size(); ++step) {
      ResponseStreamParser parser(ApiKind::kChatCompletions, Form::kJson, false);
      std::vector<std::string_view> forward;
      for (std::size_t at = 0; at < wire.size(); at += step)
        parser.Feed(wire.substr(at, step), forward);
      EXPECT_TRUE(forward.empty()) << step;
      parser.Finish(forward);
      ASSERT_EQ(forward.size(), 1u);
      EXPECT_EQ(forward[0], wire);
      ASSERT_TRUE(parser.error());
      EXPECT_EQ(parser.error()->status, 400);
    }
  }
  for (const std::string answer :
       {R"({"error":null,"choices":[]})", R"({"object":"chat.completion","choices":[]})",
        R"({"id":"r","object":"response","error":{"code":"x"}})", "{}", "[1]", "text", " "}) {
    EXPECT_FALSE(Meter(ApiKind::kChatCompletions, Form::kJson, false, answer, 1).error) << answer;
    EXPECT_EQ(Meter(ApiKind::kChatCompletions, Form::kJson, false, answer, 1).forwarded, answer);
  }
}

TEST(ResponseStreamParser, AJsonResponseThatBeganAsAnObjectEndsAsOne) {
  const auto complete = [](const std::string& body) {
    return Meter(ApiKind::kChatCompletions, Form::kJson, false, body, 5).complete;
  };
  EXPECT_TRUE(complete(R"({"choices":[{}]})"));
  EXPECT_TRUE(complete("\n {\"choices\":[{}]}\r\n"));
  EXPECT_TRUE(complete("not JSON"));
  EXPECT_FALSE(complete(""));
  EXPECT_FALSE(complete("  \n"));
  EXPECT_FALSE(complete(R"({"choices":[{"message":{"content":"De)"));
}

// --- What to hide

TEST(ResponseStreamParser, HidesUsageWhateverIsInThePlaceOfChoices) {
  for (const std::string chunk :
       {R"({"choices":null,"usage":{"prompt_tokens":11,"completion_tokens":2}})",
        R"({"usage":{"prompt_tokens":11,"completion_tokens":2},"object":"chat.completion.chunk"})",
        R"({"choices": [ ],"usage":{"prompt_tokens":11,"completion_tokens":2}})"}) {
    const Seen seen = Meter(ApiKind::kChatCompletions, Form::kEventStream, true,
                            kToken + "\n\ndata: " + chunk + "\n\n", 9);
    EXPECT_EQ(seen.forwarded, kToken + "\n\n") << chunk;
    EXPECT_EQ(seen.usage, (Usage{11, 2, 0})) << chunk;
  }
  // Counts that are none are hidden too, and not believed.
  const Seen absurd =
      Meter(ApiKind::kChatCompletions, Form::kEventStream, true,
            "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":-1,\"completion_tokens\":2}}\n\n");
  EXPECT_EQ(absurd.forwarded, "");
  EXPECT_EQ(absurd.usage, std::nullopt);
}

// Whatever an engine takes for JSON: nothing is lost, and nothing crashes.
TEST(ResponseStreamParser, OddShapesPassOn) {
  const std::string values[] = {"null", "true", "7",  "-1", "\"x\"", "[]",      "[null]", "[[]]",
                                "{}",   "[7]",  "[{", "{",  "\"",    "[\"x\"]", "[{}]",   ""};
  for (const std::string& a : values) {
    for (const std::string& b : values) {
      for (const std::string form :
           {R"({"choices":@,"delta":#})", R"({"choices":[{"delta":@,"finish_reason":#}]})",
            R"({"choices":[{"index":@,"text":#}]})", R"({"error":@,"object":#})",
            R"({"response":{"error":@,"usage":#}})",
            R"({"choices":[{"delta":{"tool_calls":@}},#]})", "@#"}) {
        std::string data = form;
        data.replace(data.find('@'), 1, a);
        data.replace(data.find('#'), 1, b);
        for (const ApiKind kind :
             {ApiKind::kChatCompletions, ApiKind::kCompletions, ApiKind::kResponses}) {
          for (const int choices : {1, 2}) {
            ResponseStreamParser parser(kind, Form::kEventStream, true, choices);
            std::vector<std::string_view> forward;
            const std::string wire = "data: " + data + "\n\n";
            parser.Feed(wire, forward);
            std::string got;
            for (const std::string_view view : forward) got += view;
            EXPECT_EQ(got, wire);
          }
          EXPECT_EQ(Meter(kind, Form::kJson, false, data, 3).forwarded, data);
        }
      }
    }
  }
}

TEST(ResponseStreamParser, HidesNothingButTheUsageChunk) {
  // Usage that comes with a piece of the response stays.
  const std::string with_content =
      R"(data: {"choices":[{"delta":{"content":"x"}}],"usage":{"prompt_tokens":1,"completion_tokens":5}})"
      "\n\n";
  Seen seen = Meter(ApiKind::kChatCompletions, Form::kEventStream, true, with_content);
  EXPECT_EQ(seen.forwarded, with_content);
  EXPECT_EQ(seen.usage, (Usage{1, 5, 0}));
  // So does text that looks like it, a comment, and what is no event at all.
  const std::string odd =
      ": \"usage\":{\n\n\n\n"
      R"(data: {"choices":[{"delta":{"content":"\"choices\":[],\"usage\":{\"prompt_tokens\":1}"}}]})"
      "\n\nretry: 5\n\ndata: {\"choices\":[],\"usage\":null}\n\nplain text";
  for (std::size_t step = 1; step < odd.size(); ++step) {
    seen = Meter(ApiKind::kChatCompletions, Form::kEventStream, true, odd, step);
    ASSERT_EQ(seen.forwarded, odd) << step;
    EXPECT_EQ(seen.usage, std::nullopt);
  }
}

TEST(ResponseStreamParser, HidesAUsageChunkThatEndsWithTheStream) {
  const Seen seen = Meter(ApiKind::kChatCompletions, Form::kEventStream, true,
                          kToken + "\n\n" + kUsageChunk + "\n", 10);
  EXPECT_EQ(seen.forwarded, kToken + "\n\n");
  EXPECT_EQ(seen.usage, kUsage);
}

TEST(ResponseStreamParser, JoinsDataOfSeveralLines) {
  const std::string wire =
      "data: {\"choices\":[],\ndata: \"usage\":{\"prompt_tokens\":11,\ndata: "
      "\"completion_tokens\":2}}\n\n";
  const Seen seen = Meter(ApiKind::kChatCompletions, Form::kEventStream, true, wire, 7);
  EXPECT_EQ(seen.usage, (Usage{11, 2, 0}));
  EXPECT_EQ(seen.forwarded, "");
}

TEST(ResponseStreamParser, OverlongEventsPassUnread) {
  const std::string huge = "data: {\"x\":\"" + std::string(3'000'000, 'x') + "\"}\n\n";
  const std::string wire = kToken + "\n\n" + huge + kUsageChunk + "\n\n" + kDone + "\n\n";
  for (const std::size_t step : {1'000ul, 65'536ul, 1'048'577ul, 2'999'999ul, wire.size()}) {
    const Seen seen = Meter(ApiKind::kChatCompletions, Form::kEventStream, true, wire, step);
    EXPECT_EQ(seen.forwarded, kToken + "\n\n" + huge + kDone + "\n\n") << step;
    EXPECT_EQ(seen.usage, kUsage) << step;
    EXPECT_TRUE(seen.complete) << step;
  }
}

TEST(ResponseStreamParser, OverlongEventsEndWhereverTheyAreCut) {
  for (const std::string end : {"\n\n", "\r\n\r\n"}) {
    const std::string filler =
        "data: " + std::string(ResponseStreamParser::kMaxEventBytes + 10, 'x');
    const std::string tail = end + kUsageChunk + end + kDone + end;
    for (std::size_t split = 0; split < 8; ++split) {
      std::size_t call = 0;
      const Cut cut = [&]() -> std::size_t {
        ++call;
        return call == 1 ? 100 : call == 2 ? filler.size() - 100 : call == 3 ? split + 1 : 1;
      };
      const Seen seen =
          Meter(ApiKind::kChatCompletions, Form::kEventStream, true, filler + tail, cut);
      EXPECT_EQ(seen.forwarded, filler + end + kDone + end);
      EXPECT_EQ(seen.usage, kUsage);
    }
  }
}

TEST(ResponseStreamParser, ReadsAWholeJsonResponseWhereverItIsCut) {
  const std::string wire =
      R"({"id":"c","choices":[{"message":{"content":"\"usage\":{\"prompt_tokens\":99}"}}], "usage" )"
      R"(: {"prompt_tokens":11,"completion_tokens": 2,"prompt_tokens_details":{"cached_tokens":8}},)"
      R"("system_fingerprint":null})";
  const Seen expected = {wire, 1, kUsage, true, false};
  for (std::size_t step = 1; step <= wire.size(); ++step) {
    ASSERT_EQ(Meter(ApiKind::kChatCompletions, Form::kJson, false, wire, step), expected) << step;
  }
  EXPECT_EQ(Meter(ApiKind::kEmbeddings, Form::kJson, false,
                  R"({"data":[],"usage":{"prompt_tokens":3,"total_tokens":3}})")
                .usage,
            (Usage{3, 0, 0}));
  EXPECT_EQ(Meter(ApiKind::kChatCompletions, Form::kJson, true, R"({"usage":null})", 3).usage,
            std::nullopt);
}

TEST(FindUsage, TakesTheLastAndIgnoresWhatIsNone) {
  EXPECT_EQ(FindUsage(R"({"usage":{"prompt_tokens":1},"x":{"usage":{"input_tokens":2}}})"),
            (Usage{2, 0, 0}));
  for (const std::string json :
       {"", "{}", R"({"usage":{}})", R"({"usage":[1]})", R"({"usage":{"prompt_tokens")",
        R"({"usage":{"prompt_tokens":1)", R"({"usage")", R"({"usage":)"}) {
    EXPECT_EQ(FindUsage(json), std::nullopt) << json;
  }
}

TEST(FindUsage, BelievesOnlyCounts) {
  const auto usage = [](const std::string& prompt, const std::string& completion) {
    return FindUsage(R"({"usage":{"prompt_tokens":)" + prompt + R"(,"completion_tokens":)" +
                     completion + "}}");
  };
  EXPECT_EQ(usage("3", "4"), (Usage{3, 4, 0}));
  EXPECT_EQ(usage("3", "null"), (Usage{3, 0, 0}));
  EXPECT_EQ(usage("3.0", "1000000000"), (Usage{3, 1'000'000'000, 0}));
  for (const std::string absurd :
       {"-1", "4294967301", "1e30", "1.5", "99999999999999999999", "\"7\"", "[7]", "nan"}) {
    EXPECT_EQ(usage(absurd, "4"), std::nullopt) << absurd;
    EXPECT_EQ(usage("3", absurd), std::nullopt) << absurd;
  }
  EXPECT_EQ(FindUsage(R"({"usage":{"prompt_tokens":3,"completion_tokens":4,)"
                      R"("prompt_tokens_details":{"cached_tokens":-5}}})"),
            std::nullopt);
}

// Whatever comes and however it is cut: the meter forwards all but whole usage chunks, sees the
// same as in one piece, and ends.
TEST(ResponseStreamParser, RandomStreamsCutAtRandom) {
  Rng rng(17);
  const std::string parts[] = {kRole,
                               kToken,
                               kUsageChunk,
                               kDone,
                               "data:",
                               "event: x",
                               ": c",
                               "\n",
                               "\r\n",
                               "\n\n",
                               "\r",
                               "{",
                               "\"usage\":{",
                               "}",
                               "\"",
                               "\\",
                               "x",
                               "data: {\"error\"",
                               "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1}}"};
  for (int round = 0; round < 3000; ++round) {
    std::string wire;
    for (auto n = rng.Below(20); n > 0; --n) wire += parts[rng.Below(std::size(parts))];
    for (const bool hide : {false, true}) {
      for (const Form form : {Form::kEventStream, Form::kJson}) {
        const Seen whole = Meter(ApiKind::kChatCompletions, form, hide, wire);
        const Cut cut = [&] { return 1 + rng.Below(40); };
        const Seen pieces = Meter(ApiKind::kChatCompletions, form, hide, wire, cut);
        ASSERT_EQ(pieces.forwarded, whole.forwarded) << wire;
        if (form == Form::kEventStream) {
          ASSERT_EQ(pieces, whole) << wire;
        }
        if (!hide) {
          ASSERT_EQ(whole.forwarded, wire);
        }
      }
    }
  }
}

}  // namespace
}  // namespace headrace::openai
