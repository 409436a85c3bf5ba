#include "serving/request_trace_feed.h"

#include <cmath>
#include <utility>

#include "system/clock.h"

namespace headrace::serving {
namespace {

constexpr const char* kCause = "request trace";

}  // namespace

RequestTraceFeed::RequestTraceFeed(const Pools& pools, telemetry::StandingFaults& faults)
    : pools_(pools), faults_(faults), thread_([this] { Run(); }) {}

RequestTraceFeed::~RequestTraceFeed() {
  {
    const system::MutexLock lock(mutex_);
    stopping_ = true;
  }
  stop_.NotifyAll();
  thread_.join();
}

void RequestTraceFeed::SetRedis(const std::optional<store::RedisUrl>& url) {
  const system::MutexLock lock(mutex_);
  if (redis_ == nullptr ? !url : url == redis_->url()) return;
  redis_ = url ? std::make_shared<store::Redis>(*url) : nullptr;
  writes_ = url.has_value();
}

void RequestTraceFeed::OnArrived(std::string_view pool, Seconds /*arrived*/) {
  if (!writes_) return;
  const system::MutexLock lock(mutex_);
  traces_[std::string(pool)].Arrived();
}

void RequestTraceFeed::OnFinished(const FinishedRequest& request) {
  if (!writes_) return;
  const slo::RequestLatency& latency = request.latency;
  if (request.outcome != telemetry::Outcome::kCompleted || latency.output_tokens == 0) return;
  const system::MutexLock lock(mutex_);
  traces_[std::string(request.pool)].Finished(latency.prompt_tokens, latency.output_tokens);
}

void RequestTraceFeed::Run() {
  for (;;) {
    const auto interval = std::int64_t{store::kRequestTraceInterval};
    const std::int64_t end =
        (static_cast<std::int64_t>(system::UnixNow()) / interval + 1) * interval;
    {
      const system::MutexLock lock(mutex_);
      while (!stopping_ && system::UnixNow() < static_cast<Seconds>(end)) {
        stop_.WaitFor(mutex_, static_cast<Seconds>(end) - system::UnixNow());
      }
      if (stopping_) return;
    }
    Write(end);
  }
}

void RequestTraceFeed::Write(std::int64_t interval_end) {
  std::map<std::string, store::RequestTrace, std::less<>> traces;
  std::shared_ptr<store::Redis> redis;
  {
    const system::MutexLock lock(mutex_);
    traces = std::exchange(traces_, {});
    redis = redis_;
  }
  if (redis == nullptr) return;
  for (const auto& pool : pools_.list()) {
    const RouterStatus status = pool->router().Status();
    const auto written = redis->SetOrMerge(
        store::RequestTraceKey(pool->name(), interval_end),
        traces[pool->name()].ToJson(status.running + status.waiting, status.waiting),
        store::kAddRequestTraces, store::kRequestTraceExpiry);
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
