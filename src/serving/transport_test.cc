// Requests whose transport is a proxy of its own: it offers some endpoints, tries others by itself,
// and says which one served.
#include <gmock/gmock.h>

#include <optional>
#include <string>
#include <vector>

#include "serving/request_history.h"
#include "serving/test_served_request.h"

namespace headrace::serving {
namespace {

using telemetry::Outcome;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr char kThird[] = "127.0.0.2:9001";

class TransportTest : public testing::Test {
 protected:
  TransportTest() {
    serving_.context.observers.push_back(&history_);
    serving_.SetEndpoints({kEngine, kOther, kThird});
  }

  FakeExchange& Sent() {
    exchange_->Send(Chat(false));
    return *exchange_;
  }
  // Ends it. Nothing is left behind.
  FinishedRequest End() {
    exchange_.reset();
    serving_.executor.Run();
    EXPECT_TRUE(serving_.Idle());
    EXPECT_EQ(serving_.heard.finished.size(), 1U);
    return serving_.heard.finished.back();
  }
  const RouterStatus::EndpointStatus& At(const std::string& address) {
    status_ = serving_.router().Status();
    for (const auto& endpoint : status_.deployments[0].endpoints) {
      if (endpoint.address == address) return endpoint;
    }
    ADD_FAILURE() << address;
    return status_.deployments[0].endpoints[0];
  }

