// For tests: one request after the other, driven by a shell in memory.
#pragma once

#include <gmock/gmock.h>

#include <memory>
#include <string>
#include <string_view>

#include "serving/test_shell.h"

namespace headrace::serving {

inline constexpr char kEngine[] = "127.0.0.1:9001";
inline constexpr char kOther[] = "127.0.0.1:9002";

inline std::string Chat(bool stream, std::string_view model = "llama") {
  return R"({"model":")" + std::string(model) +
         R"(","messages":[{"role":"user","content":"How deep is the lake?"}],"max_tokens":64)" +
         (stream ? R"(,"stream":true})" : "}");
}
inline constexpr std::string_view kAnswer =
    R"({"choices":[{"message":{"content":"Deep."}}],)"
    R"("usage":{"prompt_tokens":12,"completion_tokens":3,"total_tokens":15}})";
inline std::string Token(std::string_view text) {
  return R"(data: {"choices":[{"index":0,"delta":{"content":")" + std::string(text) + "\"}}]}\n\n";
}
inline constexpr std::string_view kUsage =
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":2}}\n\n";
inline constexpr std::string_view kDone = "data: [DONE]\n\n";

class ServedRequestTest : public testing::Test {
 protected:
  // One endpoint that takes one request at a time.
  ServedRequestTest() { Use({}); }
  void Use(const scheduler::SchedulerOptions& options) {
    exchange_.reset();  // Before what it is served with.
    serving_ = std::make_unique<FakeServing>(options);
    serving_->SetEndpoints({kEngine});
    serving_->SetProfile(1);
    exchange_ = std::make_unique<FakeExchange>(*serving_);
  }
  // Takes the endpoint's only place.
  void Occupy() {
    running_ = std::make_unique<FakeExchange>(*serving_);
    running_->Send(Chat(false));
    ASSERT_EQ(running_->endpoint(), kEngine);
  }
  // Ends the exchange. Every request has then arrived once and ended once, and left nothing behind.
  FinishedRequest Ended(telemetry::Outcome outcome) {
    const std::size_t before = serving_->heard.finished.size();
    exchange_.reset();
    running_.reset();
    serving_->executor.Run();
    const HeardEnds& heard = serving_->heard;
    EXPECT_EQ(heard.arrived, static_cast<int>(heard.finished.size()));
    EXPECT_THAT(heard.invalid, testing::IsEmpty());
    EXPECT_TRUE(serving_->Idle());
    if (heard.finished.size() == before) {
      ADD_FAILURE() << "it did not end";
      return {};
    }
    EXPECT_EQ(ToString(heard.finished[before].outcome), ToString(outcome));
    ended_at_ = heard.endpoints[before];
    return heard.finished[before];
  }

  // The value of a series of the deployment that has this label; 0 before it first counts.
  double Metric(const std::string& name, const std::string& label = "") {
    const std::string text = serving_->registry.Text();
    std::size_t at = text.find(name + "{deployment=\"a10\",model=\"llama\"" +
                               (label.empty() ? "}" : "," + label));
    if (at == std::string::npos) return 0;
    return std::stod(text.substr(text.find(' ', at)));
  }

  std::unique_ptr<FakeServing> serving_;
  std::unique_ptr<FakeExchange> exchange_;
  std::unique_ptr<FakeExchange> running_;
  std::string ended_at_;  // The endpoint of the request that Ended was called for.
};

}  // namespace headrace::serving
