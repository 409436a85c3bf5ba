// Each rule of Envoy's protocol, message by message, with a clock that the test turns.
#include "extproc/picked_request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include "base/random.h"
#include "extproc/test_envoy.h"
#include "serving/test_served_request.h"

namespace headrace::extproc {
namespace {

using serving::Chat;
using serving::FakeServing;
using serving::FinishedRequest;
using serving::kAnswer;
using serving::kDone;
using serving::kEngine;
using serving::kOther;
using serving::kUsage;
using serving::Token;
using telemetry::Outcome;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr Modes kFullDuplex;
constexpr Modes kBuffered{.request = ProcessingMode::BUFFERED,
                          .response = ProcessingMode::BUFFERED};
constexpr Modes kStreamed{.request = ProcessingMode::STREAMED,
                          .response = ProcessingMode::STREAMED};
constexpr Modes kStreamedAtOnce{.request = ProcessingMode::STREAMED,
                                .response = ProcessingMode::STREAMED,
                                .send_body_without_waiting = true};
constexpr Modes kHeadsOnly{.request = ProcessingMode::BUFFERED, .response = ProcessingMode::NONE};

const HeaderList kWhole = {{":status", "200"}, {"content-type", "application/json"}};
const HeaderList kEvents = {{":status", "200"}, {"content-type", "text/event-stream"}};

std::string StreamedIn(const ProcessingResponse& reply) {
  const auto& common =
      reply.has_request_body() ? reply.request_body().response() : reply.response_body().response();
  return common.body_mutation().streamed_response().body();
}
bool EndIn(const ProcessingResponse& reply) {
  const auto& common =
      reply.has_request_body() ? reply.request_body().response() : reply.response_body().response();
  return common.body_mutation().streamed_response().end_of_stream();
}

// A pool of one or more endpoints, "a10", that takes so many requests at a time.
struct Pool {
  explicit Pool(const std::vector<std::string>& endpoints = {kEngine}, double fits = 1,
                const scheduler::SchedulerOptions& options = {})
      : serving(options), context{.serving = serving.context, .faults = serving.faults} {
    serving.SetEndpoints(endpoints);
    serving.SetProfile(fits);
    config.extproc.fallbacks = 2;
  }
  const FinishedRequest& Last() const { return serving.heard.finished.back(); }
  std::vector<std::string> Outcomes() const {
    std::vector<std::string> outcomes;
    for (const auto& one : serving.heard.finished) outcomes.emplace_back(ToString(one.outcome));
    return outcomes;
  }

  FakeServing serving;
  PickerContext context;
  config::Config config;
};

// One stream, without gRPC.
class Stream final : public Replies {
 public:
  explicit Stream(Pool& pool, const Modes& modes = kFullDuplex)
      : modes_(modes), thread_(pool.serving.executor), serving_(pool.serving) {
    thread_.SetConfig(pool.config);
    request_.emplace(pool.context, thread_, *this);
  }
  ~Stream() override { Close(); }

  void Send(const ProcessingResponse& reply) override { replies_.push_back(reply); }
  bool busy() const override { return busy_; }
  void Close(std::string_view error) override { closed_ = error.empty() ? "ok" : error; }

  // --- Envoy says

  void Say(ProcessingRequest message) { request_->OnMessage(message); }
  void Head(const HeaderList& more = {}, bool end = false) {
    Say(RequestHeaders(modes_, more, end));
  }
  // The whole request, in one piece.
  void Ask(std::string_view body, const HeaderList& more = {}) {
    Head(more);
    Say(RequestBody(body, true));
  }
  void Answer(const HeaderList& head, std::string_view body) {
    Say(ResponseHeaders(head));
    Say(ResponseBody(body, true));
  }
  // Its client has gone, or all is said.
  void Close() {
    if (!request_) return;
    request_->OnClosed();
    request_.reset();
    serving_.executor.Run();
  }
  void SetBusy(bool busy) {
    busy_ = busy;
    if (!busy) request_->OnSent();
  }

  // --- What it heard since the last call

