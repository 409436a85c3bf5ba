// For tests: serving without a transport. A hand-driven executor with a hand-turned clock, and a
// shell in memory that drives ServedRequest as the gateway's HTTP shell does.
#pragma once

#include <algorithm>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fleet/littles_law.h"
#include "scheduler/test_fleet.h"
#include "serving/gateway_metrics.h"
#include "serving/served_request.h"
#include "system/address.h"

namespace headrace::serving {

// Runs what was posted when the test says so. On the test's thread.
class HandDrivenExecutor final : public Executor {
 public:
  Seconds Now() const override { return now_; }
  void Post(std::function<void()> work) override { posted_.push_back(std::move(work)); }
  std::unique_ptr<Alarm> MakeAlarm(std::function<void()> ring) override {
    return std::make_unique<HandAlarm>(*this, std::move(ring));
  }

  // Runs everything that is posted, and what that posts.
  void Run() {
    while (!posted_.empty()) {
      const auto work = std::move(posted_.front());
      posted_.pop_front();
      work();
    }
  }
  // Turns the clock on, rings the alarms whose time has come, and runs everything.
  void Advance(Seconds by) {
    Run();
    now_ += by;
    for (HandAlarm* alarm : std::set<HandAlarm*>(alarms_)) {
      if (alarms_.contains(alarm) && alarm->time <= now_) alarm->Ring();
    }
    Run();
  }

 private:
  struct HandAlarm final : Alarm {
    HandAlarm(HandDrivenExecutor& on, std::function<void()> rings)
        : executor(on), ring(std::move(rings)) {
      executor.alarms_.insert(this);
    }
    ~HandAlarm() override { executor.alarms_.erase(this); }
    void Set(Seconds at) override { time = at; }
    void Ring() {
      time = kNever;
      ring();
    }

    HandDrivenExecutor& executor;
    std::function<void()> ring;
    Seconds time = kNever;
  };

  Seconds now_ = 1000;
  std::deque<std::function<void()>> posted_;
  std::set<HandAlarm*> alarms_;
};

// Counts what observers hear.
struct HeardEnds final : RequestObserver {
  void OnArrived(std::string_view /*pool*/, Seconds /*arrived*/) override { ++arrived; }
  void OnFinished(const FinishedRequest& request) override {
    finished.push_back(request);
    endpoints.push_back(request.endpoint == nullptr ? "" : request.endpoint->address);
    finished.back().endpoint = nullptr;  // It does not outlive the call.
  }
  void OnInvalid(int status) override { invalid.push_back(status); }

  int arrived = 0;
  std::vector<FinishedRequest> finished;
  std::vector<std::string> endpoints;  // Of the finished ones; "" if none took it.
  std::vector<int> invalid;
};

// A pool that serves "llama" and "llama-lora", and all that its requests share.
struct FakeServing {
  explicit FakeServing(
      scheduler::SchedulerOptions options = {}, std::string_view policy = "slo",
      std::unique_ptr<fleet::LoadModel> load_model = std::make_unique<fleet::LittlesLaw>())
      : log(telemetry::LogLevel::kError, telemetry::LogFormat::kText, [](std::string_view) {}),
        faults(log),
        metrics(registry),
        thread(executor),
        context{.pools = pools, .observers = {&heard, &metrics}} {
    thread.request_timeout = 600;
    options.policy = routing::FindPolicy(policy);
    auto pool = std::make_shared<Pool>(
        "llama", options, std::move(load_model), executor, 1,
        RouterReports{.decision_seconds = metrics.AddPool("llama"),
                      .faults = faults,
                      .deployment_metrics = [this](const std::string& deployment) {
                        return metrics.DeploymentSeries("llama", deployment);
                      }});
    pool->names().Set({.aliases = {"llama-lora"}});
    pools.Set({std::move(pool)});
  }
  ~FakeServing() {
    pools.Set({});
    executor.Run();
  }

  PoolRouter& router() { return pools.Find("llama")->router(); }
  // Endpoints of one deployment, "a10".
  void SetEndpoints(const std::vector<std::string>& addresses) {
    discovery::DiscoveredDeployment deployment{"a10", 512, {}};
    for (const std::string& address : addresses) {
      deployment.endpoints.push_back({address, *system::Resolve(*system::ParseHostPort(address))});
    }
    router().UpdateFleet({deployment});
  }
  // Of "a10": `fits` requests at a time per endpoint, each of one second.
  void SetProfile(double fits, Seconds e2e_slo = 100) {
    router().SetProfile("a10", std::make_shared<const profile::GpuProfile>(scheduler::FlatProfile(
                                   "a10", fits, 1, scheduler::E2eSlo(e2e_slo))));
  }

