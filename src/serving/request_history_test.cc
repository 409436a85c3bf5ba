#include "serving/request_history.h"

#include <gtest/gtest.h>

#include "serving/test_shell.h"

namespace headrace::serving {
namespace {

FinishedRequest Named(std::string_view id, Seconds arrived) {
  FinishedRequest request;
  request.request_id = id;
  request.pool = "llama";
  request.arrived = arrived;
  return request;
}

TEST(RequestHistory, ForgetsTheOldestAndFindsTheLatestOfAnId) {
  RequestHistory history;
  EXPECT_FALSE(history.Find("a"));
  history.OnFinished(Named("a", 1));
  history.OnFinished(Named("b", 2));
  history.OnFinished(Named("a", 3));
  EXPECT_EQ(history.Find("a")->request.arrived, 3);
  EXPECT_EQ(history.Find("b")->pool, "llama");
  for (std::size_t i = 0; i < RequestHistory::kMost - 1; ++i) history.OnFinished(Named("c", 4));
  EXPECT_TRUE(history.Find("a"));
  EXPECT_FALSE(history.Find("b"));
  history.OnFinished(Named("c", 5));
  EXPECT_FALSE(history.Find("a"));
}

TEST(RequestHistory, ListsTheLatestFirst) {
  RequestHistory history;
  EXPECT_TRUE(history.Latest(5).empty());
  for (const std::string_view id : {"a", "b", "c"}) history.OnFinished(Named(id, 1));
  std::string ids;
  for (const PastRequest& past : history.Latest(2)) ids += past.request_id;
  EXPECT_EQ(ids, "cb");
  EXPECT_EQ(history.Latest(RequestHistory::kMost + 1).size(), 3U);
}

TEST(RequestHistory, AnIdTakesOnlySoMuchMemory) {
  RequestHistory history;
  const std::string endless(100'000, 'x');
  history.OnFinished(Named(endless, 1));
  ASSERT_TRUE(history.Find(endless));
  EXPECT_EQ(history.Find(endless)->request_id.size(), RequestHistory::kMostIdBytes);
}

// Who is harmed is named as its client named it, and only to those who ask.
TEST(RequestHistory, NamesThoseWhomARequestWouldHaveHarmed) {
  FakeServing serving({}, "slo-headroom");
  RequestHistory history;
  serving.context.observers.push_back(&history);
  serving.SetEndpoints({"127.0.0.1:9001", "127.0.0.1:9002"});
  FakeExchange fragile(serving, "fragile");
  fragile.Send(R"({"model":"llama","prompt":"Hello","max_tokens":60,"stream":true})",
               {{"x-slo-tpot-ms", "22"}}, openai::ApiKind::kCompletions);
  const std::string where = fragile.endpoint();
  ASSERT_NE(where, "");
  const std::string long_prompt(40'000, 'x');
  const std::string body =
      R"({"model":"llama","max_tokens":30,"stream":true,"prompt":")" + long_prompt + "\"}";
  FakeExchange::Headers headers{{"x-slo-e2e-ms", "60000"}};
  for (const bool asked : {false, true}) {
    const std::string id = asked ? "asked" : "plain";
    if (asked) headers.emplace_back("x-headrace-explain", "1");
    {
      FakeExchange exchange(serving, id);
      exchange.Send(body, headers, openai::ApiKind::kCompletions);
      EXPECT_NE(exchange.endpoint(), where);
      std::string header;
      exchange.request().AddResponseHeaders([&](std::string_view name, std::string_view value) {
        if (name == "x-headrace-explain") header = value;
      });
      EXPECT_EQ(header.starts_with("queued_ms=0.000; ttft_ms="), asked) << header;
      EXPECT_EQ(header.find("127.0.0.1"), header.npos) << "clients are told no addresses";
      exchange.Leave();
    }
    const auto past = history.Find(id);
    ASSERT_TRUE(past);
    EXPECT_TRUE(past->Why().starts_with("Nowhere fewer expected broken promises (0.0"))
        << past->Why();
    EXPECT_EQ(past->request.considered.facts->options.size(), 2);
    EXPECT_EQ(past->request.considered.harmed,
              asked ? std::vector<std::string>{"fragile"} : std::vector<std::string>{});
  }
  fragile.Leave();
}

TEST(RequestHistory, RemembersWhyARequestWasRefused) {
  FakeServing serving;
  RequestHistory history;
  serving.context.observers.push_back(&history);
  {
    FakeExchange exchange(serving, "nowhere");
    exchange.Send(R"({"model":"llama","prompt":"Hello"})", {}, openai::ApiKind::kCompletions);
    EXPECT_EQ(exchange.status(), 503);
  }
  EXPECT_EQ(history.Find("nowhere")->Why(), "No endpoint of model 'llama' is up.");
  EXPECT_EQ(history.Find("nowhere")->address, "");
}

TEST(RequestControls, ARefusalIsExplainedToo) {
  FakeServing serving;
  for (const bool asked : {false, true}) {
    FakeExchange exchange(serving);
    FakeExchange::Headers headers;
    if (asked) headers.emplace_back("x-headrace-explain", "1");
    exchange.Send(R"({"model":"llama","prompt":"Hello"})", headers, openai::ApiKind::kCompletions);
    EXPECT_EQ(exchange.Header("x-headrace-explain"),
              asked ? "queued_ms=0.000; reason=no_endpoint" : "");
  }
}

// What could not be delivered says how often it was tried.
TEST(RequestControls, AFailureIsExplainedToo) {
  FakeServing serving;
  serving.SetEndpoints({"127.0.0.1:9001"});
  FakeExchange exchange(serving);
  exchange.Send(R"({"model":"llama","prompt":"Hello"})", {{"x-headrace-explain", "1"}},
                openai::ApiKind::kCompletions);
  serving.executor.Advance(0.5);
  exchange.Fail(fleet::EngineFault::kClosed);
  EXPECT_EQ(exchange.status(), 502);
  EXPECT_EQ(exchange.Header("x-headrace-explain").substr(0, 15), "queued_ms=0.000");
}

TEST(RequestControls, ExplanationsAreAskedForWithAOne) {
  FakeServing serving;
  FakeExchange exchange(serving);
  exchange.Send(R"({"model":"llama","prompt":"Hello"})", {{"x-headrace-explain", "yes"}},
                openai::ApiKind::kCompletions);
  EXPECT_EQ(exchange.status(), 400);
  EXPECT_EQ(exchange.message(),
            "x-headrace-explain is 'yes'; give 1 to have the choice of the endpoint explained.");
}

}  // namespace
}  // namespace headrace::serving