  RequestHistory history_;
  FakeServing serving_{{}, "least-request"};
  RouterStatus status_;
  std::optional<FakeExchange> exchange_{std::in_place, serving_};
};

TEST_F(TransportTest, OffersSomeEndpoints) {
  exchange_->request().LimitTo({"127.0.0.9:1", kOther});
  EXPECT_EQ(Sent().endpoint(), kOther);
  exchange_->RespondJson(200, kAnswer);
  EXPECT_EQ(End().outcome, Outcome::kCompleted);
}

TEST_F(TransportTest, OffersAllEndpointsOfAHost) {
  exchange_->request().LimitTo({"127.0.0.2"});
  EXPECT_EQ(Sent().endpoint(), kThird);
}

TEST_F(TransportTest, OffersNothingThatIsHere) {
  for (const std::vector<std::string>& offered :
       {std::vector<std::string>{}, {"127.0.0.9:1"}, {""}, {"127.0.0.1:900"}}) {
    FakeExchange exchange(serving_);
    exchange.request().LimitTo(offered);
    exchange.Send(Chat(false));
    EXPECT_EQ(exchange.status(), 503);
    EXPECT_EQ(exchange.code(), "no_endpoint");
    EXPECT_EQ(exchange.message(),
              "None of the endpoints that the proxy offers for this request serves model 'llama'.");
    EXPECT_EQ(exchange.Header("retry-after"), "1");
  }
}

TEST_F(TransportTest, OffersOneThatIsDown) {
  for (const auto& endpoint : serving_.router().Endpoints()) {
    if (endpoint->address == kOther) serving_.router().SetUp(*endpoint, false, "broken");
  }
  exchange_->request().LimitTo({kOther});
  EXPECT_EQ(Sent().message(), "No endpoint of model 'llama' that the proxy offers is up.");
  EXPECT_EQ(exchange_->status(), 503);
  EXPECT_EQ(End().outcome, Outcome::kRefused);
}

TEST_F(TransportTest, GetsFallbacks) {
  exchange_->request().WantFallbacks(2);
  EXPECT_EQ(Sent().endpoint(), kEngine);
  std::vector<std::string> addresses;
  for (const auto& endpoint : exchange_->request().fallbacks()) {
    addresses.push_back(endpoint->address);
  }
  EXPECT_THAT(addresses, ElementsAre(kOther, kThird));
  FakeExchange unasked(serving_);
  unasked.Send(Chat(false));
  EXPECT_THAT(unasked.request().fallbacks(), IsEmpty());
}

TEST_F(TransportTest, TriesAnotherEndpointByItself) {
  EXPECT_EQ(Sent().endpoint(), kEngine);
  serving_.executor.Advance(2);
  exchange_->request().ServedBy(kThird);
  EXPECT_EQ(At(kEngine).in_flight, 0);
  EXPECT_EQ(At(kEngine).ejection.failures, 1);
  EXPECT_EQ(At(kThird).in_flight, 1);
  exchange_->request().ServedBy(kThird);
  EXPECT_EQ(At(kThird).in_flight, 1) << "said twice";
  EXPECT_EQ(At(kThird).ejection.failures, 0);
  exchange_->RespondJson(200, kAnswer);
  EXPECT_EQ(At(kThird).in_flight, 0);

  const FinishedRequest finished = End();
  EXPECT_EQ(serving_.heard.endpoints[0], kThird);
  EXPECT_EQ(finished.outcome, Outcome::kCompleted);
  ASSERT_EQ(finished.failed_tries.size(), 1U);
  EXPECT_EQ(finished.failed_tries[0].address, kEngine);
  EXPECT_EQ(finished.failed_tries[0].took, 2);
  EXPECT_EQ(finished.policy, "least-request");
  EXPECT_THAT(history_.Find("request")->Why(),
              HasSubstr(": the proxy sent it to another endpoint. The proxy chose where"));
  EXPECT_EQ(serving_.router().Status().learned_lengths, 1);
}

TEST_F(TransportTest, TriesAnEndpointThatHasLeftTheFleet) {
  EXPECT_EQ(Sent().endpoint(), kEngine);
  serving_.SetEndpoints({kEngine, kOther});
  exchange_->request().ServedBy(kThird);
  EXPECT_EQ(At(kEngine).in_flight, 0);
  EXPECT_EQ(At(kEngine).ejection.failures, 1);
  EXPECT_FALSE(exchange_->request().MayRetry(fleet::EngineFault::kConnect)) << "it is elsewhere";
  exchange_->RespondJson(200, kAnswer);
  EXPECT_EQ(exchange_->received(), kAnswer);
  EXPECT_EQ(End().outcome, Outcome::kCompleted);
  EXPECT_EQ(serving_.heard.endpoints[0], kThird) << "the client is told who serves it";
}

TEST_F(TransportTest, SaysWhoServesWhenItsEndpointHasLeft) {
  EXPECT_EQ(Sent().endpoint(), kEngine);
  serving_.SetEndpoints({kOther});
  exchange_->request().ServedBy(kEngine);
  exchange_->request().ServedBy(kOther);
  EXPECT_EQ(At(kOther).in_flight, 1);
  exchange_->RespondJson(200, kAnswer);
  EXPECT_EQ(End().outcome, Outcome::kCompleted);
}

TEST_F(TransportTest, ShowsNothingOfTheAnswer) {
  discovery::DiscoveredDeployment deployment{"a10", 512, {}};
  deployment.stream_options = true;
  deployment.endpoints.push_back(
      {kEngine, *system::Resolve(*system::ParseHostPort(std::string_view(kEngine)))});
  serving_.router().UpdateFleet({deployment});
  FakeExchange shown(serving_);
  shown.Send(Chat(true));
  EXPECT_THAT(shown.sent(), HasSubstr("include_usage"));
  exchange_->request().WillBeUnread();
  exchange_->Send(Chat(true));
  EXPECT_EQ(exchange_->sent(), Chat(true)) << "nobody could hide the usage";
}

TEST_F(TransportTest, SaysNothingOfARequestThatHasEnded) {
  Sent();
  exchange_->Leave();
  exchange_->request().ServedBy(kOther);
  EXPECT_EQ(At(kOther).in_flight, 0);
  EXPECT_EQ(End().outcome, Outcome::kCancelled);
}

TEST_F(TransportTest, MayLoseTheSecondEndpointToo) {
  Sent();
  exchange_->request().ServedBy(kThird);
  exchange_->Fail(fleet::EngineFault::kClosed);
  EXPECT_EQ(exchange_->endpoint(), kOther) << "the third";
  exchange_->RespondJson(200, kAnswer);
  EXPECT_EQ(End().failed_tries.size(), 2U);
}

}  // namespace
}  // namespace headrace::serving
