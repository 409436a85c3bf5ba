// One request's way to an endpoint and to its end, message by message, with a clock that the test
// turns.
#include "extproc/picked_request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "extproc/test_stream.h"

namespace headrace::extproc {
namespace {

using serving::Chat;
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

}  // namespace
}  // namespace headrace::extproc
