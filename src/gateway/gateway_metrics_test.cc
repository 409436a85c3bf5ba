// What the gateway reports of itself, in metrics and in the log.
#include "serving/gateway_metrics.h"

#include <gmock/gmock.h>

#include "gateway/test_gateway.h"

namespace headrace::gateway {
namespace {

TEST(GatewayMetrics, RatiosAreActualTokensDividedByExpectedTokens) {
  TestGateway t;
  t.AddEngine("a10");
  t.AddProfile("a10", 10);
  t.Start();
  // With a limit of two tokens no more than two are expected.
  t.Chat(ChatBody(2, false), {"x-headrace-output-tokens: 1"});
  // The ratio of prompts is the last that is observed of a request.
  ASSERT_TRUE(Eventually([&] { return t.Metric("headrace_prompt_tokens_ratio_count") == 1; }));
  EXPECT_EQ(t.Metric("headrace_output_length_ratio_count"), 1);
  EXPECT_EQ(t.Metric("headrace_output_length_ratio_sum"), 0.5);
}

TEST(GatewayMetrics, ResponseThatComesAtOnceHasNoTimeBetweenItsTokens) {
  TestGateway t;
  t.AddEngine("a10");
  t.Start();
  t.Chat(ChatBody(20, false), {"x-headrace-output-tokens: 20"});
  // Long enough not to arrive in one piece.
  t.Chat(ChatBody(1000, true), {"x-headrace-output-tokens: 1000"});
  ASSERT_TRUE(Eventually([&] { return t.Metric("headrace_prompt_tokens_ratio_count") == 2; }));
  EXPECT_EQ(t.Metric("headrace_e2e_seconds_count"), 2);
  EXPECT_EQ(t.Metric("headrace_tpot_seconds_count"), 1);
}

TEST(GatewayMetrics, NothingIsLearnedFromAResponseWithoutUsage) {
  TestGateway t;
  OneResponseEngine engine("HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{\"choices\":[]}");
  t.AddEndpoint("a10", engine.address());
  t.Start();
  EXPECT_EQ(t.Chat(ChatBody(20, false)).status, 200);
  ASSERT_TRUE(Eventually([&] { return t.Metric("headrace_e2e_seconds_count") == 1; }));
  EXPECT_EQ(t.Status().learned_lengths, 0);
  EXPECT_EQ(t.Metric("headrace_output_length_ratio_count"), 0);
  EXPECT_EQ(t.Metric("headrace_prompt_tokens_ratio_count"), 0);
}

TEST(GatewayMetrics, RequestsThatFindNoModelAreCountedByStatus) {
  TestGateway t;
  t.config.limits.body = 10'000;
  t.AddEngine("a10");
  t.Start();
  t.Chat("{");
  t.Chat(R"({"model":"gpt-9","messages":[]})");
  Get(t.address(), "/v1/models/gpt-9");
  t.Chat(std::string(20'000, ' '));
  const auto count = [&](const std::string& status) {
    return t.Metric("headrace_invalid_requests_total{status=\"" + status);
  };
  EXPECT_TRUE(
      Eventually([&] { return count("400") == 1 && count("404") == 2 && count("413") == 1; }));
  EXPECT_EQ(t.Metric("headrace_requests_total"), 0);
}

TEST(GatewayMetrics, ProcessAndSchedulerAreMeasured) {
  TestGateway t;
  t.AddEngine("a10");
  t.Start();
  net::RawPeer idle(t.address());
  t.Chat(ChatBody(5, false));
  EXPECT_EQ(t.Metric("headrace_info"), 1);
  EXPECT_TRUE(Eventually([&] { return t.Metric("headrace_client_connections") == 1; }));
  // An arrival and an end.
  EXPECT_TRUE(Eventually([&] { return t.Metric("headrace_decision_seconds_count") >= 2; }));
  EXPECT_TRUE(std::isnan(t.Metric("headrace_profile_age_seconds")));
}

TEST(GatewayMetrics, RequestThatNoEndpointTookWasServedByNoPolicy) {
  TestGateway t;
  t.config.health.interval = 3600;  // Only the data path finds out.
  net::RawListener dead;
  t.AddEndpoint("a10", dead.address().ToString());
  dead.Close();
  t.Start();
  const HttpResponse response = t.Chat(ChatBody(5, false));
  EXPECT_EQ(response.status, 503);
  EXPECT_EQ(response.Header("target-pod"), "");
  EXPECT_TRUE(Eventually([&] {
    return t.Metric(
               R"(headrace_requests_total{model="llama2-7b",outcome="refused",policy="none")") == 1;
  }));
  EXPECT_EQ(t.Metric("headrace_fallback_total"), 0);
  EXPECT_EQ(t.Metric("headrace_queue_seconds_count"), 0);
}

TEST(GatewayLog, SaysWhenAnEndpointGoesDown) {
  TestGateway t;
  t.AddEngine("a10");
  t.Start();
  const std::string address = t.engines[0]->address().ToString();
  t.engines[0]->Stop();
  EXPECT_TRUE(Eventually([&] {
    return t.Said("endpoint " + address + " of llama2-7b/a10 is down: connection refused");
  }));
}

TEST(GatewayLog, EndpointThatRespondsToProbesWithARedirectIsDown) {
  TestGateway t;
  t.config.health.path = "/elsewhere";
  net::IoThreads threads(1);
  const auto engine = *net::HttpServer::Listen(threads, net::AnyLoopbackPort(), {},
                                               [](net::HttpExchange& exchange) -> net::Task<void> {
                                                 const net::ResponseHead head(302);
                                                 co_await exchange.Respond(head, "");
                                               });
  t.AddEndpoint("a10", engine->address().ToString());
  t.Start();
  EXPECT_TRUE(Eventually([&] { return t.Said("/elsewhere responds with status 302"); }));
  EXPECT_FALSE(t.Status().deployments[0].endpoints[0].up);
}

}  // namespace
}  // namespace headrace::gateway
