// The gateway from outside: real sockets, emulated engines.
#include "gateway/gateway.h"

#include <gmock/gmock.h>

#include <optional>

#include "gateway/test_gateway.h"

namespace headrace::gateway {
namespace {

// Its one endpoint has no place for a second request.
struct FullGateway : TestGateway {
  // `speed`: of its engine.
  explicit FullGateway(double speed) {
    AddEngine("a10", speed);
    AddProfile("a10", 1);
    Start();
    running.emplace(address()).Send(PostChat(2000, true));
    EXPECT_TRUE(Eventually([&] { return Status().running == 1; }));
  }
  std::optional<net::RawPeer> running;
};

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

// --- Passing through

TEST(Gateway, RelaysAWholeResponseAndNamesItsEndpoint) {
  TestGateway t;
  t.AddEngine("a10");
  t.AddProfile("a10", 10);
  t.Start();
  const HttpResponse response = t.Chat(ChatBody(20, false), {"x-headrace-output-tokens: 20"});
  EXPECT_EQ(response.status, 200);
  EXPECT_THAT(response.body,
              AllOf(HasSubstr("\"chat.completion\""), HasSubstr("completion_tokens")));
  EXPECT_EQ(response.Header("target-pod"), t.engines[0]->address().ToString());
  EXPECT_EQ(response.Header("target-deployment"), "a10");
  EXPECT_EQ(response.Header("routing-strategy"), "slo");
  EXPECT_EQ(response.Header("request-id").size(), 32);
  EXPECT_TRUE(Eventually([&] { return t.Idle(); }));
  EXPECT_TRUE(Eventually([&] { return t.Metric("headrace_requests_total") == 1; }));
}

TEST(Gateway, KeepsTheClientsRequestId) {
  TestGateway t;
  t.AddEngine("a10");
  t.Start();
  EXPECT_EQ(t.Chat(ChatBody(5, false), {"X-Request-Id: abc-1"}).Header("request-id"), "abc-1");
}

TEST(Gateway, StreamsAndHidesTheUsageThatTheClientDidNotAskFor) {
  TestGateway t;
  t.AddEngine("a10");
  t.Start();
  const HttpResponse hidden = t.Chat(ChatBody(10, true), {"x-headrace-output-tokens: 10"});
  EXPECT_EQ(hidden.status, 200);
  EXPECT_THAT(hidden.body, AllOf(HasSubstr("data: [DONE]"), Not(HasSubstr("completion_tokens"))));
  // It was read all the same: the predictor has learned from it.
  EXPECT_TRUE(Eventually([&] { return t.Status().learned_lengths == 1; }));

  const HttpResponse asked =
      t.Chat(ChatBody(10, true, R"(,"stream_options":{"include_usage":true})"));
  EXPECT_THAT(asked.body, AllOf(HasSubstr("data: [DONE]"), HasSubstr("completion_tokens")));
}

TEST(Gateway, ServesEveryPathOfTheApi) {
  TestGateway t;
  t.AddEngine("a10");
  t.Start();
  const auto post = [&](std::string_view path, std::string_view body) {
    const HttpResponse response = Post(t.address(), path, body, {"x-headrace-output-tokens: 3"});
    EXPECT_EQ(response.status, 200) << path << ": " << response.body;
    return response.body;
  };
  EXPECT_THAT(post("/v1/completions", R"({"model":"llama2-7b","prompt":"One","max_tokens":4})"),
              HasSubstr("text_completion"));
  EXPECT_THAT(post("/v1/embeddings", R"({"model":"llama2-7b","input":"One"})"),
              HasSubstr("\"embedding\""));
  EXPECT_THAT(post("/v1/responses", R"({"model":"llama2-7b","input":"One","max_output_tokens":4})"),
              HasSubstr("\"response\""));
  EXPECT_THAT(post("/v1/responses",
                   R"({"model":"llama2-7b","input":"One","max_output_tokens":4,"stream":true})"),
              HasSubstr("response.completed"));
  EXPECT_THAT(Get(t.address(), "/v1/models").body, HasSubstr("\"id\":\"llama2-7b\""));
  EXPECT_THAT(Get(t.address(), "/v1/models/llama2-7b").body, HasSubstr("\"id\":\"llama2-7b\""));
  EXPECT_EQ(Get(t.address(), "/v1/models/gpt-9").status, 404);
  EXPECT_EQ(Get(t.address(), "/healthz").status, 200);
  EXPECT_EQ(Get(t.address(), "/readyz").status, 200);
  EXPECT_TRUE(Eventually([&] { return t.Idle(); }));
}

TEST(Gateway, AnAdapterIsServedByTheSamePoolAndReachesTheEngineUnchanged) {
  TestGateway t;
  t.config.models[0].adapters = {"legal"};
  OneResponseEngine engine("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}");
  t.AddEndpoint("a10", engine.address());
  t.Start();
  EXPECT_THAT(Get(t.address(), "/v1/models").body,
              AllOf(HasSubstr("\"id\":\"llama2-7b\""), HasSubstr("\"id\":\"legal\"")));
  EXPECT_EQ(Get(t.address(), "/v1/models/legal").status, 200);
  const std::string body = R"({"model":"legal","messages":[{"role":"user","content":"Hi"}]})";
  EXPECT_EQ(t.Chat(body).status, 200);
  EXPECT_EQ(engine.Request().body, body);
  EXPECT_TRUE(
      Eventually([&] { return t.Metric("headrace_requests_total{model=\"llama2-7b\"") == 1; }));
  EXPECT_EQ(t.registry.Text().find("legal"), std::string::npos)
      << "labels are those of the configuration's names, not of aliases";
}

TEST(Gateway, PassesOnAnErrorOfTheEngineAsItIs) {
  TestGateway t;
  t.AddEngine("a10");
  t.Start();
  const HttpResponse response = t.Chat(ChatBody(100'000, false));
  EXPECT_EQ(response.status, 400);
  EXPECT_THAT(response.body, HasSubstr("context length"));
  EXPECT_EQ(response.Header("target-deployment"), "a10");
  EXPECT_TRUE(Eventually([&] { return t.Idle(); }));
}

TEST(Gateway, HeadersOfOneHopAreNotPassedOnAndTheGatewaysOwnComeOnce) {
  TestGateway t;
  OneResponseEngine engine(
      "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive , X-Engine-Hop\r\n"
      "X-Engine-Hop: 1\r\nX-Engine: 2\r\nRouting-Strategy: other\r\nTarget-Pod: other\r\n\r\n{}");
  t.AddEndpoint("a10", engine.address());
  t.Start();
  const HttpResponse response =
      t.Chat(ChatBody(5, false), {"Connection: x-client-hop", "X-Client-Hop: 1", "X-Client: 2"});
  EXPECT_THAT(engine.Request().head,
              AllOf(HasSubstr("X-Client: 2"), Not(HasSubstr("X-Client-Hop"))));
  EXPECT_EQ(response.Header("x-engine"), "2");
  EXPECT_THAT(response.head, AllOf(Not(HasSubstr("X-Engine-Hop")), Not(HasSubstr("other"))));
  EXPECT_EQ(response.Header("target-pod"), engine.address());
}

// What is said to the router alone stays here, and nobody else says what the router does.
TEST(Gateway, ControlHeadersGoToNoEngineAndNoEngineForgesThem) {
  TestGateway t;
  OneResponseEngine engine(
      "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Request-ID: forged\r\nRequest-Id: forged\r\n"
      "Target-Deployment: forged\r\nX-Headrace-Explain: forged\r\n"
      "X-Headrace-Asked-Strategy: forged\r\nX-RateLimit-Limit-Tokens: 7\r\n\r\n{}");
  t.AddEndpoint("a10", engine.address());
  t.Start();
  const HttpResponse response =
      t.Chat(ChatBody(5, false),
             {"Routing-Strategy: random", "X-SLO-TTFT-ms: 60000", "x-llm-d-slo-tpot-ms: 60000",
              "X-Headrace-Explain: 0", "X-Gateway-Inference-Objective: o",
              "X-Gateway-Inference-Fairness-ID: f", "X-Request-ID: mine", "X-Other: kept"});
  std::string seen = engine.Request().head;
  for (char& c : seen) c = static_cast<char>(std::tolower(c));
  for (const std::string_view control : serving::kControlHeaders) {
    EXPECT_THAT(seen, Not(HasSubstr(std::string(control) + ":"))) << control;
  }
  EXPECT_THAT(seen, AllOf(HasSubstr("x-request-id: mine"), HasSubstr("x-other: kept")));
  EXPECT_THAT(response.head, Not(HasSubstr("forged")));
  EXPECT_EQ(response.Header("x-request-id"), "mine");
  EXPECT_EQ(response.Header("routing-strategy"), "random");
  EXPECT_EQ(response.Header("x-ratelimit-limit-tokens"), "7") << "there are no keys here";
}

// --- Refusing

TEST(Gateway, RespondsToBadRequestsAsOpenAiDoes) {
  TestGateway t;
  t.config.limits.body = 10'000;
  t.AddEngine("a10");
  t.Start();
  const HttpResponse broken = t.Chat("{\"model\": ");
  EXPECT_EQ(broken.status, 400);
  EXPECT_THAT(broken.body, HasSubstr("invalid_request_error"));
  EXPECT_NE(broken.Header("x-error-request-body-processing"), "");
  const HttpResponse no_model = t.Chat(R"({"messages":[]})");
  EXPECT_EQ(no_model.status, 400);
  EXPECT_NE(no_model.Header("x-error-no-model-in-request"), "");
  const HttpResponse unknown = t.Chat(R"({"model":"gpt-9","messages":[]})");
  EXPECT_EQ(unknown.status, 404);
  EXPECT_THAT(unknown.body, HasSubstr("model_not_found"));
  EXPECT_NE(unknown.Header("x-error-no-model-backends"), "");
  const HttpResponse strategy = t.Chat(ChatBody(5, false), {"routing-strategy: fastest"});
  EXPECT_EQ(strategy.status, 400);
  EXPECT_THAT(strategy.body, HasSubstr("least-request"));
  EXPECT_NE(strategy.Header("x-error-invalid-routing-strategy"), "");
  for (const char* value : {"-1", "0", "soon", "5ms", "nan", "inf"}) {
    EXPECT_EQ(t.Chat(ChatBody(5, false), {std::string("x-slo-ttft-ms: ") + value}).status, 400)
        << value;
  }
  EXPECT_EQ(t.Chat(std::string(20'000, ' ')).status, 413);
  EXPECT_EQ(Post(t.address(), "/v1/audio", "{}").status, 404);
  EXPECT_EQ(Get(t.address(), "/v1/chat/completions").status, 405);
}

TEST(Gateway, RefusesWhatNoGpuTypeCanServeInTimeWithTheReasons) {
  TestGateway t;
  t.AddEngine("a10");
  t.AddProfile("a10", 10);
  t.Start();
  const HttpResponse tight = t.Chat(ChatBody(64, false), {"x-slo-e2e-ms: 1"});
  EXPECT_EQ(tight.status, 429);
  EXPECT_NE(tight.Header("retry-after"), "");
  EXPECT_EQ(tight.Header("x-should-retry"), "false");
  EXPECT_EQ(tight.Header("x-error-routing"), "slo_unattainable");
  EXPECT_THAT(tight.body, AllOf(HasSubstr("a10"), HasSubstr(" ms of 1 ms allowed")));
  EXPECT_TRUE(Eventually([&] { return t.Metric("headrace_refused_total") == 1; }));
  EXPECT_EQ(t.Chat(ChatBody(64, false), {"x-slo-e2e-ms: 5000"}).status, 200);
}

TEST(Gateway, PolicyOfTheRequestServesItAndFallbacksAreNamed) {
  TestGateway t;
  t.AddEngine("a10");
  t.Start();
  EXPECT_EQ(t.Chat(ChatBody(5, false)).Header("routing-strategy"), "least-request");
  EXPECT_EQ(
      t.Chat(ChatBody(5, false), {"routing-strategy: round-robin"}).Header("routing-strategy"),
      "round-robin");
  EXPECT_TRUE(
      Eventually([&] { return t.Metric("headrace_fallback_total{cause=\"no_profile\"") == 1; }));
  EXPECT_TRUE(t.Said("fallback no_profile: requests are routed by least-request"));
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(t.Chat(ChatBody(5, false), {"routing-strategy: least-load"}).status, 200);
    EXPECT_EQ(t.Chat(ChatBody(5, false)).status, 200);
  }
  EXPECT_EQ(t.LinesWith("fallback no_profile").size(), 2U) << "each way is told once";
}

TEST(Gateway, FullQueueIsRefusedWithRetryAfter) {
  TestGateway t;
  t.config.models[0].queue.max_length = 1;
  t.AddEngine("a10", 1);
  t.AddProfile("a10", 1);  // One at a time.
  t.Start();
  net::RawPeer running(t.address());
  running.Send(PostChat(2000, true));
  ASSERT_TRUE(Eventually([&] { return t.Status().running == 1; }));
  net::RawPeer waiting(t.address());
  waiting.Send(PostText("/v1/chat/completions", ChatBody(64, true)));
  ASSERT_TRUE(Eventually([&] { return t.Status().waiting == 1; }));
  const HttpResponse refused = t.Chat(ChatBody(64, false));
  EXPECT_EQ(refused.status, 429);
  EXPECT_EQ(refused.Header("x-error-routing"), "queue_full");
  EXPECT_GE(std::stoi("0" + refused.Header("retry-after")), 1);
}

TEST(Gateway, WaitingRequestIsRefusedAtItsDeadlineWithoutFurtherArrivals) {
  FullGateway t(1);
  const HttpResponse late = t.Chat(ChatBody(64, false), {"x-slo-e2e-ms: 1300"});
  EXPECT_EQ(late.status, 429);
  EXPECT_EQ(late.Header("x-error-routing"), "slo_deadline");
}

TEST(Gateway, NoEndpointUpIs503) {
  TestGateway t;
  t.AddEngine("a10");
  t.Start();
  t.engines[0]->Stop();
  ASSERT_TRUE(Eventually([&] { return Get(t.address(), "/readyz").status == 503; }));
  const HttpResponse response = t.Chat(ChatBody(5, false));
  EXPECT_EQ(response.status, 503);
  EXPECT_EQ(response.Header("x-error-no-model-backends"), "no_endpoint");
}

// --- Engines that fail

TEST(Gateway, RefusedConnectionIsRoutedToAnotherEndpoint) {
  TestGateway t;
  t.config.health.interval = 3600;  // Only the data path finds out.
  net::RawListener dead;
  t.AddEndpoint("a10", dead.address().ToString());
  dead.Close();
  t.AddEngine("a10");
  t.Start();
  for (int i = 0; i < 4; ++i) {
    const HttpResponse response = t.Chat(ChatBody(5, false));
    EXPECT_EQ(response.status, 200);
    EXPECT_EQ(response.Header("target-pod"), t.engines[0]->address().ToString());
  }
  EXPECT_TRUE(Eventually([&] { return t.Idle(); }));
}

TEST(Gateway, EngineThatClosesWithoutAResponseIs502) {
  TestGateway t;
  OneResponseEngine engine("");
  t.AddEndpoint("a10", engine.address());
  t.Start();
  const HttpResponse response = t.Chat(ChatBody(5, false));
  EXPECT_EQ(response.status, 502);
  EXPECT_THAT(response.body, HasSubstr(engine.address()));
  EXPECT_TRUE(Eventually([&] { return t.Idle(); }));
}

TEST(Gateway, EngineThatFailsBetweenHeadAndBodyIs502) {
  TestGateway t;
  OneResponseEngine engine(
      "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n");
  t.AddEndpoint("a10", engine.address());
  t.Start();
  const HttpResponse response = t.Chat(ChatBody(5, false));
  EXPECT_EQ(response.status, 502);
  EXPECT_THAT(response.body, HasSubstr("in the middle of the response"));
}

TEST(Gateway, StreamThatBreaksOffEndsWithAnErrorAndWithoutTheEndMark) {
  TestGateway t;
  OneResponseEngine engine(
      "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
      "39\r\ndata: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"}}]}\n\n\r\n");
  t.AddEndpoint("a10", engine.address());
  t.Start();
  const HttpResponse response = t.Chat(ChatBody(5, true));
  EXPECT_EQ(response.status, 200);
  // Whole as far as HTTP goes: clients that read ahead lose what came before a break.
  EXPECT_TRUE(response.complete);
  EXPECT_THAT(response.body, AllOf(HasSubstr("\"content\":\"x\""), HasSubstr("\"error\""),
                                   Not(HasSubstr("[DONE]"))));
  EXPECT_TRUE(Eventually([&] { return t.Idle(); }));
}

TEST(Gateway, EngineThatDoesNotRespondInTimeIs504) {
  TestGateway t;
  t.config.timeouts.whole = 0.2;
  t.config.health.interval = 3600;
  t.config.health.timeout = 3600;
  net::RawListener engine;  // Accepts into its backlog and says nothing.
  t.AddEndpoint("a10", engine.address().ToString());
  t.Start();
  EXPECT_EQ(t.Chat(ChatBody(5, false)).status, 504);
  EXPECT_TRUE(Eventually([&] { return t.Idle(); }));
}

// --- Clients that go away

TEST(ClientGone, WhileQueuedFreesItsPlaceAtOnce) {
  FullGateway t(1);
  net::RawPeer waiting(t.address());
  waiting.Send(PostText("/v1/chat/completions", ChatBody(64, true)));
  ASSERT_TRUE(Eventually([&] { return t.Status().waiting == 1; }));
  waiting.Close();
  EXPECT_TRUE(Eventually([&] { return t.Status().waiting == 0; }));
  EXPECT_EQ(t.Status().running, 1);
}

TEST(ClientGone, BeforeTheFirstByteEndsTheEnginesWork) {
  TestGateway t;
  emulator::EmulatedEngine& engine = t.AddEngine("a10", 0.5);
  t.Start();
  net::RawPeer client(t.address());
  client.Send(PostChat(2000, false));
  ASSERT_TRUE(Eventually([&] { return RunningAt(engine) == 1; }));
  client.Close();
  EXPECT_TRUE(Eventually([&] { return RunningAt(engine) == 0 && t.Idle(); }));
  EXPECT_TRUE(Eventually([&] {
    return t.Metric("headrace_requests_total{model=\"llama2-7b\",outcome=\"cancelled\"") == 1;
  }));
}

TEST(ClientGone, InMidStreamEndsTheEnginesWork) {
  TestGateway t;
  emulator::EmulatedEngine& engine = t.AddEngine("a10", 1);
  t.Start();
  net::RawPeer client(t.address());
  client.Send(PostChat(2000, true));
  EXPECT_THAT(client.ReadUntil("data: "), HasSubstr("200 OK"));
  client.Reset();
  EXPECT_TRUE(Eventually([&] { return RunningAt(engine) == 0 && t.Idle(); }));
}

TEST(ClientGone, ItsPlaceGoesToTheNextOneInTheQueue) {
  FullGateway t(20);
  net::RawPeer waiting(t.address());
  waiting.Send(PostText("/v1/chat/completions", ChatBody(8, true)));
  ASSERT_TRUE(Eventually([&] { return t.Status().waiting == 1; }));
  t.running->Close();
  EXPECT_THAT(waiting.ReadUntil("[DONE]"), HasSubstr("200 OK"));
}

// --- Changes while it runs

TEST(Changes, StopLetsRequestsInFlightFinish) {
  TestGateway t;
  t.AddEngine("a10", 20);
  t.Start();
  net::RawPeer client(t.address());
  client.Send(PostChat(300, true));
  ASSERT_TRUE(Eventually([&] { return t.Status().running == 1; }));
  t.gateway->Stop();
  EXPECT_THAT(client.ReadUntil("[DONE]"), HasSubstr("[DONE]"));
  EXPECT_FALSE(net::RawPeer(t.address()).connected());
  EXPECT_TRUE(t.Idle());
}

}  // namespace
}  // namespace headrace::gateway
