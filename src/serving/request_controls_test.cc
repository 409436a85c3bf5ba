// What clients say in headers, besides the SLO: who they are, and how much their request matters.
#include "serving/request_controls.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "serving/test_shell.h"

namespace headrace::serving {
namespace {

using Headers = FakeExchange::Headers;

class RequestControlsTest : public testing::Test {
 protected:
  RequestControlsTest() : serving({.max_queue_length = 1}, "slo-headroom") {
    serving.pools.Find("llama")->SetObjectives({{"chat", 10}, {"batch", -1}});
  }
  RequestControls Read(const Headers& headers) {
    return *ReadControls(
        [&](std::string_view name) -> std::string_view {
          const auto header =
              std::ranges::find(headers, name, [](const auto& field) { return field.first; });
          return header == headers.end() ? std::string_view() : std::string_view(header->second);
        },
        *serving.pools.Find("llama"));
  }
  int PriorityOf(const std::string& objective) {
    return Read({{"x-gateway-inference-objective", objective}}).priority;
  }

  FakeServing serving;
};

TEST_F(RequestControlsTest, TargetsMayHaveLlmDsNames) {
  const auto slo = Read({{"x-llm-d-slo-ttft-ms", "500"}, {"x-llm-d-slo-tpot-ms", "40"}}).slo;
  EXPECT_DOUBLE_EQ(*slo->ttft, 0.5);
  EXPECT_DOUBLE_EQ(*slo->tpot, 0.04);
  const auto both = Read({{"x-slo-ttft-ms", "300"}, {"x-llm-d-slo-ttft-ms", "500"}}).slo;
  EXPECT_DOUBLE_EQ(*both->ttft, 0.3);
}

TEST_F(RequestControlsTest, AnObjectiveHasItsPriorityAndAnUnknownOneNone) {
  EXPECT_EQ(PriorityOf("chat"), 10);
  EXPECT_EQ(PriorityOf("batch"), -1);
  EXPECT_EQ(PriorityOf("Chat"), 0);
  EXPECT_EQ(PriorityOf("10"), 0) << "a name, not a number";
  EXPECT_EQ(Read({}).priority, 0);
  serving.pools.Find("llama")->SetObjectives({{"chat", 3}});
  EXPECT_EQ(PriorityOf("chat"), 3);
  EXPECT_EQ(PriorityOf("batch"), 0);
}

TEST_F(RequestControlsTest, ObjectiveAndTenantMayHaveLlmDsNames) {
  EXPECT_EQ(Read({{"x-llm-d-inference-objective", "chat"}}).priority, 10);
  const Headers headers{{"x-llm-d-inference-fairness-id", "a"}};
  const auto named = Read(headers);
  EXPECT_EQ(named.tenant, Read({{"x-gateway-inference-fairness-id", "a"}}).tenant);
  EXPECT_EQ(named.tenant_name, "a");
  const auto both = Read({{"x-gateway-inference-objective", "chat"},
                          {"x-llm-d-inference-objective", "batch"},
                          {"x-gateway-inference-fairness-id", "b"},
                          {"x-llm-d-inference-fairness-id", "a"}});
  EXPECT_EQ(both.priority, -1);
  EXPECT_EQ(both.tenant, named.tenant);
}

TEST_F(RequestControlsTest, ATenantIsItsFairnessIdElseItsApiKeyElseNobody) {
  const Headers key{{"authorization", "Bearer sk-1"}};
  const Headers other{{"authorization", "Bearer sk-2"}};
  const Headers named{{"authorization", "Bearer sk-1"}, {"x-gateway-inference-fairness-id", "a"}};
  const Headers named_too{{"x-gateway-inference-fairness-id", "a"}};
  EXPECT_EQ(Read({}).tenant, scheduler::kNoTenant);
  EXPECT_NE(Read(key).tenant, scheduler::kNoTenant);
  EXPECT_NE(Read(key).tenant, Read(other).tenant);
  EXPECT_EQ(Read(named).tenant, Read(named_too).tenant);
  EXPECT_NE(Read(named).tenant, Read(key).tenant);
  EXPECT_NE(Read({{"x-gateway-inference-fairness-id", "Bearer sk-1"}}).tenant, Read(key).tenant)
      << "nobody becomes another by naming its key";
}

// As a route of the Gateway API splits traffic or renames a model.
TEST_F(RequestControlsTest, ARewrittenModelIsThatOfTheRequest) {
  serving.SetEndpoints({"127.0.0.1:9001"});
  serving.pools.Find("llama")->names().Set(
      {.aliases = {"chat-v2"}, .adapters = {"review-v1", "review-v2"}});
  serving.pools.Set(serving.pools.list());
  for (const char* const header : {"x-llm-d-model-name-rewrite", "x-gateway-model-name-rewrite"}) {
    FakeExchange exchange(serving);
    exchange.Send(R"({"model":"review","messages":[]})", {{header, "review-v2"}});
    EXPECT_EQ(exchange.endpoint(), "127.0.0.1:9001");
    EXPECT_EQ(exchange.sent(), R"({"model":"review-v2","messages":[]})");
  }
  FakeExchange none(serving);
  none.Send(R"({"messages":[]})", {{"x-gateway-model-name-rewrite", "review-v1"}});
  EXPECT_EQ(none.sent(), R"({"model":"review-v1","messages":[]})");
  FakeExchange alias(serving);
  alias.Send(R"({"model":"review-v1","messages":[]})",
             {{"x-gateway-model-name-rewrite", "chat-v2"}});
  EXPECT_EQ(alias.sent(), R"({"model":"llama","messages":[]})") << "as its engines call it";
  FakeExchange unknown(serving);
  unknown.Send(R"({"model":"llama","messages":[]})", {{"x-gateway-model-name-rewrite", "other"}});
  EXPECT_EQ(unknown.status(), 404);
  EXPECT_THAT(unknown.message(), testing::HasSubstr("other"));
}

TEST_F(RequestControlsTest, InAFullQueueTheLowerPriorityIsRefused) {
  discovery::DiscoveredDeployment deployment{"a10", 1, {}};
  deployment.endpoints.push_back(
      {"127.0.0.1:9001", *system::Resolve(*system::ParseHostPort("127.0.0.1:9001"))});
  serving.router().UpdateFleet({deployment});
  const std::string body = R"({"model":"llama","messages":[{"role":"user","content":"Hi"}]})";
  FakeExchange running(serving);
  FakeExchange batch(serving);
  FakeExchange chat(serving);
  running.Send(body);
  ASSERT_EQ(running.endpoint(), "127.0.0.1:9001");
  batch.Send(body, {{"x-gateway-inference-objective", "batch"}});
  EXPECT_EQ(batch.status(), 0) << "waits";
  chat.Send(body, {{"x-gateway-inference-objective", "chat"}});
  serving.executor.Run();
  EXPECT_EQ(batch.status(), 429);
  EXPECT_EQ(batch.code(), "queue_full");
  EXPECT_GE(std::stoi(batch.Header("retry-after")), 1);
  EXPECT_EQ(chat.status(), 0) << "waits in its place";
  running.Leave();
  serving.executor.Run();
  EXPECT_EQ(chat.endpoint(), "127.0.0.1:9001");
}

}  // namespace
}  // namespace headrace::serving