  std::vector<ProcessingResponse> Take() { return std::exchange(replies_, {}); }
  std::vector<std::string> Kinds() const {
    std::vector<std::string> kinds;
    for (const auto& reply : replies_) {
      kinds.push_back(ProcessingResponse::descriptor()
                          ->FindFieldByNumber(static_cast<int>(reply.response_case()))
                          ->name());
    }
    return kinds;
  }
  ProcessingResponse Only() {
    const auto replies = Take();
    EXPECT_THAT(replies, SizeIs(1));
    return replies.empty() ? ProcessingResponse() : replies.front();
  }
  // The bytes of all bodies in FULL_DUPLEX_STREAMED.
  std::string Text() const {
    std::string text;
    for (const auto& reply : replies_) text += StreamedIn(reply);
    return text;
  }
  std::string Destination() const {
    for (const auto& reply : replies_) {
      if (std::string place = DestinationIn(reply); !place.empty()) return place;
    }
    return "";
  }
  int Refusal() const {
    if (replies_.empty()) return 0;
    return replies_.back().immediate_response().status().code();
  }
  const std::string& closed() const { return closed_; }

 private:
  const Modes modes_;
  PickerThread thread_;
  FakeServing& serving_;
  std::optional<PickedRequest> request_;
  std::vector<ProcessingResponse> replies_;
  bool busy_ = false;
  std::string closed_;
};

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

// --- Waiting, refusals, the end

TEST(Waiting, ARequestWaitsInItsStream) {
  Pool pool;
  Stream first(pool);
  Stream second(pool);
  first.Ask(Chat(false));
  second.Ask(Chat(false));
  EXPECT_THAT(second.Kinds(), IsEmpty());
  first.Answer(kWhole, kAnswer);
  pool.serving.executor.Run();
  EXPECT_EQ(second.Destination(), kEngine);
  EXPECT_THAT(second.Kinds(), ElementsAre("request_headers", "request_body"));
}

TEST(Waiting, WhatEnvoyAnswersItselfIsSentNowhere) {
  for (const Modes& modes : {kFullDuplex, kBuffered}) {
    Pool pool;
    Stream first(pool);
    first.Ask(Chat(false));
    Stream second(pool, modes);
    second.Ask(Chat(false));
    second.Take();
    second.Say(ResponseHeaders({{":status", "504"}}));
    first.Answer(kWhole, kAnswer);
    pool.serving.executor.Run();
    second.Say(ResponseBody("upstream request timeout", true));
    EXPECT_EQ(second.Destination(), "");
    for (const auto& reply : second.Take()) {
      EXPECT_EQ(HeaderIn(reply.response_headers().response().header_mutation(), ":status"), "");
      EXPECT_EQ(HeaderIn(reply.response_body().response().header_mutation(), ":status"), "");
    }
    EXPECT_TRUE(pool.serving.Idle());
    EXPECT_EQ(pool.context.held_bytes, 0);
  }
}

TEST(Waiting, TooLongIsATimeOut) {
  Pool pool;
  pool.config.timeouts.request = 2;
  Stream first(pool);
  Stream second(pool);
  first.Ask(Chat(false));
  second.Ask(Chat(false));
  pool.serving.executor.Advance(2.1);
  EXPECT_EQ(second.Refusal(), 504);
  EXPECT_EQ(first.Refusal(), 504);
  second.Close();
  first.Close();
  EXPECT_TRUE(pool.serving.Idle());
  EXPECT_THAT(pool.Outcomes(), testing::Each(std::string(ToString(Outcome::kTimedOut))));
}

TEST(Refusal, IsThatOfTheGateway) {
  Pool pool({kEngine}, 1, {.max_queue_length = 0});
  Stream first(pool);
  first.Ask(Chat(false));
  Stream second(pool);
  second.Ask(Chat(false), {{"x-request-id", "mine"}});
  const auto refusal = second.Only().immediate_response();
  EXPECT_EQ(refusal.status().code(), 429);
  EXPECT_NE(HeaderIn(refusal.headers(), "retry-after"), "");
  EXPECT_EQ(HeaderIn(refusal.headers(), "content-type"), "application/json");
  EXPECT_EQ(HeaderIn(refusal.headers(), "x-request-id"), "mine");
  EXPECT_EQ(HeaderIn(refusal.headers(), "x-error-routing"), "queue_full");
  EXPECT_THAT(refusal.body(), HasSubstr(R"("code":"queue_full")"));
  second.Say(RequestBody("", true));  // What was on its way.
  EXPECT_THAT(second.Kinds(), IsEmpty());
}

TEST(Refusal, InvalidRequests) {
  const auto status = [](std::string_view body, const HeaderList& more = {}) {
    Pool pool;
    pool.config.limits.body = 1000;
    Stream stream(pool);
    stream.Ask(body, more);
    EXPECT_THAT(pool.serving.heard.invalid, ElementsAre(stream.Refusal()));
    return stream.Refusal();
  };
  EXPECT_EQ(status("no JSON"), 400);
  EXPECT_EQ(status(Chat(false, "unknown")), 404);
  EXPECT_EQ(status(std::string(1001, ' ')), 413);
  EXPECT_EQ(status(Chat(false), {{"content-encoding", "br"}}), 415);
  EXPECT_EQ(status(Chat(false), {{"x-slo-ttft-ms", "soon"}}), 400);
}

TEST(Refusal, BodiesThatAreHeldAreCountedTogether) {
  Pool pool;
  pool.config.limits.bodies = 300;
  Stream running(pool);
  running.Ask(Chat(false));
  Stream waiting(pool);
  waiting.Ask(Chat(false));
  Stream more(pool);
  more.Head();
  more.Say(RequestBody(std::string(250, ' '), false));
  EXPECT_EQ(more.Refusal(), 503);
  waiting.Close();
  Stream again(pool);
  again.Head();
  again.Say(RequestBody(std::string(250, ' '), false));
  EXPECT_EQ(again.Refusal(), 0);
}

// Wherever a request is when Envoy ends its stream, nothing of it is left.
TEST(Close, AtEveryStep) {
  const std::string body = Chat(true);
  const std::vector<ProcessingRequest> script = {
      RequestBody(body.substr(0, 30), false), RequestBody(body.substr(30), true),
      ResponseHeaders(kEvents), ResponseBody(Token("Deep."), false),
      ResponseBody(std::string(kUsage) + std::string(kDone), true)};
  for (const bool waits : {false, true}) {
    for (std::size_t steps = 0; steps <= script.size(); ++steps) {
      Pool pool;
      std::optional<Stream> running;
      if (waits) running.emplace(pool).Ask(Chat(false));
      Stream stream(pool);
      stream.Head();
      for (std::size_t i = 0; i < std::min(steps, waits ? 2 : script.size()); ++i) {
        stream.Say(script[i]);
      }
      stream.Close();
      running.reset();
      EXPECT_TRUE(pool.serving.Idle()) << steps;
      EXPECT_EQ(pool.context.held_bytes, 0U);
      const std::string last = steps == script.size() && !waits ? "completed" : "cancelled";
      for (const std::string& outcome : pool.Outcomes()) EXPECT_EQ(outcome, last) << steps;
    }
  }
}

// --- Where it may go, and where it went

ProcessingRequest WithSubset(ProcessingRequest head, const google::protobuf::Value& subset) {
  (*MetadataIn(head, "envoy.lb.subset_hint")
        .mutable_fields())["x-gateway-destination-endpoint-subset"] = subset;
  return head;
}
std::string PickedOf(const google::protobuf::Value& subset) {
  Pool pool({kEngine, kOther}, 8);
  Stream stream(pool);
  stream.Say(WithSubset(RequestHeaders(kFullDuplex), subset));
  stream.Say(RequestBody(Chat(false), true));
  return stream.Refusal() != 0 ? std::to_string(stream.Refusal()) : stream.Destination();
}

TEST(Subset, OnlyWhatIsOfferedIsPicked) {
  google::protobuf::Value text;
  text.set_string_value("10.0.0.1:8000, " + std::string(kOther));
  EXPECT_EQ(PickedOf(text), kOther);
  google::protobuf::Value list;
  list.mutable_list_value()->add_values()->set_string_value(kEngine);
  EXPECT_EQ(PickedOf(list), kEngine);
}

TEST(Subset, NothingThatIsOfferedIsThere) {
  google::protobuf::Value text;
  text.set_string_value("10.0.0.1:8000");
  EXPECT_EQ(PickedOf(text), "503");
  text.set_string_value("");
  EXPECT_EQ(PickedOf(text), "503");
}

TEST(Destination, IsSaidTwiceWithOthersForRetries) {
  Pool pool({kEngine, kOther}, 8);
  Stream stream(pool);
  stream.Ask(Chat(false));
  const ProcessingResponse head = stream.Take().front();
  const std::string both = DestinationIn(head);
  EXPECT_THAT(both, testing::AnyOf(std::string(kEngine) + "," + kOther,
                                   std::string(kOther) + "," + kEngine));
  const auto& said = head.dynamic_metadata().fields().at("envoy.lb").struct_value().fields();
  EXPECT_EQ(said.at(kDestination).string_value(), both);
  EXPECT_TRUE(head.request_headers().response().clear_route_cache());
}

TEST(Destination, WhereEnvoyHasRetriedTheOtherOneIsCharged) {
  Pool pool({kEngine, kOther}, 8);
  Stream stream(pool);
  stream.Ask(Chat(false));
  const std::string both = stream.Destination();
  const std::string first = both.substr(0, both.find(','));
  const std::string other = both.substr(both.find(',') + 1);
  stream.Take();
  ProcessingRequest head = ResponseHeaders(kWhole);
  (*MetadataIn(head, "envoy.lb").mutable_fields())["x-gateway-destination-endpoint-served"]
      .set_string_value(other);
  stream.Say(head);
  stream.Say(ResponseBody(kAnswer, true));
  EXPECT_EQ(HeaderIn(HeadersOf(stream.Take().front()), "target-pod"), other);
  stream.Close();
  EXPECT_TRUE(pool.serving.Idle());
  EXPECT_EQ(pool.serving.heard.endpoints.back(), other);
  ASSERT_THAT(pool.Last().failed_tries, SizeIs(1));
  EXPECT_EQ(pool.Last().failed_tries[0].address, first);
  EXPECT_EQ(ToString(pool.Last().outcome), ToString(Outcome::kCompleted));
}

// --- Answers of Envoy's own

const HeaderList kEnvoys503 = {{":status", "503"}, {"content-type", "text/plain"}};

TEST(EnvoysOwn, AnEngineThatCannotBeReachedIsNoBusyOne) {
  const std::pair<const char*, fleet::EngineFault> accounts[] = {
      {"upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:_"
       "111}",
       fleet::EngineFault::kConnect},
      {"upstream_reset_before_response_started{connection_timeout}", fleet::EngineFault::kConnect},
      {"no_healthy_upstream", fleet::EngineFault::kConnect},
      {"upstream_reset_before_response_started{connection_termination}",
       fleet::EngineFault::kClosed},
      {"upstream_reset_before_response_started{protocol_error}", fleet::EngineFault::kGarbled},
      {"upstream_response_timeout", fleet::EngineFault::kTimeout}};
  for (const auto& [details, fault] : accounts) {
    Pool pool;
    Stream stream(pool);
    stream.Ask(Chat(false));
    stream.Take();
    stream.Say(ExplainedHeaders(kEnvoys503, details));
    const ProcessingResponse reply = stream.Only();
    EXPECT_EQ(reply.immediate_response().status().code(),
              fault == fleet::EngineFault::kTimeout ? 504 : 502)
        << details;
    EXPECT_THAT(reply.immediate_response().body(), HasSubstr("Endpoint 127.0.0.1:9001")) << details;
    stream.Close();
    EXPECT_TRUE(pool.serving.Idle());
    ASSERT_TRUE(pool.Last().fault) << details;
    EXPECT_EQ(ToString(*pool.Last().fault), ToString(fault)) << details;
  }
}

TEST(EnvoysOwn, WhatIsNoEnginesDoingIsNobodysFault) {
  for (const char* const details :
       {"upstream_reset_before_response_started{overflow}", "rbac_access_denied_matched_policy"}) {
    for (const Modes& modes : {kFullDuplex, kBuffered}) {
      Pool pool;
      Stream stream(pool, modes);
      stream.Ask(Chat(false));
      stream.Take();
      stream.Say(ExplainedHeaders(kEnvoys503, details));
      stream.Say(ResponseBody("Not now.", true));
      EXPECT_THAT(stream.Kinds(), ElementsAre("response_headers", "response_body"));
      const auto replies = stream.Take();
      EXPECT_EQ(HeaderIn(HeadersOf(replies.front()), "target-pod"), "");
      EXPECT_EQ(StreamedIn(replies.back()), modes.response == kBuffered.response ? "" : "Not now.");
      stream.Close();
      EXPECT_TRUE(pool.serving.Idle());
      EXPECT_FALSE(pool.Last().fault);
    }
  }
}

TEST(EnvoysOwn, AnAnswerOfAnEngineIsTheEngines) {
  Pool pool;
  Stream stream(pool);
  stream.Ask(Chat(false));
  stream.Take();
  stream.Say(ExplainedHeaders(kEnvoys503, "via_upstream"));
  stream.Say(ResponseBody("Full.", true));
  stream.Close();
  ASSERT_TRUE(pool.Last().fault);
  EXPECT_EQ(ToString(*pool.Last().fault), "busy");
}

// --- Headers and paths

TEST(Headers, WhatOnlyThePickerIsToldIsTakenAway) {
  Pool pool;
  Stream stream(pool);
  stream.Ask(Chat(false), {{"x-slo-ttft-ms", "500"},
                           {"routing-strategy", "least-request"},
                           {"x-gateway-inference-objective", "chat"},
                           {"x-request-id", "mine"},
                           {"x-other", "stays"}});
  const HeaderMutation mutation = HeadersOf(stream.Take().front());
  EXPECT_TRUE(Removes(mutation, "x-slo-ttft-ms"));
  EXPECT_TRUE(Removes(mutation, "routing-strategy"));
  EXPECT_TRUE(Removes(mutation, "x-gateway-inference-objective"));
  EXPECT_FALSE(Removes(mutation, "x-other"));
  EXPECT_EQ(HeaderIn(mutation, "accept-encoding"), "identity");
  EXPECT_EQ(HeaderIn(mutation, "x-request-id"), "");  // It is as it was.
  stream.Answer(kWhole, kAnswer);
  const HeaderMutation response = HeadersOf(stream.Take().front());
  EXPECT_EQ(HeaderIn(response, "x-request-id"), "mine");
  EXPECT_EQ(HeaderIn(response, "routing-strategy"), "least-request");
  EXPECT_EQ(HeaderIn(response, "target-deployment"), "a10");
}

// What the engine gets for a header of the request: "" if it is taken away, "as it was" if it
// stays.
std::string Sent(const std::vector<ProcessingResponse>& replies, std::string_view name) {
  for (const auto& reply : replies) {
    const auto& mutation = reply.request_headers().response().header_mutation();
    for (const auto& option : mutation.set_headers()) {
      if (option.header().key() == name) return option.header().raw_value();
    }
    for (const auto& removed : mutation.remove_headers()) {
      if (removed == name) return "";
    }
  }
  return "as it was";
}

TEST(Headers, TheEngineIsToldOfTheTry) {
  constexpr char kParent[] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
  Pool pool;
  pool.config.tracing.endpoint = "http://127.0.0.1:4318";
  Stream stream(pool);
  stream.Ask(Chat(false), {{"traceparent", kParent}, {"tracestate", "a=1"}, {"tracestate", "b=2"}});
  const auto replies = stream.Take();
  stream.Answer(kWhole, kAnswer);
  stream.Close();
  ASSERT_TRUE(pool.Last().trace);
  EXPECT_EQ(tracing::ToText(pool.Last().trace->parent), "00f067aa0ba902b7");
  EXPECT_EQ(Sent(replies, "traceparent"),
            pool.Last().trace->ContextOfChild(serving::TryChild(0)).TraceParent());
  EXPECT_THAT(Sent(replies, "traceparent"), HasSubstr("00-4bf92f3577b34da6a3ce929d0e0e4736-"));
  EXPECT_EQ(Sent(replies, "tracestate"), "a=1,b=2");

  Stream broken(pool);
  broken.Ask(Chat(false), {{"traceparent", "what"}, {"tracestate", "a=1"}});
  const auto anew = broken.Take();
  EXPECT_THAT(Sent(anew, "traceparent"), testing::StartsWith("00-"));
  EXPECT_EQ(Sent(anew, "tracestate"), "");
  broken.Close();

  pool.config.tracing.endpoint.clear();
  Stream untraced(pool);
  untraced.Ask(Chat(false), {{"traceparent", "what"}});
  EXPECT_EQ(Sent(untraced.Take(), "traceparent"), "as it was");
}

TEST(Headers, ARouteMayRewriteTheModel) {
  for (const Modes& modes : {kFullDuplex, kBuffered}) {
    Pool pool;
    Stream stream(pool, modes);
    stream.Ask(Chat(false, "review"), {{"x-gateway-model-name-rewrite", "llama"}});
    const auto replies = stream.Take();
    const auto& body = replies.back().request_body().response().body_mutation();
    EXPECT_EQ(body.has_streamed_response() ? body.streamed_response().body() : body.body(),
              Chat(false, "llama"));
    const auto& with_destination = modes.request == kFullDuplex.request ? replies[0] : replies[1];
    EXPECT_TRUE(Removes(HeadersOf(with_destination), "x-gateway-model-name-rewrite"));
  }
}

TEST(Headers, ABodyThatIsNotReadStaysAsItIs) {
  Pool pool;
  Stream stream(pool);
  ProcessingRequest head = RequestHeaders(kFullDuplex, {}, false, "/an/engines/own");
  for (auto& header : *head.mutable_request_headers()->mutable_headers()->mutable_headers()) {
    if (header.key() == "content-type") header.set_raw_value("text/plain");
  }
  stream.Say(head);
  stream.Say(RequestBody("How deep?", true));
  EXPECT_EQ(stream.Destination(), kEngine);
  EXPECT_EQ(stream.Text(), "How deep?");
}

TEST(Headers, PathsBecomeThoseOfEngines) {
  Pool pool;
  pool.config.base_path = "/llm";
  const auto target = [&pool](std::string_view path) {
    Stream stream(pool);
    stream.Say(RequestHeaders(kFullDuplex, {}, false, path));
    stream.Say(RequestBody(R"({"messages":[]})", true));
    return HeaderIn(HeadersOf(stream.Take().front()), ":path");
  };
  EXPECT_EQ(target("/v1/chat/completions"), "");
  EXPECT_EQ(target("/llm/v1/chat/completions?x=1"), "/v1/chat/completions?x=1");
  EXPECT_EQ(target("/openai/deployments/llama/chat/completions?api-version=1"),
            "/v1/chat/completions?api-version=1");
  EXPECT_EQ(target("/an/engines/own/"), "");
  // What an engine would take for it is read as it, and its tokens count.
  EXPECT_EQ(target("/v1/%63hat%2Fcompletions"), "/v1/chat/completions");
}

// Whatever its type says: an engine may read it all the same.
TEST(Headers, ABodyThatIsAnObjectOfJsonIsRead) {
  Pool pool;
  const auto ask = [&pool](std::string_view type, std::string_view body) {
    Stream stream(pool);
    ProcessingRequest head = RequestHeaders(kFullDuplex, {}, false, "/v1/rerank");
    for (auto& header : *head.mutable_request_headers()->mutable_headers()->mutable_headers()) {
      if (header.key() == "content-type") header.set_raw_value(std::string(type));
    }
    stream.Say(head);
    stream.Say(RequestBody(body, true));
    return stream.Refusal();
  };
  for (const std::string_view type : {"text/plain", "application/octet-stream", "image/png"}) {
    EXPECT_EQ(ask(type, R"({"model":"llama"})"), 0) << type;
    EXPECT_EQ(ask(type, R"({"model":"theirs"})"), 404) << type;
    EXPECT_EQ(ask(type, "\xEF\xBB\xBF \n{\"model\":\"theirs\"}"), 400) << type;
    EXPECT_EQ(ask(type, R"({"model":"llama","model":"theirs"})"), 404) << "the last one counts";
    EXPECT_EQ(ask(type, "\x89PNG {}"), 0) << type;
  }
}

TEST(Headers, APackedBodyIsUnpacked) {
  const std::string body = Chat(false);
  std::string packed(1000, '\0');
  uLongf size = packed.size();
  compress(reinterpret_cast<Bytef*>(packed.data()), &size,
           reinterpret_cast<const Bytef*>(body.data()), body.size());
  packed.resize(size);
  Pool pool;
  Stream stream(pool);
  stream.Ask(packed, {{"content-encoding", "deflate"}});
  EXPECT_EQ(stream.Text(), body);
  EXPECT_TRUE(Removes(HeadersOf(stream.Take().front()), "content-encoding"));
}

TEST(Headers, WhatIsUnpackedCountsAsHeld) {
  std::string packed(100'000, '\0');
  uLongf size = packed.size();
  const std::string body(5 << 20, ' ');
  compress(reinterpret_cast<Bytef*>(packed.data()), &size,
           reinterpret_cast<const Bytef*>(body.data()), body.size());
  packed.resize(size);
  Pool pool;
  pool.config.limits.bodies = 4 << 20;
  Stream stream(pool);
  stream.Ask(packed, {{"content-encoding", "deflate"}});
  EXPECT_EQ(stream.Refusal(), 503);
  EXPECT_EQ(pool.context.held_bytes, 0);
}

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