  // Nothing waits, nothing runs, no endpoint has any load.
  bool Idle() {
    const RouterStatus status = router().Status();
    bool idle = status.waiting == 0 && status.running == 0 && status.queue_bytes == 0;
    for (const auto& deployment : status.deployments) {
      for (const auto& endpoint : deployment.endpoints) {
        idle = idle && endpoint.load == 0 && endpoint.in_flight == 0;
      }
    }
    return idle;
  }
  // Scheduler events so far: times that the router's lock was taken for one.
  double RouterEvents() const {
    const std::string text = registry.Text();
    const std::size_t at = text.find("headrace_decision_seconds_count");
    return std::stod(text.substr(text.find(' ', at)));
  }

  HandDrivenExecutor executor;
  telemetry::Log log;
  telemetry::StandingFaults faults;
  telemetry::MetricsRegistry registry;
  PoolObserver metrics;
  HeardEnds heard;
  Pools pools;
  ServingThread thread;
  ServingContext context;
};

// One request and the client that waits for it: the in-memory shell.
class FakeExchange {
 public:
  using Headers = std::vector<std::pair<std::string, std::string>>;

  explicit FakeExchange(FakeServing& serving, std::string request_id = "request")
      : serving_(serving),
        request_id_(std::move(request_id)),
        request_(serving.context, serving.thread, serving.executor.Now(), request_id_) {}

  void Send(std::string body, const Headers& headers = {},
            openai::ApiKind kind = openai::ApiKind::kChatCompletions) {
    body_ = std::move(body);
    const auto scanned = request_.Scan(kind, body_, [&](std::string_view name) -> std::string_view {
      const auto header =
          std::ranges::find(headers, name, [](const auto& field) { return field.first; });
      return header == headers.end() ? std::string_view() : std::string_view(header->second);
    });
    if (!scanned) {
      reply_ = scanned.error();
      return;
    }
    request_.Arrive([this](ServedRequest::Routed routed) {
      if (routed) {
        endpoint_ = *routed;
      } else {
        reply_ = routed.error();
      }
    });
  }

  // --- What the endpoint does

  void RefuseConnection() { Fail(fleet::EngineFault::kConnect); }
  void Fail(fleet::EngineFault fault) {
    endpoint_ = nullptr;
    if (auto reply = request_.EndpointFailed(fault, "it broke")) reply_ = std::move(reply);
  }
  // When it is found down before it has answered, the request goes elsewhere.
  void MovesOn() {
    request_.OnStranded([this] {
      endpoint_ = nullptr;
      request_.Retry(ServedRequest::kStranded, "found down");
    });
  }
  // It answers that it cannot serve the request. Whether the request was taken elsewhere.
  bool Busy(int status, Seconds retry_after = 0) {
    const auto fault = ServedRequest::FaultToRetry(status);
    if (!fault || !request_.MayRetry(*fault)) return false;
    endpoint_ = nullptr;
    request_.Retry(*fault, "status " + std::to_string(status), retry_after);
    return true;
  }
  void Head(int status, std::string_view content_type) {
    request_.ResponseHead({.status = status, .content_type = content_type});
  }
  void Bytes(std::string_view bytes) {
    Forward(
        [&](auto& forward) { request_.ResponseBytes(bytes, serving_.executor.Now(), forward); });
  }
  void End() {
    Forward([&](auto& forward) {
      if (auto reply = request_.ResponseEnd(serving_.executor.Now(), forward)) {
        reply_ = std::move(reply);
      }
    });
  }
  void RespondJson(int status, std::string_view body) {
    Head(status, "application/json");
    Bytes(body);
    End();
  }

  // --- What the shell and the client do

  // Until its deadline.
  void WaitTooLong() {
    serving_.executor.Advance(request_.deadline() - serving_.executor.Now());
    if (endpoint_ == nullptr && !request_.ended()) reply_ = request_.TimeOut();
  }
  void Leave() { request_.Cancel(); }

  // --- What was seen

  // Where it was sent; "" while it waits.
  std::string endpoint() const { return endpoint_ ? endpoint_->address : ""; }
  // What the engine got.
  std::string sent() const {
    std::string text;
    for (const std::string_view piece : request_.BodyToSend(body_)) text += piece;
    return text;
  }
  const std::string& received() const { return received_; }
  // Of the gateway's reply; 0 without one.
  int status() const { return reply_ ? reply_->error.status : 0; }
  std::string code() const { return reply_ ? reply_->error.code : ""; }
  std::string message() const { return reply_ ? reply_->error.message : ""; }
  std::string Header(std::string_view name) const {
    for (const auto& [key, value] : reply_->headers) {
      if (key == name) return value;
    }
    return "";
  }
  ServedRequest& request() { return request_; }

 private:
  template <typename Take>
  void Forward(Take take) {
    std::vector<std::string_view> forward;
    take(forward);
    for (const std::string_view piece : forward) received_ += piece;
  }

  FakeServing& serving_;
  const std::string request_id_;
  std::string body_;
  std::shared_ptr<const EndpointInfo> endpoint_;
  std::optional<ErrorReply> reply_;
  std::string received_;
  ServedRequest request_;
};

}  // namespace headrace::serving
