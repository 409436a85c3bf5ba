// Every end that a request can have, driven by a shell in memory: what any transport can build on.
#include "serving/served_request.h"

#include <gmock/gmock.h>

#include "serving/test_served_request.h"

namespace headrace::serving {
namespace {

using telemetry::Outcome;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// Little's law that writes down what it hears of tokens.
class ListeningLoad final : public fleet::LoadModel {
 public:
  struct Heard {
    int first_tokens = 0;
    std::vector<Tokens> generated;
  };
  explicit ListeningLoad(Heard& heard) : heard_(heard) {}

  std::unique_ptr<fleet::EndpointLoad> Join(const fleet::Deployment& deployment,
                                            const fleet::Endpoint& endpoint) const override {
    return std::make_unique<Listener>(law_.Join(deployment, endpoint), heard_);
  }
  std::optional<fleet::Load> Share(const profile::GpuProfile& profile,
                                   profile::ProfileCell cell) const override {
    return law_.Share(profile, cell);
  }
  fleet::Load HighestOrderWithRoom(fleet::Load share) const override {
    return law_.HighestOrderWithRoom(share);
  }

 private:
  class Listener final : public fleet::EndpointLoad {
   public:
    Listener(std::unique_ptr<fleet::EndpointLoad> law, Heard& heard)
        : law_(std::move(law)), heard_(heard) {}
    fleet::Fit Assess(const fleet::Demand& demand, Seconds now) const override {
      return law_->Assess(demand, now);
    }
    fleet::Resident Start(const fleet::Demand& demand, Seconds now) override {
      return law_->Start(demand, now);
    }
    void FirstToken(fleet::Resident /*resident*/, Seconds /*now*/) override {
      ++heard_.first_tokens;
    }
    void Progress(fleet::Resident /*resident*/, Tokens generated, Seconds /*now*/) override {
      heard_.generated.push_back(generated);
    }
    void End(fleet::Resident resident, const fleet::Completion& completion, Seconds now) override {
      law_->End(resident, completion, now);
    }
    fleet::Load Order() const override { return law_->Order(); }

   private:
    std::unique_ptr<fleet::EndpointLoad> law_;
    Heard& heard_;
  };

