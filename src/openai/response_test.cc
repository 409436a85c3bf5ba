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
  bool done = false;
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
  seen.done = meter.done();
  seen.error = meter.error_in_stream();
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
  EXPECT_TRUE(Meter(ApiKind::kResponses, Form::kEventStream, false,
                    "event: response.failed\ndata: {\"type\":\"response.failed\"}\n\n")
                  .error);
}

TEST(ResponseStreamParser, NoticesErrorsInTheStream) {
  const auto error = [](const std::string& data) {
    return Meter(ApiKind::kChatCompletions, Form::kEventStream, false, data + "\n\n").error;
  };
  EXPECT_TRUE(error(R"(data: {"error": {"message": "out of memory"}})"));
  EXPECT_TRUE(error(R"(data:{"object": "error", "message": "x"})"));
  EXPECT_TRUE(error("event: error\ndata: {}"));
  EXPECT_FALSE(error(R"(data: {"error": null, "choices": []})"));
  EXPECT_FALSE(error(R"(data: {"choices":[{"delta":{"content":"{\"error\": 1}"}}]})"));
  EXPECT_FALSE(error(kToken));
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
    EXPECT_TRUE(seen.done) << step;
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
  const Seen expected = {wire, 1, kUsage, false, false};
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
