// What clients say in headers, besides the SLO: who they are, and how much their request matters.
#include "serving/request_controls.h"

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
