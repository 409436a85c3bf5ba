#include "serving/request_trace_feed.h"

#include <chrono>
#include <utility>

#include "system/clock.h"

namespace headrace::serving {
namespace {

using UnixClock = std::chrono::system_clock;
constexpr const char* kCause = "request trace";

}  // namespace

RequestTraceFeed::RequestTraceFeed(const store::RedisUrl& url,
                                   const std::vector<std::unique_ptr<ServedModel>>& models,
                                   telemetry::StandingFaults& faults)
    : models_(models), faults_(faults), redis_(url), thread_([this] { Run(); }) {}

RequestTraceFeed::~RequestTraceFeed() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  stop_.notify_all();
  thread_.join();
}

void RequestTraceFeed::OnArrived(std::string_view model, Seconds /*arrived*/) {
  const std::lock_guard lock(mutex_);
  traces_[std::string(model)].Arrived();
}

void RequestTraceFeed::OnFinished(const FinishedRequest& request) {
  const slo::RequestLatency& latency = request.latency;
  if (request.outcome != telemetry::Outcome::kCompleted || latency.output_tokens == 0) return;
  const std::lock_guard lock(mutex_);
  traces_[std::string(request.model)].Finished(latency.prompt_tokens, latency.output_tokens);
}

void RequestTraceFeed::Run() {
  for (;;) {
    const auto now = UnixClock::now().time_since_epoch();
    const std::int64_t end =
        (std::chrono::floor<std::chrono::seconds>(now).count() / store::kRequestTraceInterval + 1) *
        store::kRequestTraceInterval;
    {
      std::unique_lock lock(mutex_);
      const UnixClock::time_point at{std::chrono::seconds(end)};
      if (stop_.wait_until(lock, at, [this] { return stopping_; })) return;
    }
    Write(end);
  }
}

void RequestTraceFeed::Write(std::int64_t interval_end) {
  std::map<std::string, store::RequestTrace, std::less<>> traces;
  {
    const std::lock_guard lock(mutex_);
    traces = std::exchange(traces_, {});
  }
  for (const auto& model : models_) {
    const RouterStatus status = model->router.Status();
    const auto written =
        redis_.Set(store::RequestTraceKey(model->name, interval_end),
                   traces[model->name].ToJson(status.running + status.waiting, status.waiting),
                   store::kRequestTraceExpiry);
    if (!written) {
      faults_.Raise(telemetry::LogLevel::kWarning, kCause,
                    written.error().message + " AIBrix's GPU optimizer misses this interval.",
                    system::MonotonicNow());
      return;
    }
  }
  faults_.Clear(kCause, "request traces are written again", system::MonotonicNow());
}

}  // namespace headrace::serving
