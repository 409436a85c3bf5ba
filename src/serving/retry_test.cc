// Requests that an endpoint fails before its answer begins.
#include <gmock/gmock.h>

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "serving/request_history.h"
#include "serving/test_shell.h"

namespace headrace::serving {
namespace {

using fleet::EngineFault;
using telemetry::Outcome;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

constexpr std::string_view kChat =
    R"({"model":"llama","messages":[{"role":"user","content":"Hi"}],"max_tokens":64})";
constexpr std::string_view kAnswer =
    R"({"choices":[{"message":{"content":"Deep."}}],)"
    R"("usage":{"prompt_tokens":12,"completion_tokens":3,"total_tokens":15}})";

class RetryTest : public testing::Test {
 protected:
  RetryTest() { serving_.SetEndpoints({"127.0.0.1:9001", "127.0.0.1:9002", "127.0.0.1:9003"}); }

  std::unique_ptr<FakeExchange> Send() {
    auto exchange = std::make_unique<FakeExchange>(serving_);
    exchange->Send(std::string(kChat));
    EXPECT_NE(exchange->endpoint(), "");
    return exchange;
  }
  // Ends it. Nothing is left behind.
  FinishedRequest End(std::unique_ptr<FakeExchange>& exchange) {
    exchange.reset();
    serving_.executor.Run();
    EXPECT_TRUE(serving_.Idle());
    EXPECT_EQ(serving_.pools.Find("llama")->retries().taken(), 0);
    EXPECT_EQ(serving_.heard.finished.size(), 1U);
    return serving_.heard.finished.back();
  }
  double Metric(const std::string& series) const {
    const std::string text = serving_.registry.Text();
    const std::size_t at = text.find("\n" + series + " ");
    return at == text.npos ? 0 : std::stod(text.substr(text.find(' ', at)));
  }

