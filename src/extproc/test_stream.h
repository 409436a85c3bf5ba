// For tests: one stream of Envoy's, without gRPC, and the pool that it is before.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "extproc/picked_request.h"
#include "extproc/test_envoy.h"
#include "serving/test_served_request.h"

namespace headrace::extproc {

inline constexpr Modes kFullDuplex;
inline constexpr Modes kBuffered{.request = ProcessingMode::BUFFERED,
                                 .response = ProcessingMode::BUFFERED};
inline constexpr Modes kStreamed{.request = ProcessingMode::STREAMED,
                                 .response = ProcessingMode::STREAMED};
inline constexpr Modes kStreamedAtOnce{.request = ProcessingMode::STREAMED,
                                       .response = ProcessingMode::STREAMED,
                                       .send_body_without_waiting = true};
inline constexpr Modes kHeadsOnly{.request = ProcessingMode::BUFFERED,
                                  .response = ProcessingMode::NONE};

inline const HeaderList kWhole = {{":status", "200"}, {"content-type", "application/json"}};
inline const HeaderList kEvents = {{":status", "200"}, {"content-type", "text/event-stream"}};

inline std::string StreamedIn(const ProcessingResponse& reply) {
  const auto& common =
      reply.has_request_body() ? reply.request_body().response() : reply.response_body().response();
  return common.body_mutation().streamed_response().body();
}
inline bool EndIn(const ProcessingResponse& reply) {
  const auto& common =
      reply.has_request_body() ? reply.request_body().response() : reply.response_body().response();
  return common.body_mutation().streamed_response().end_of_stream();
}

// A pool of one or more endpoints, "a10", that takes so many requests at a time.
struct Pool {
  explicit Pool(const std::vector<std::string>& endpoints = {serving::kEngine}, double fits = 1,
                const scheduler::SchedulerOptions& options = {})
      : serving(options), context{.serving = serving.context, .faults = serving.faults} {
    serving.SetEndpoints(endpoints);
    serving.SetProfile(fits);
    config.extproc.fallbacks = 2;
  }
  const serving::FinishedRequest& Last() const { return serving.heard.finished.back(); }
  std::vector<std::string> Outcomes() const {
    std::vector<std::string> outcomes;
    for (const auto& one : serving.heard.finished) outcomes.emplace_back(ToString(one.outcome));
    return outcomes;
  }

  serving::FakeServing serving;
  PickerContext context;
  config::Config config;
};

// One stream, without gRPC.
class Stream final : public Replies {
 public:
  explicit Stream(Pool& pool, const Modes& modes = kFullDuplex)
      : modes_(modes), thread_(pool.serving.executor), serving_(pool.serving) {
    thread_.SetConfig(pool.config);
    request_.emplace(pool.context, thread_, *this);
  }
  ~Stream() override { Close(); }

  void Send(const ProcessingResponse& reply) override { replies_.push_back(reply); }
  bool busy() const override { return busy_; }
  void Close(std::string_view error) override { closed_ = error.empty() ? "ok" : error; }

  // --- Envoy says

  void Say(ProcessingRequest message) { request_->OnMessage(message); }
  void Head(const HeaderList& more = {}, bool end = false) {
    Say(RequestHeaders(modes_, more, end));
  }
  // The whole request, in one piece.
  void Ask(std::string_view body, const HeaderList& more = {}) {
    Head(more);
    Say(RequestBody(body, true));
  }
  void Answer(const HeaderList& head, std::string_view body) {
    Say(ResponseHeaders(head));
    Say(ResponseBody(body, true));
  }
  // Its client has gone, or all is said.
  void Close() {
    if (!request_) return;
    request_->OnClosed();
    request_.reset();
    serving_.executor.Run();
  }
  void SetBusy(bool busy) {
    busy_ = busy;
    if (!busy) request_->OnSent();
  }

  // --- What it heard since the last call

  std::vector<ProcessingResponse> Take() { return std::exchange(replies_, {}); }
  std::vector<std::string> Kinds() const {
    std::vector<std::string> kinds;
    for (const auto& reply : replies_) {
      kinds.push_back(ProcessingResponse::descriptor()
                          ->FindFieldByNumber(static_cast<int>(reply.response_case()))
                          ->name());
    }
    return kinds;
  }
  ProcessingResponse Only() {
    const auto replies = Take();
    EXPECT_THAT(replies, testing::SizeIs(1));
    return replies.empty() ? ProcessingResponse() : replies.front();
  }
  // The bytes of all bodies in FULL_DUPLEX_STREAMED.
  std::string Text() const {
    std::string text;
    for (const auto& reply : replies_) text += StreamedIn(reply);
    return text;
  }
  std::string Destination() const {
    for (const auto& reply : replies_) {
      if (std::string place = DestinationIn(reply); !place.empty()) return place;
    }
    return "";
  }
  int Refusal() const {
    if (replies_.empty()) return 0;
    return replies_.back().immediate_response().status().code();
  }
  const std::string& closed() const { return closed_; }

 private:
  const Modes modes_;
  PickerThread thread_;
  serving::FakeServing& serving_;
  std::optional<PickedRequest> request_;
  std::vector<ProcessingResponse> replies_;
  bool busy_ = false;
  std::string closed_;
};

}  // namespace headrace::extproc
