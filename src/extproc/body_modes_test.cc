// How Envoy sends bodies, and gets them back: each of its modes, message by message.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/random.h"
#include "extproc/picked_request.h"
#include "extproc/test_stream.h"

namespace headrace::extproc {
namespace {

using serving::Chat;
using serving::kAnswer;
using serving::kDone;
using serving::kEngine;
using serving::kUsage;
using serving::Token;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

// --- FULL_DUPLEX_STREAMED

TEST(FullDuplex, NothingIsSaidBeforeTheBodyIsWhole) {
  Pool pool;
  Stream stream(pool);
  stream.Head();
  const std::string body = Chat(false);
  stream.Say(RequestBody(body.substr(0, 20), false));
  stream.Say(RequestBody(body.substr(20), false));
  EXPECT_THAT(stream.Kinds(), IsEmpty());
  stream.Say(RequestBody("", true));
  EXPECT_THAT(stream.Kinds(), ElementsAre("request_headers", "request_body"));
  EXPECT_EQ(stream.Destination(), kEngine);
  EXPECT_EQ(stream.Text(), body);
}

TEST(FullDuplex, TrailersInsteadOfTheEnd) {
  Pool pool;
  Stream stream(pool);
  stream.Head();
  stream.Say(RequestBody(Chat(false), false));
  stream.Say(RequestTrailers());
  EXPECT_THAT(stream.Kinds(), ElementsAre("request_headers", "request_body", "request_trailers"));
  EXPECT_FALSE(EndIn(stream.Take()[1]));

  stream.Say(ResponseHeaders(kWhole));
  stream.Say(ResponseBody(kAnswer, false));
  EXPECT_EQ(stream.Text(), kAnswer);
  stream.Say(ResponseTrailers());
  EXPECT_THAT(stream.Kinds(),
              ElementsAre("response_headers", "response_body", "response_trailers"));
  for (const auto& reply : stream.Take()) EXPECT_FALSE(EndIn(reply));
  stream.Close();
  EXPECT_THAT(pool.Outcomes(), ElementsAre("completed"));
}

TEST(FullDuplex, LongBodiesAreSentInChunks) {
  Pool pool;
  Stream stream(pool);
  std::string body = Chat(false);
  body.insert(body.find("How deep"), 200'000, 'w');
  stream.Ask(body);
  EXPECT_EQ(stream.Text(), body);
  const auto replies = stream.Take();
  ASSERT_THAT(replies, SizeIs(5));  // The head, and 3.05 times 64 KB.
  for (std::size_t i = 1; i < replies.size(); ++i) {
    EXPECT_LE(StreamedIn(replies[i]).size(), std::size_t{64} << 10);
    EXPECT_EQ(EndIn(replies[i]), i + 1 == replies.size());
  }
}

TEST(FullDuplex, ASecondEndOfTheBodyIsNoFault) {
  Pool pool;
  Stream stream(pool);
  stream.Ask(Chat(false));
  stream.Take();
  stream.Say(RequestBody("", true));
  EXPECT_THAT(stream.Kinds(), IsEmpty());
  stream.Answer(kWhole, kAnswer);
  EXPECT_EQ(stream.Text(), kAnswer);
  stream.Say(ResponseBody("", true));
  EXPECT_THAT(stream.Kinds(), ElementsAre("response_headers", "response_body"));
}

TEST(FullDuplex, ARequestWithoutABodyHasItsHeadAnswered) {
  Pool pool;
  Stream stream(pool);
  stream.Say(RequestHeaders(kFullDuplex, {}, true, "/v1/models", "GET"));
  EXPECT_THAT(stream.Kinds(), ElementsAre("request_headers"));
  EXPECT_EQ(stream.Destination(), kEngine);
}

TEST(FullDuplex, UsageTeachesAndIsHidden) {
  Pool pool;
  Stream stream(pool);
  stream.Ask(Chat(true));
  EXPECT_THAT(stream.Text(), HasSubstr(R"("stream_options":{"include_usage":true})"));
  stream.Take();
  stream.Say(ResponseHeaders(kEvents));
  EXPECT_THAT(stream.Kinds(), ElementsAre("response_headers"));  // Without waiting for a token.
  stream.Say(ResponseBody(Token("Deep."), false));
  stream.Say(ResponseBody(std::string(kUsage) + std::string(kDone), true));
  EXPECT_EQ(stream.Text(), Token("Deep.") + std::string(kDone));
  stream.Close();
  EXPECT_TRUE(pool.Last().counted);
  EXPECT_EQ(pool.Last().latency.prompt_tokens, 12);
}

TEST(FullDuplex, WhatComesWhileTheStreamIsBusyLeavesTogether) {
  Pool pool;
  Stream stream(pool);
  stream.Ask(Chat(true));
  stream.Say(ResponseHeaders(kEvents));
  stream.Take();
  stream.SetBusy(true);
  for (int i = 0; i < 5; ++i) stream.Say(ResponseBody(Token("word"), false));
  EXPECT_THAT(stream.Kinds(), IsEmpty());
  stream.SetBusy(false);
  std::string five;
  for (int i = 0; i < 5; ++i) five += Token("word");
  EXPECT_EQ(StreamedIn(stream.Only()), five);
  stream.SetBusy(true);
  stream.Say(ResponseBody(kDone, true));
  stream.SetBusy(false);
  EXPECT_TRUE(EndIn(stream.Only()));
}

TEST(FullDuplex, AnErrorInAWholeAnswerMakesTheStatus) {
  Pool pool;
  Stream stream(pool);
  stream.Ask(Chat(false));
  stream.Say(ResponseHeaders(kWhole));
  stream.Take();
  stream.Say(ResponseBody(R"({"error":{"message":"no","code":500}})", true));
  EXPECT_EQ(HeaderIn(HeadersOf(stream.Take().front()), ":status"), "500");
}

TEST(FullDuplex, ABrokenStreamEndsWithAnError) {
  Pool pool;
  Stream stream(pool);
  stream.Ask(Chat(true));
  stream.Say(ResponseHeaders(kEvents));
  stream.Say(ResponseBody(Token("Deep."), false));
  stream.Take();
  stream.Say(ResponseBody("data: {\"cho", true));
  EXPECT_THAT(stream.Text(), HasSubstr("data: {\"error\""));
  EXPECT_TRUE(EndIn(stream.Only()));
  stream.Close();
  EXPECT_THAT(pool.Outcomes(), ElementsAre("failed"));
}

TEST(FullDuplex, ACutAnswerIsAnErrorOfItsOwn) {
  Pool pool;
  Stream stream(pool);
  stream.Ask(Chat(false));
  stream.Take();
  stream.Answer(kWhole, R"({"choices":[{"mess)");
  EXPECT_EQ(stream.Refusal(), 502);
}

// --- BUFFERED

TEST(Buffered, TheBodyIsAskedForThenAnswered) {
  Pool pool;
  Stream stream(pool, kBuffered);
  const std::string body = Chat(true);
  stream.Head({{"content-length", std::to_string(body.size())}});
  const ProcessingResponse head = stream.Only();
  ASSERT_TRUE(head.has_request_headers());  // Envoy sends no body before this.
  EXPECT_EQ(DestinationIn(head), "");
  EXPECT_FALSE(head.has_mode_override());
  stream.Say(RequestBody(body, true));
  const ProcessingResponse reply = stream.Only();
  EXPECT_EQ(DestinationIn(reply), kEngine);
  EXPECT_TRUE(reply.request_body().response().clear_route_cache());
  const std::string& sent = reply.request_body().response().body_mutation().body();
  EXPECT_THAT(sent, HasSubstr("include_usage"));
  // Envoy refuses a body of another length.
  EXPECT_EQ(HeaderIn(HeadersOf(reply), "content-length"), std::to_string(sent.size()));
}

TEST(Buffered, WhatIsNotChangedIsNotSent) {
  Pool pool;
  Stream stream(pool, kBuffered);
  stream.Head();
  stream.Take();
  stream.Say(RequestBody(Chat(false), true));
  EXPECT_FALSE(stream.Only().request_body().response().has_body_mutation());
  stream.Say(ResponseHeaders(kWhole));
  EXPECT_EQ(HeaderIn(HeadersOf(stream.Only()), "target-pod"), kEngine);
  stream.Say(ResponseBody(kAnswer, true));
  EXPECT_FALSE(stream.Only().response_body().response().has_body_mutation());
  stream.Close();
  EXPECT_TRUE(pool.Last().counted);
}

TEST(Buffered, BodiesBeforeTrailersAreWhole) {
  Pool pool;
  Stream stream(pool, kBuffered);
  stream.Head();
  stream.Take();
  stream.Say(RequestBody(Chat(true), false));
  EXPECT_EQ(stream.Destination(), kEngine);
  EXPECT_THAT(stream.Kinds(), ElementsAre("request_body"));
  stream.Take();
  stream.Say(RequestTrailers());
  EXPECT_THAT(stream.Kinds(), ElementsAre("request_trailers"));
  stream.Take();
  stream.Say(ResponseHeaders(kEvents));
  stream.Take();
  stream.Say(ResponseBody(Token("a") + std::string(kUsage) + std::string(kDone), false));
  EXPECT_EQ(stream.Only().response_body().response().body_mutation().body(),
            Token("a") + std::string(kDone));
  stream.Say(ResponseTrailers());
  EXPECT_THAT(stream.Kinds(), ElementsAre("response_trailers"));
  stream.Close();
  EXPECT_THAT(pool.Outcomes(), ElementsAre("completed"));
  EXPECT_TRUE(pool.Last().counted);
}

TEST(Buffered, ABodyThatEnvoyDoesNotHoldIsNoFaultOfItsFilter) {
  Pool pool;
  Stream stream(pool, kBuffered);
  stream.Head();
  stream.Say(ResponseHeaders({{":status", "413"}}));
  EXPECT_EQ(pool.serving.faults.standing(), 0);
  Stream unasked(pool, kBuffered);
  unasked.Head();
  unasked.Say(ResponseHeaders({{":status", "503"}}));
  EXPECT_EQ(pool.serving.faults.standing(), 1) << "it sends no bodies at all";
}

TEST(Buffered, AWholeStreamLosesItsUsage) {
  Pool pool;
  Stream stream(pool, kBuffered);
  stream.Ask(Chat(true));
  stream.Say(ResponseHeaders(
      {{":status", "200"}, {"content-type", "text/event-stream"}, {"content-length", "999"}}));
  stream.Take();
  stream.Say(ResponseBody(Token("Deep.") + std::string(kUsage) + std::string(kDone), true));
  const ProcessingResponse reply = stream.Only();
  const std::string left = Token("Deep.") + std::string(kDone);
  EXPECT_EQ(reply.response_body().response().body_mutation().body(), left);
  EXPECT_EQ(HeaderIn(HeadersOf(reply), "content-length"), std::to_string(left.size()));
}

// --- STREAMED

TEST(Streamed, TheBodyIsBufferedInstead) {
  Pool pool;
  Stream stream(pool, kStreamed);
  stream.Head();
  const ProcessingResponse head = stream.Only();
  EXPECT_EQ(head.mode_override().request_body_mode(), ProcessingMode::BUFFERED);
  EXPECT_EQ(head.mode_override().response_body_mode(), ProcessingMode::STREAMED);
  stream.Say(RequestBody(Chat(false), true));
  EXPECT_EQ(stream.Destination(), kEngine);
}

TEST(Streamed, WhereThatIsNotAllowedTheClientIsToldWhy) {
  Pool pool;
  Stream stream(pool, kStreamed);
  stream.Head();
  stream.Say(RequestBody(R"({"model":"lla)", false));
  EXPECT_EQ(stream.Refusal(), 500);
  EXPECT_THAT(stream.Take().back().immediate_response().body(), HasSubstr("request_body_mode"));
}

TEST(Streamed, AtOnceEachMessageHasItsAnswer) {
  Pool pool;
  Stream stream(pool, kStreamedAtOnce);
  const std::string body = Chat(true);
  stream.Head();
  stream.Say(RequestBody(body.substr(0, 20), false));
  stream.Say(RequestBody(body.substr(20, 20), false));
  EXPECT_THAT(stream.Kinds(), IsEmpty());
  stream.Say(RequestBody(body.substr(40), true));
  EXPECT_EQ(stream.Destination(), kEngine);
  EXPECT_THAT(stream.Kinds(),
              ElementsAre("request_headers", "request_body", "request_body", "request_body"));
  const auto replies = stream.Take();
  EXPECT_TRUE(replies[1].request_body().response().body_mutation().clear_body());
  EXPECT_TRUE(replies[2].request_body().response().body_mutation().clear_body());
  EXPECT_THAT(replies[3].request_body().response().body_mutation().body(),
              HasSubstr("include_usage"));

  stream.Say(ResponseHeaders(kEvents));
  stream.Take();
  stream.Say(ResponseBody(Token("Deep."), false));
  EXPECT_FALSE(stream.Only().response_body().response().has_body_mutation());
  stream.Say(ResponseBody(kUsage, false));
  EXPECT_TRUE(stream.Only().response_body().response().body_mutation().clear_body());
  stream.Say(ResponseBody(kDone, true));
  EXPECT_FALSE(stream.Only().response_body().response().has_body_mutation());
  stream.Close();
  EXPECT_TRUE(pool.Last().counted);
}

// --- Responses that are not shown

TEST(HeadsOnly, TheEndOfTheStreamIsThatOfTheResponse) {
  Pool pool;
  Stream stream(pool, kHeadsOnly);
  stream.Ask(Chat(true));
  stream.Take();
  stream.Say(ResponseHeaders(kEvents));
  EXPECT_EQ(HeaderIn(HeadersOf(stream.Only()), "target-pod"), kEngine);
  EXPECT_FALSE(pool.serving.Idle());
  pool.serving.executor.Advance(3);
  stream.Close();
  EXPECT_TRUE(pool.serving.Idle());
  EXPECT_THAT(pool.Outcomes(), ElementsAre("completed"));
  EXPECT_TRUE(pool.Last().unread);
  EXPECT_FALSE(pool.Last().CountsForSlo());  // Nobody knows when its first token came.
  EXPECT_DOUBLE_EQ(pool.Last().latency.e2e, 3);
}

TEST(HeadsOnly, WhatNobodyReadsIsNotAskedFor) {
  Pool pool;
  Stream stream(pool, kHeadsOnly);
  stream.Ask(Chat(true));
  EXPECT_FALSE(stream.Take().back().request_body().response().has_body_mutation());
}

// --- All modes

TEST(Protocol, WhereEnvoyOnlyShowsRequestsTheStreamIsClosed) {
  Pool pool;
  Stream stream(pool);
  ProcessingRequest head = RequestHeaders(kFullDuplex);
  head.set_observability_mode(true);
  stream.Say(head);
  EXPECT_EQ(stream.closed(), "ok");
  stream.Say(RequestBody(Chat(false), true));
  EXPECT_THAT(stream.Kinds(), IsEmpty());
}

TEST(Protocol, AProxyThatSaysNoModeHasTheConfiguredOne) {
  Pool pool;
  pool.config.extproc.body_mode = config::ExtProcConfig::BodyMode::kBuffered;
  Stream stream(pool);
  ProcessingRequest head = RequestHeaders(kFullDuplex);
  head.clear_protocol_config();
  stream.Say(head);
  EXPECT_THAT(stream.Kinds(), ElementsAre("request_headers"));
}

// However the bytes are cut, engine and client get the same.
TEST(Protocol, AnyCutsComeToTheSame) {
  Rng rng(7);
  std::string body = Chat(true);
  body.insert(body.find("How deep"), 150'000, 'w');
  std::string answer;
  for (int i = 0; i < 200; ++i) answer += Token("word " + std::to_string(i));
  const std::string seen = answer + std::string(kDone);
  answer += std::string(kUsage) + std::string(kDone);
  const auto cut = [&rng](std::string_view text, auto say) {
    while (!text.empty()) {
      const std::size_t most = rng.Below(3) == 0 ? 50 : 70'000;
      const std::string_view piece = text.substr(0, 1 + rng.Below(most));
      text.remove_prefix(piece.size());
      say(piece, text.empty());
    }
  };
  std::string sent;
  for (int round = 0; round < 30; ++round) {
    Pool pool;
    Stream stream(pool);
    stream.Head();
    cut(body, [&](std::string_view piece, bool end) { stream.Say(RequestBody(piece, end)); });
    if (round == 0) sent = stream.Text();
    EXPECT_EQ(stream.Text(), sent);
    stream.Take();
    stream.Say(ResponseHeaders(kEvents));
    cut(answer, [&](std::string_view piece, bool end) {
      stream.SetBusy(rng.Below(2) == 0);
      stream.Say(ResponseBody(piece, end));
    });
    stream.SetBusy(false);
    EXPECT_EQ(stream.Text(), seen);
    EXPECT_TRUE(EndIn(stream.Take().back()));
    stream.Close();
    EXPECT_THAT(pool.Outcomes(), ElementsAre("completed"));
  }
  EXPECT_THAT(sent, HasSubstr("include_usage"));
}

}  // namespace
}  // namespace headrace::extproc