  FakeServing serving_{{}, "least-request"};
};

TEST_F(RetryTest, GoesToAnotherEndpointAndCountsOnce) {
  RequestHistory history;
  serving_.context.observers.push_back(&history);
  auto exchange = Send();
  const std::string first = exchange->endpoint();
  serving_.executor.Advance(3);
  exchange->Fail(EngineFault::kClosed);
  EXPECT_EQ(exchange->status(), 0) << "the client hears nothing of it";
  const std::string second = exchange->endpoint();
  EXPECT_NE(second, first);
  serving_.executor.Advance(1);
  EXPECT_TRUE(exchange->Busy(503));
  EXPECT_EQ(exchange->sent(), kChat) << "the same bytes";
  serving_.executor.Advance(2);
  exchange->RespondJson(200, kAnswer);
  EXPECT_EQ(exchange->received(), kAnswer);

  const FinishedRequest finished = End(exchange);
  EXPECT_EQ(finished.outcome, Outcome::kCompleted);
  EXPECT_EQ(finished.latency.e2e, 6) << "from its first arrival";
  EXPECT_EQ(finished.queued, 4) << "until it was sent to the one that served it";
  ASSERT_EQ(finished.failed_tries.size(), 2U);
  EXPECT_EQ(finished.failed_tries[0].address, first);
  EXPECT_EQ(finished.failed_tries[0].fault, EngineFault::kClosed);
  EXPECT_EQ(finished.failed_tries[0].took, 3);
  EXPECT_EQ(finished.failed_tries[1].address, second);
  EXPECT_EQ(finished.failed_tries[1].why, "status 503");
  EXPECT_EQ(finished.failed_tries[1].sent, 3);
  EXPECT_THAT(history.Find("request")->Why(),
              StartsWith("Failed at a10 " + first + ": it broke. Failed at a10 " + second +
                         ": status 503. Chosen by least-request"));
  EXPECT_EQ(serving_.heard.arrived, 1);
  EXPECT_EQ(serving_.router().Status().learned_lengths, 1);
  EXPECT_EQ(Metric(R"(headrace_retries_total{cause="closed",model="llama"})"), 1);
  EXPECT_EQ(Metric(R"(headrace_retries_total{cause="busy",model="llama"})"), 1);
  EXPECT_EQ(Metric(R"(headrace_retries_total{cause="timeout",model="llama"})"), 0);
}

TEST_F(RetryTest, WhatTheClientDidWrongIsNeverTriedAgain) {
  for (const int status : {400, 401, 404, 408, 413, 422, 500, 501}) {
    EXPECT_FALSE(Send()->Busy(status)) << status;
  }
  for (const int status : {429, 502, 503, 504}) EXPECT_TRUE(Send()->Busy(status)) << status;
}

TEST_F(RetryTest, NothingIsTriedAgainOnceItsAnswerHasBegun) {
  auto exchange = Send();
  exchange->Head(200, "text/event-stream");
  exchange->Bytes("data: {}\n\n");
  exchange->Fail(EngineFault::kCut);
  EXPECT_EQ(exchange->status(), 502);
  EXPECT_THAT(End(exchange).failed_tries, IsEmpty());
}

TEST_F(RetryTest, AHeadAloneIsNoAnswer) {
  auto exchange = Send();
  const std::string first = exchange->endpoint();
  exchange->Head(200, "text/event-stream");
  exchange->Fail(EngineFault::kTimeout);
  EXPECT_NE(exchange->endpoint(), "");
  EXPECT_NE(exchange->endpoint(), first);
  exchange->RespondJson(200, kAnswer);
  EXPECT_EQ(exchange->received(), kAnswer);
  EXPECT_EQ(End(exchange).outcome, Outcome::kCompleted);
}

TEST_F(RetryTest, TheClientSeesTheLastFailure) {
  auto exchange = Send();
  exchange->Fail(EngineFault::kClosed);
  exchange->Fail(EngineFault::kGarbled);
  const std::string last = exchange->endpoint();
  exchange->Fail(EngineFault::kTimeout);
  EXPECT_EQ(exchange->status(), 504);
  EXPECT_THAT(exchange->message(), HasSubstr(last));
  EXPECT_EQ(exchange->Header("target-pod"), last);
  const FinishedRequest finished = End(exchange);
  EXPECT_EQ(finished.outcome, Outcome::kTimedOut);
  EXPECT_EQ(finished.failed_tries.size(), 2U);
}

TEST_F(RetryTest, AsOftenAsConfigured) {
  serving_.pools.Find("llama")->retries().SetOptions({.most = 1});
  auto exchange = Send();
  EXPECT_TRUE(exchange->Busy(503));
  EXPECT_FALSE(exchange->Busy(503));
  serving_.pools.Find("llama")->retries().SetOptions({.most = 0});
  EXPECT_FALSE(Send()->Busy(503));
}

TEST_F(RetryTest, OnlyWhileAnotherEndpointIsUp) {
  serving_.SetEndpoints({"127.0.0.1:9001"});
  auto exchange = Send();
  EXPECT_FALSE(exchange->Busy(503)) << "its answer is passed on";
  exchange->Fail(EngineFault::kClosed);
  EXPECT_EQ(exchange->status(), 502);
  EXPECT_EQ(End(exchange).outcome, Outcome::kFailed);
}

TEST_F(RetryTest, NotAfterItsDeadline) {
  auto exchange = Send();
  serving_.executor.Advance(600);
  EXPECT_FALSE(exchange->Busy(503));
}

TEST_F(RetryTest, TheBudgetIsAShareOfTheRequestsUnderWay) {
  std::vector<std::unique_ptr<FakeExchange>> others;
  for (int i = 0; i < 100; ++i) others.push_back(Send());
  int retried = 0;
  for (auto& other : others) retried += other->Busy(503) ? 1 : 0;
  EXPECT_EQ(retried, 20) << "a fifth of them";
  // A retry whose answer has begun is none any more.
  others[0]->Head(200, "application/json");
  others[0]->Bytes(R"({"id":"c",)");
  EXPECT_TRUE(others[50]->Busy(503));
  EXPECT_FALSE(others[51]->Busy(503));
  // Nor does a connection that could not be made need any of it: nothing is repeated.
  const std::string endpoint = others[52]->endpoint();
  others[52]->RefuseConnection();
  EXPECT_NE(others[52]->endpoint(), endpoint);
  EXPECT_NE(others[52]->endpoint(), "");
  others.clear();
  EXPECT_EQ(serving_.pools.Find("llama")->retries().taken(), 0);
  EXPECT_GE(Metric(R"(headrace_retry_budget_exhausted_total{model="llama"})"), 79);
}

TEST_F(RetryTest, AFewMayAlwaysBeRetried) {
  serving_.pools.Find("llama")->retries().SetOptions({.budget = 0});
  std::vector<std::unique_ptr<FakeExchange>> all;
  int retried = 0;
  for (int i = 0; i < 12; ++i) {
    all.push_back(Send());
    retried += all.back()->Busy(503) ? 1 : 0;
  }
  EXPECT_EQ(retried, RetryBudget::kLeast);
}

TEST_F(RetryTest, IsRefusedWithTheFailureThatBroughtItBack) {
  serving_.router().SetOptions(
      {.policy = routing::FindPolicy("least-request"), .queue_timeout = 5});
  serving_.router().UpdateFleet(
      {{"a10",
        1,
        {{"127.0.0.1:9001", *system::Resolve(*system::ParseHostPort("127.0.0.1:9001"))},
         {"127.0.0.1:9002", *system::Resolve(*system::ParseHostPort("127.0.0.1:9002"))}}}});
  auto other = Send();
  auto exchange = Send();
  const std::string first = exchange->endpoint();
  exchange->Fail(EngineFault::kClosed);
  EXPECT_EQ(exchange->endpoint(), "") << "the other one is full: it waits";
  serving_.executor.Advance(6);
  EXPECT_EQ(exchange->status(), 502);
  EXPECT_THAT(exchange->message(), HasSubstr(first));
  other->RespondJson(200, kAnswer);
  other.reset();
  exchange.reset();
  EXPECT_TRUE(serving_.Idle());
  EXPECT_EQ(serving_.heard.finished[1].outcome, Outcome::kFailed);
  EXPECT_EQ(serving_.heard.finished[1].refused, std::nullopt);
}

TEST_F(RetryTest, ABusyEndpointGetsNothingForAsLongAsItAsks) {
  auto exchange = Send();
  const std::string busy = exchange->endpoint();
  EXPECT_TRUE(exchange->Busy(503, /*retry_after=*/30));
  exchange->RespondJson(200, kAnswer);
  End(exchange);
  for (int i = 0; i < 29; ++i) {
    EXPECT_NE(Send()->endpoint(), busy) << i;
    serving_.executor.Advance(1);
  }
  serving_.executor.Advance(1);
  std::set<std::string> used;
  std::vector<std::unique_ptr<FakeExchange>> running;
  for (int i = 0; i < 3; ++i) used.insert(running.emplace_back(Send())->endpoint());
  EXPECT_TRUE(used.contains(busy));
}

TEST_F(RetryTest, MovesOnWhenItsEndpointIsFoundDown) {
  auto exchange = Send();
  auto answering = Send();
  exchange->MovesOn();
  answering->MovesOn();
  answering->Head(200, "text/event-stream");
  answering->Bytes("data: {}\n\n");
  const std::string first = exchange->endpoint();
  const std::string other = answering->endpoint();
  for (const auto& endpoint : serving_.router().Endpoints()) {
    if (endpoint->address == first || endpoint->address == other) {
      serving_.router().SetUp(*endpoint, false, "its health check failed");
    }
  }
  serving_.executor.Run();
  EXPECT_NE(exchange->endpoint(), first);
  EXPECT_NE(exchange->endpoint(), "");
  EXPECT_EQ(answering->endpoint(), other) << "it may yet come to its end";
  exchange->RespondJson(200, kAnswer);
  answering->End();
  answering.reset();
  exchange.reset();
  EXPECT_TRUE(serving_.Idle());
}

TEST_F(RetryTest, StaysWhereAConnectionOfAnotherFailed) {
  auto exchange = Send();
  exchange->MovesOn();
  const std::string endpoint = exchange->endpoint();
  auto second = Send();
  auto third = Send();
  auto refused = Send();
  ASSERT_EQ(refused->endpoint(), endpoint);
  refused->RefuseConnection();
  serving_.executor.Run();
  EXPECT_EQ(exchange->endpoint(), endpoint);
}

TEST_F(RetryTest, LeavesWhileItWaitsForAnother) {
  auto exchange = Send();
  exchange->Fail(EngineFault::kClosed);
  exchange->Leave();
  EXPECT_EQ(End(exchange).outcome, Outcome::kCancelled);
}

}  // namespace
}  // namespace headrace::serving