  fleet::LittlesLaw law_;
  Heard& heard_;
};

// --- Served

TEST_F(ServedRequestTest, CompletedAtOnce) {
  exchange_->Send(Chat(false));
  EXPECT_EQ(exchange_->endpoint(), kEngine);
  EXPECT_EQ(exchange_->sent(), Chat(false));
  serving_->executor.Advance(2);
  exchange_->RespondJson(200, kAnswer);
  EXPECT_EQ(exchange_->received(), kAnswer);
  EXPECT_TRUE(exchange_->request().ended());
  const FinishedRequest finished = Ended(Outcome::kCompleted);
  EXPECT_EQ(ended_at_, kEngine);
  EXPECT_EQ(finished.policy, "slo");
  EXPECT_TRUE(finished.counted);
  EXPECT_EQ(finished.latency.prompt_tokens, 12);
  EXPECT_EQ(finished.latency.output_tokens, 3);
  EXPECT_EQ(finished.latency.e2e, 2);
  EXPECT_FALSE(finished.latency.ttft) << "it came as a whole";
  EXPECT_EQ(finished.slo.e2e, 100);
  EXPECT_GT(finished.expected_output_tokens, 0);
  EXPECT_EQ(serving_->router().Status().learned_lengths, 1);
}

TEST_F(ServedRequestTest, CompletedAsAStream) {
  exchange_->Send(Chat(true));
  EXPECT_THAT(exchange_->sent(), HasSubstr("include_usage"));
  exchange_->Head(200, "text/event-stream; charset=utf-8");
  EXPECT_TRUE(exchange_->request().event_stream());
  serving_->executor.Advance(1);
  exchange_->Bytes(Token("De"));
  serving_->executor.Advance(1);
  exchange_->Bytes(Token("ep."));
  exchange_->Bytes(std::string(kUsage) + std::string(kDone));
  exchange_->End();
  EXPECT_EQ(exchange_->received(), Token("De") + Token("ep.") + std::string(kDone));
  const FinishedRequest finished = Ended(Outcome::kCompleted);
  EXPECT_EQ(finished.latency.ttft, 1);
  EXPECT_EQ(finished.latency.e2e, 2);
  EXPECT_EQ(finished.latency.output_tokens, 2);
  EXPECT_TRUE(finished.MetSlo());
}

TEST_F(ServedRequestTest, WhatWasPredictedIsHeldAgainstWhatCame) {
  exchange_->Send(Chat(true), {{"routing-strategy", "slo-headroom"}, {"x-slo-ttft-ms", "500"}});
  exchange_->Head(200, "text/event-stream");
  serving_->executor.Advance(1);
  exchange_->Bytes(Token("De"));
  serving_->executor.Advance(1);
  exchange_->Bytes(Token("ep.") + std::string(kUsage) + std::string(kDone));
  exchange_->End();
  const FinishedRequest finished = Ended(Outcome::kCompleted);
  ASSERT_TRUE(finished.outlook);
  EXPECT_GT(finished.PredictedTtft(), 0);
  EXPECT_NEAR(finished.PredictedE2e(), finished.PredictedTtft() + finished.outlook->pace, 1e-9)
      << "of two tokens";
  EXPECT_EQ(Metric("headrace_ttft_ratio_count"), 1);
  EXPECT_EQ(Metric("headrace_e2e_ratio_count"), 1);
  EXPECT_EQ(Metric("headrace_miss_probability_count", "slo=\"missed\""), 1);
  EXPECT_EQ(Metric("headrace_miss_probability_count", "slo=\"attained\""), 0);
}

TEST_F(ServedRequestTest, NothingIsHeldAgainstAPolicyThatPredictsNothing) {
  exchange_->Send(Chat(false));
  exchange_->RespondJson(200, kAnswer);
  EXPECT_FALSE(Ended(Outcome::kCompleted).outlook);
  EXPECT_EQ(Metric("headrace_e2e_ratio_count"), 0);
}

TEST_F(ServedRequestTest, ExpectationsOfManyChoicesDoNotOverflow) {
  exchange_->Send(R"({"model":"llama","messages":[],"n":1048576,"max_tokens":2147483647})");
  exchange_->Leave();
  const FinishedRequest finished = Ended(Outcome::kCancelled);
  EXPECT_GE(finished.expected_output_tokens, 0);
}

TEST_F(ServedRequestTest, OfAnyNameOfThePoolGoesToItsOneScheduler) {
  Occupy();
  exchange_->Send(Chat(false, "llama-lora"));
  EXPECT_EQ(exchange_->endpoint(), "") << "the endpoint has one load, whatever the name";
  running_->RespondJson(200, kAnswer);
  serving_->executor.Run();
  EXPECT_EQ(exchange_->endpoint(), kEngine);
  EXPECT_THAT(exchange_->sent(), HasSubstr(R"("model":"llama",)")) << "as the engine knows it";
  exchange_->RespondJson(200, kAnswer);
  EXPECT_EQ(Ended(Outcome::kCompleted).pool, "llama");
}

// --- Progress

TEST_F(ServedRequestTest, TheLoadModelHearsOfTheFirstTokenAndOfProgress) {
  ListeningLoad::Heard heard;
  exchange_.reset();  // Before what it is served with.
  serving_ = std::make_unique<FakeServing>(scheduler::SchedulerOptions{}, "slo",
                                           std::make_unique<ListeningLoad>(heard));
  serving_->SetEndpoints({kEngine});
  exchange_ = std::make_unique<FakeExchange>(*serving_);
  exchange_->Send(Chat(true));
  exchange_->Head(200, "text/event-stream");
  serving_->executor.Advance(1);
  EXPECT_EQ(heard.first_tokens, 0);
  exchange_->Bytes(Token("a"));
  serving_->executor.Advance(ProgressBatch::kInterval);
  exchange_->Bytes(Token("b"));
  exchange_->Bytes(Token("c"));
  serving_->executor.Advance(ProgressBatch::kInterval);
  serving_->executor.Advance(1);
  EXPECT_EQ(heard.first_tokens, 1);
  EXPECT_THAT(heard.generated, ElementsAre(1, 3));
  exchange_->Bytes(kDone);
  exchange_->End();
  Ended(Outcome::kCompleted);
}

TEST_F(ServedRequestTest, ATokenCostsNoSchedulerEvent) {
  serving_->SetProfile(100);
  constexpr int kStreams = 20;
  constexpr int kTokens = 50;
  std::vector<std::unique_ptr<FakeExchange>> streams;
  for (int i = 0; i < kStreams; ++i) {
    streams.push_back(std::make_unique<FakeExchange>(*serving_));
    streams.back()->Send(Chat(true));
    streams.back()->Head(200, "text/event-stream");
  }
  const double before = serving_->RouterEvents();
  // A second of streams: 20 tokens, one per stream, every 20 ms.
  for (int token = 0; token < kTokens; ++token) {
    for (const auto& stream : streams) stream->Bytes(Token("x"));
    serving_->executor.Advance(0.02);
  }
  const double events = serving_->RouterEvents() - before;
  EXPECT_GE(events, 5);
  EXPECT_LE(events, 10) << "for " << kStreams * kTokens << " tokens";
  streams.clear();
  serving_->executor.Advance(1);
  EXPECT_EQ(serving_->RouterEvents() - before - events, kStreams)
      << "what has ended is not reported";
  EXPECT_TRUE(serving_->Idle());
}

// --- The endpoint fails

TEST_F(ServedRequestTest, AStreamThatIsCutOff) {
  exchange_->Send(Chat(true));
  exchange_->Head(200, "text/event-stream");
  exchange_->Bytes(Token("De"));
  exchange_->Fail(fleet::EngineFault::kCut);
  EXPECT_EQ(exchange_->status(), 502);
  EXPECT_THAT(exchange_->message(), AllOf(HasSubstr(kEngine), HasSubstr("it broke")));
  Ended(Outcome::kFailed);
  EXPECT_EQ(ended_at_, kEngine);
}

TEST_F(ServedRequestTest, TimedOutAtTheEngine) {
  exchange_->Send(Chat(false));
  exchange_->Fail(fleet::EngineFault::kTimeout);
  EXPECT_EQ(exchange_->status(), 504);
  EXPECT_EQ(exchange_->Header("target-pod"), kEngine);
  Ended(Outcome::kTimedOut);
}

TEST_F(ServedRequestTest, AConnectionThatFailsIsServedElsewhere) {
  serving_->SetEndpoints({kEngine, kOther});
  exchange_->Send(Chat(false));
  const std::string first = exchange_->endpoint();
  exchange_->RefuseConnection();
  EXPECT_NE(exchange_->endpoint(), first);
  EXPECT_NE(exchange_->endpoint(), "");
  EXPECT_EQ(exchange_->status(), 0);
  exchange_->RespondJson(200, kAnswer);
  Ended(Outcome::kCompleted);
  EXPECT_NE(ended_at_, first);
  int up = 0;
  const RouterStatus status = serving_->router().Status();
  for (const auto& endpoint : status.deployments[0].endpoints) up += endpoint.up ? 1 : 0;
  EXPECT_EQ(up, 1);
}

TEST_F(ServedRequestTest, ConnectionsThatFailThreeTimes) {
  serving_->SetEndpoints({kEngine, kOther, "127.0.0.1:9003", "127.0.0.1:9004"});
  exchange_->Send(Chat(false));
  for (int i = 0; i < 3; ++i) {
    ASSERT_NE(exchange_->endpoint(), "");
    EXPECT_EQ(exchange_->status(), 0);
    exchange_->RefuseConnection();
  }
  EXPECT_EQ(exchange_->status(), 502);
  Ended(Outcome::kFailed);
}

TEST_F(ServedRequestTest, AConnectionThatFailsWithNoOtherEndpoint) {
  exchange_->Send(Chat(false));
  exchange_->RefuseConnection();
  EXPECT_EQ(exchange_->status(), 503);
  const FinishedRequest finished = Ended(Outcome::kRefused);
  EXPECT_EQ(finished.policy, "");
  EXPECT_EQ(ended_at_, "");
}

// --- Refused

TEST_F(ServedRequestTest, RefusedBecauseNoEndpointIsUp) {
  serving_->router().SetUp(*serving_->router().Endpoints()[0], false, "it is down");
  exchange_->Send(Chat(false));
  EXPECT_EQ(exchange_->status(), 503);
  EXPECT_EQ(exchange_->Header("x-error-no-model-backends"), "no_endpoint");
  EXPECT_EQ(Ended(Outcome::kRefused).refused, scheduler::RefusalReason::kNoEndpoint);
}

TEST_F(ServedRequestTest, RefusedBecauseTheQueueIsFull) {
  Use({.max_queue_length = 0});
  Occupy();
  exchange_->Send(Chat(false));
  EXPECT_EQ(exchange_->status(), 429);
  EXPECT_EQ(exchange_->code(), "queue_full");
  EXPECT_THAT(exchange_->message(), HasSubstr("(0 requests are waiting)"));
  EXPECT_NE(exchange_->Header("retry-after"), "");
  EXPECT_EQ(Ended(Outcome::kRefused).refused, scheduler::RefusalReason::kQueueFull);
}

TEST_F(ServedRequestTest, RefusedBecauseNoGpuTypeCanMeetItsSlo) {
  exchange_->Send(Chat(false), {{"x-slo-e2e-ms", "1"}});
  EXPECT_EQ(exchange_->status(), 429);
  EXPECT_EQ(exchange_->Header("x-error-routing"), "slo_unattainable");
  EXPECT_EQ(exchange_->Header("x-should-retry"), "false");
  EXPECT_THAT(exchange_->message(),
              AllOf(HasSubstr("a request of at least "), HasSubstr("a10: expects "),
                    HasSubstr(" ms of 1 ms allowed")));
  const FinishedRequest finished = Ended(Outcome::kRefused);
  EXPECT_EQ(finished.refused, scheduler::RefusalReason::kSloUnattainable);
  EXPECT_TRUE(finished.CountsForSlo());
  EXPECT_FALSE(finished.MetSlo());
}

TEST_F(ServedRequestTest, RoutedThoughAFullGpuWouldBeTooLate) {
  exchange_->Send(Chat(false),
                  {{"x-slo-e2e-ms", "500"}});  // The profile's 1000 ms are a full one's.
  EXPECT_EQ(exchange_->endpoint(), kEngine);
}

TEST_F(ServedRequestTest, ItsTimePerOutputTokenCountsForAllItsOutput) {
  exchange_->Send(Chat(false), {{"x-slo-ntpot-ms", "1"}});
  EXPECT_EQ(exchange_->status(), 429);
  EXPECT_THAT(exchange_->message(), HasSubstr(" ms of 1 ms allowed"));
}

TEST_F(ServedRequestTest, RefusedAtTheDeadlineOfItsSlo) {
  Occupy();
  exchange_->Send(Chat(false), {{"x-slo-e2e-ms", "3000"}});
  serving_->executor.Advance(1.5);
  EXPECT_EQ(exchange_->status(), 0);
  serving_->executor.Advance(1.5);
  EXPECT_EQ(exchange_->status(), 429);
  EXPECT_EQ(exchange_->code(), "slo_deadline");
  EXPECT_THAT(exchange_->message(), HasSubstr("after waiting 3000 ms"));
  EXPECT_EQ(Ended(Outcome::kRefused).queued, 3);
}

TEST_F(ServedRequestTest, RefusedAfterTheLongestWait) {
  Use({.queue_timeout = 5});
  Occupy();
  exchange_->Send(Chat(false));
  serving_->executor.Advance(6);
  EXPECT_EQ(exchange_->status(), 429);
  EXPECT_EQ(exchange_->code(), "queue_timeout");
  EXPECT_THAT(exchange_->message(), HasSubstr("within 5000 ms"));
  EXPECT_EQ(Ended(Outcome::kRefused).refused, scheduler::RefusalReason::kQueueTimeout);
}

TEST_F(ServedRequestTest, TimedOutWhileItWaits) {
  Use({.queue_timeout = 10'000});
  serving_->SetProfile(1, /*e2e_slo=*/10'000);
  Occupy();
  exchange_->Send(Chat(false));
  exchange_->WaitTooLong();
  EXPECT_EQ(exchange_->status(), 504);
  EXPECT_THAT(exchange_->message(), HasSubstr("(600 s)"));
  const FinishedRequest finished = Ended(Outcome::kTimedOut);
  EXPECT_EQ(finished.queued, 600);
  EXPECT_EQ(ended_at_, "");
}

// --- The client leaves

TEST_F(ServedRequestTest, LeavesWhileItWaits) {
  Occupy();
  exchange_->Send(Chat(false));
  serving_->executor.Advance(1);
  exchange_->Leave();
  EXPECT_EQ(serving_->router().Status().waiting, 0) << "at once";
  const FinishedRequest finished = Ended(Outcome::kCancelled);
  EXPECT_EQ(finished.queued, 1);
  EXPECT_GT(finished.expected_output_tokens, 0);
  EXPECT_FALSE(finished.CountsForSlo());
}

TEST_F(ServedRequestTest, LeavesWhileItsDispatchIsOnItsWay) {
  Occupy();
  exchange_->Send(Chat(false));
  running_->RespondJson(200, kAnswer);
  EXPECT_EQ(serving_->router().Status().running, 1) << "it was dispatched";
  EXPECT_EQ(exchange_->endpoint(), "") << "and does not know yet";
  exchange_->Leave();
  EXPECT_EQ(serving_->router().Status().running, 0);
  serving_->executor.Run();
  EXPECT_EQ(exchange_->endpoint(), "");
  Ended(Outcome::kCancelled);
}

TEST_F(ServedRequestTest, IsDestroyedWhileItsDispatchIsOnItsWay) {
  Occupy();
  exchange_->Send(Chat(false));
  running_->RespondJson(200, kAnswer);
  Ended(Outcome::kCancelled);
}

TEST_F(ServedRequestTest, LeavesWhileItsRefusalIsOnItsWay) {
  Occupy();
  exchange_->Send(Chat(false));
  serving_->router().SetUp(*serving_->router().Endpoints()[0], false, "it is down");
  EXPECT_EQ(serving_->router().Status().waiting, 0);
  exchange_->Leave();
  serving_->executor.Run();
  EXPECT_EQ(exchange_->status(), 0);
  EXPECT_EQ(Ended(Outcome::kCancelled).refused, std::nullopt);
}

TEST_F(ServedRequestTest, LeavesInMidResponse) {
  exchange_->Send(Chat(true));
  exchange_->Head(200, "text/event-stream");
  exchange_->Bytes(Token("De"));
  exchange_->Leave();
  EXPECT_EQ(serving_->router().Status().running, 0) << "at once";
  // What the connection to the engine does then changes nothing.
  exchange_->Fail(fleet::EngineFault::kCut);
  Ended(Outcome::kCancelled);
  EXPECT_EQ(ended_at_, kEngine);
}

TEST_F(ServedRequestTest, LeavesWhenTheResponseIsComplete) {
  exchange_->Send(Chat(false));
  exchange_->RespondJson(200, kAnswer);
  exchange_->Leave();
  Ended(Outcome::kCompleted);
}

TEST_F(ServedRequestTest, LeavesWhileAConnectionIsMade) {
  exchange_->Send(Chat(false));
  exchange_->Leave();
  exchange_->RefuseConnection();
  EXPECT_EQ(exchange_->status(), 0);
  EXPECT_FALSE(serving_->router().AnyUp()) << "what was found out about the endpoint counts";
  Ended(Outcome::kCancelled);
}

// --- Never served

TEST_F(ServedRequestTest, InvalidRequestsReachNoPool) {
  const auto send = [&](const std::string& body, const FakeExchange::Headers& headers = {}) {
    FakeExchange exchange(*serving_);
    exchange.Send(body, headers);
    return exchange.status();
  };
  EXPECT_EQ(send("{"), 400);
  EXPECT_EQ(send(R"({"messages":[]})"), 400);
  EXPECT_EQ(send(Chat(false, "gpt-9")), 404);
  EXPECT_EQ(send(Chat(false), {{"routing-strategy", "fastest"}}), 400);
  EXPECT_EQ(send(Chat(false), {{"x-slo-ttft-ms", "soon"}}), 400);
  EXPECT_THAT(serving_->heard.invalid, ElementsAre(400, 400, 404, 400, 400));
  EXPECT_EQ(serving_->heard.arrived, 0);
  EXPECT_THAT(serving_->heard.finished, IsEmpty());
  EXPECT_TRUE(serving_->Idle());
}

}  // namespace
}  // namespace headrace::serving
