// What an engine's response is taken for, and what the client is told of it.
#include <gmock/gmock.h>

#include "serving/served_request.h"
#include "serving/test_served_request.h"

namespace headrace::serving {
namespace {

using fleet::EngineFault;
using telemetry::Outcome;
using testing::AllOf;
using testing::HasSubstr;

using ServedResponseTest = ServedRequestTest;

TEST_F(ServedResponseTest, AnErrorOfTheEngineIsPassedOnAndTeachesNothing) {
  exchange_->Send(Chat(false));
  exchange_->RespondJson(500, kAnswer);
  EXPECT_EQ(exchange_->received(), kAnswer);
  const FinishedRequest finished = Ended(Outcome::kEngineError);
  EXPECT_EQ(finished.fault, EngineFault::kStatus);
  EXPECT_TRUE(finished.CountsForSlo());
  EXPECT_FALSE(finished.MetSlo());
  EXPECT_EQ(serving_->router().Status().learned_lengths, 0);
}

TEST_F(ServedResponseTest, AStatusSaysWhoseFaultItIs) {
  const std::tuple<int, Outcome, std::optional<EngineFault>> cases[] = {
      {400, Outcome::kClientError, std::nullopt},
      {404, Outcome::kClientError, std::nullopt},
      {408, Outcome::kEngineError, EngineFault::kStatus},
      {422, Outcome::kClientError, std::nullopt},
      {429, Outcome::kEngineError, EngineFault::kBusy},
      {500, Outcome::kEngineError, EngineFault::kStatus},
      {501, Outcome::kClientError, std::nullopt},
      {503, Outcome::kEngineError, EngineFault::kBusy}};
  for (const auto& [status, outcome, fault] : cases) {
    Use({});
    exchange_->Send(Chat(true));
    exchange_->Head(status, "text/event-stream");  // Whatever it is: an error is passed on.
    exchange_->Bytes("data: no");
    exchange_->End();
    EXPECT_EQ(exchange_->received(), "data: no");
    EXPECT_EQ(exchange_->status(), 0) << "the engine's own response stands";
    const FinishedRequest finished = Ended(outcome);
    EXPECT_EQ(finished.fault, fault) << status;
    EXPECT_EQ(finished.CountsForSlo(), fault.has_value())
        << "a client's mistake says nothing of the SLO";
  }
}

TEST_F(ServedResponseTest, AnErrorInsideAStreamIsNoSuccess) {
  exchange_->Send(Chat(true));
  exchange_->Head(200, "text/event-stream");
  exchange_->Bytes(Token("De"));
  const std::string error = "data: {\"error\":{\"message\":\"out of memory\"}}\n\n";
  exchange_->Bytes(error + std::string(kDone));
  exchange_->End();
  EXPECT_EQ(exchange_->received(), Token("De") + error + std::string(kDone));
  EXPECT_EQ(exchange_->status(), 0) << "the client has been told";
  EXPECT_EQ(Ended(Outcome::kEngineError).fault, EngineFault::kErrorInBody);
  EXPECT_EQ(serving_->router().Status().learned_lengths, 0);
}

TEST_F(ServedResponseTest, AnErrorThatClientsWouldNotNoticeIsToldAgain) {
  exchange_->Send(Chat(true));
  exchange_->Head(200, "text/event-stream");
  exchange_->Bytes(Token("De") + "error: {\"message\":\"out of memory\"}\n\n");
  exchange_->End();
  EXPECT_EQ(exchange_->status(), 502);
  EXPECT_THAT(exchange_->message(), HasSubstr("it sent an error in its response"));
  EXPECT_EQ(Ended(Outcome::kEngineError).fault, EngineFault::kErrorInBody);
}

TEST_F(ServedResponseTest, AnErrorInAStreamThatIsTheClientsOwnFault) {
  exchange_->Send(Chat(true));
  exchange_->Head(200, "text/event-stream");
  exchange_->Bytes("data: {\"error\":{\"type\":\"BadRequestError\",\"code\":400}}\n\n");
  exchange_->End();
  EXPECT_EQ(Ended(Outcome::kClientError).fault, std::nullopt);
}

TEST_F(ServedResponseTest, AnErrorInAResponseThatSaysAllIsWellGetsItsStatus) {
  const std::tuple<std::string, int, Outcome, std::optional<EngineFault>> cases[] = {
      {R"({"error":{"message":"CUDA","type":"InternalServerError","code":500}})", 500,
       Outcome::kEngineError, EngineFault::kErrorInBody},
      {R"({"error":"CUDA"})", 500, Outcome::kEngineError, EngineFault::kErrorInBody},
      {R"({"object":"error","message":"full","code":503})", 503, Outcome::kEngineError,
       EngineFault::kBusy},
      {R"({"error":{"message":"too long","code":400}})", 400, Outcome::kClientError, std::nullopt}};
  for (const auto& [body, status, outcome, fault] : cases) {
    Use({});
    exchange_->Send(Chat(false));
    exchange_->Head(200, "application/json");
    exchange_->Bytes(body.substr(0, 12));
    EXPECT_EQ(exchange_->received(), "") << "its status may change";
    exchange_->Bytes(body.substr(12));
    exchange_->End();
    EXPECT_EQ(exchange_->received(), body);
    EXPECT_EQ(exchange_->request().response_status(), status);
    EXPECT_EQ(exchange_->status(), 0);
    EXPECT_EQ(Ended(outcome).fault, fault) << body;
  }
}

TEST_F(ServedResponseTest, AStreamWithoutItsEndHasFailed) {
  exchange_->Send(Chat(true));
  exchange_->Head(200, "text/event-stream");
  exchange_->Bytes(Token("De") + R"(data: {"choices":[{"ind)");
  exchange_->End();
  EXPECT_EQ(exchange_->received(), Token("De")) << "no piece of an event before the error";
  EXPECT_EQ(exchange_->status(), 502);
  EXPECT_THAT(exchange_->message(), HasSubstr("the response ended before its end"));
  EXPECT_EQ(Ended(Outcome::kFailed).fault, EngineFault::kCut);
  EXPECT_EQ(serving_->router().Status().learned_lengths, 0);
}

TEST_F(ServedResponseTest, AResponseOfTheResponsesApiWithoutItsEndHasFailed) {
  exchange_->Send(R"({"model":"llama","input":"x","stream":true})", {},
                  openai::ApiKind::kResponses);
  exchange_->Head(200, "text/event-stream");
  exchange_->Bytes("data: {\"type\":\"response.output_text.delta\",\"delta\":\"x\"}\n\n");
  exchange_->End();
  EXPECT_EQ(exchange_->status(), 502);
  const ErrorReply reply = {openai::MakeApiError(502, "x")};
  EXPECT_THAT(exchange_->request().ErrorEvent(reply),
              AllOf(HasSubstr("event: error\n"), HasSubstr("\"sequence_number\":1")));
  EXPECT_EQ(Ended(Outcome::kFailed).fault, EngineFault::kCut);
}

TEST_F(ServedResponseTest, AResponseWithNothingInItGoesElsewhere) {
  for (const bool stream : {false, true}) {
    Use({});
    serving_->SetEndpoints({kEngine, kOther});
    exchange_->Send(Chat(stream));
    const std::string first = exchange_->endpoint();
    exchange_->Head(200, stream ? "text/event-stream" : "application/json");
    exchange_->End();
    serving_->executor.Run();
    EXPECT_EQ(exchange_->status(), 0);
    EXPECT_NE(exchange_->endpoint(), first);
    exchange_->RespondJson(200, kAnswer);
    const FinishedRequest finished = Ended(Outcome::kCompleted);
    ASSERT_EQ(finished.failed_tries.size(), 1u);
    EXPECT_EQ(finished.failed_tries[0].fault, EngineFault::kClosed);
  }
}

TEST_F(ServedResponseTest, WhatCannotBeReadPassesOn) {
  exchange_->Send(Chat(true));
  exchange_->request().ResponseHead(
      {.status = 200, .content_type = "text/event-stream", .content_encoding = "gzip"});
  EXPECT_FALSE(exchange_->request().event_stream());
  exchange_->Bytes("\x1f\x8b...");
  exchange_->End();
  EXPECT_EQ(exchange_->received(), "\x1f\x8b...");
  EXPECT_FALSE(Ended(Outcome::kCompleted).counted);
}

TEST_F(ServedResponseTest, TheTypeOfAStreamInAnyCase) {
  exchange_->Send(Chat(true));
  exchange_->Head(200, "Text/Event-Stream;charset=utf-8");
  EXPECT_TRUE(exchange_->request().event_stream());
}

// --- What the router adds has a way out

constexpr char kNoStreamOptions[] =
    R"({"error":{"message":"stream_options: Extra inputs are not permitted","code":400}})";

TEST_F(ServedResponseTest, AnEngineThatRefusesStreamOptionsIsAskedOnceMoreWithout) {
  for (const int status : {400, 422}) {
    Use({});
    exchange_->Send(Chat(true));
    EXPECT_THAT(exchange_->sent(), HasSubstr("include_usage"));
    exchange_->RespondJson(status, kNoStreamOptions);
    EXPECT_EQ(exchange_->received(), "");
    EXPECT_EQ(exchange_->endpoint(), kEngine);
    EXPECT_EQ(exchange_->sent(), Chat(true));
    const std::string usage = Token("De") + std::string(kUsage) + std::string(kDone);
    exchange_->Head(200, "text/event-stream");
    exchange_->Bytes(usage);
    exchange_->End();
    EXPECT_EQ(exchange_->received(), usage) << "nothing was asked for, so nothing is hidden";
    EXPECT_TRUE(Ended(Outcome::kCompleted).failed_tries.empty());
    // It is remembered.
    exchange_ = std::make_unique<FakeExchange>(*serving_);
    exchange_->Send(Chat(true));
    EXPECT_EQ(exchange_->sent(), Chat(true));
    EXPECT_EQ(serving_->router().Status().deployments[0].stream_options,
              RouterStatus::StreamOptions::kRefused);
  }
}

TEST_F(ServedResponseTest, ARefusalThatStandsIsTheClients) {
  exchange_->Send(R"({"model":"llama","messages":[],"stream":true,"stream_options":{}})");
  exchange_->RespondJson(400, kNoStreamOptions);
  EXPECT_EQ(exchange_->received(), "");
  exchange_->RespondJson(400, kNoStreamOptions);
  EXPECT_EQ(exchange_->received(), kNoStreamOptions);
  EXPECT_EQ(Ended(Outcome::kClientError).fault, std::nullopt);
  // It was not for what was added: others are asked as before.
  exchange_ = std::make_unique<FakeExchange>(*serving_);
  exchange_->Send(Chat(true));
  EXPECT_THAT(exchange_->sent(), HasSubstr("include_usage"));
}

TEST_F(ServedResponseTest, OtherErrorsOfAStreamPassOnAsTheyAre) {
  for (const std::string& error : {std::string(R"({"error":{"message":"too long"}})"),
                                   std::string(100'000, 'x') + "stream_options"}) {
    Use({});
    exchange_->Send(Chat(true));
    exchange_->Head(400, "application/json");
    for (std::size_t at = 0; at < error.size(); at += 1000) {
      exchange_->Bytes(std::string_view(error).substr(at, 1000));
    }
    exchange_->End();
    EXPECT_EQ(exchange_->received(), error);
    Ended(Outcome::kClientError);
  }
}

TEST_F(ServedResponseTest, EnginesThatAreNotToBeAskedAreNot) {
  const system::SocketAddress address = *system::Resolve(*system::ParseHostPort(kEngine));
  discovery::DiscoveredDeployment deployment{"a10", 512, {{kEngine, address}}};
  for (const bool asked : {false, true}) {
    deployment.stream_options = asked;
    serving_->router().UpdateFleet({deployment});
    exchange_ = std::make_unique<FakeExchange>(*serving_);
    exchange_->Send(Chat(true));
    EXPECT_EQ(exchange_->sent() != Chat(true), asked);
    EXPECT_EQ(serving_->router().Status().deployments[0].stream_options,
              asked ? RouterStatus::StreamOptions::kAsked : RouterStatus::StreamOptions::kOff);
  }
}

// --- What an engine counts

TEST_F(ServedResponseTest, CountsBeyondTheContextAreNotBelieved) {
  for (const bool known : {false, true}) {
    Use({});
    if (known) serving_->router().SetMaxModelLen(*serving_->router().Endpoints()[0], 4096);
    exchange_->Send(Chat(true));
    exchange_->Head(200, "text/event-stream");
    exchange_->Bytes(Token("De") + Token("ep."));
    exchange_->Bytes(
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1000000,\"completion_tokens\":2}}\n\n");
    exchange_->Bytes(kDone);
    exchange_->End();
    const FinishedRequest finished = Ended(Outcome::kCompleted);
    EXPECT_EQ(finished.counted, !known);
    EXPECT_EQ(finished.latency.output_tokens, 2) << "two events came";
  }
}

}  // namespace
}  // namespace headrace::serving
