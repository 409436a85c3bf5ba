#include "serving/request_trace_feed.h"

#include <cmath>
#include <utility>

#include "system/clock.h"

namespace headrace::serving {
namespace {

constexpr const char* kCause = "request trace";

}  // namespace

RequestTraceFeed::RequestTraceFeed(const store::RedisUrl& url, const Pools& pools,
                                   telemetry::StandingFaults& faults)
    : pools_(pools), faults_(faults), redis_(url), thread_([this] { Run(); }) {}

RequestTraceFeed::~RequestTraceFeed() {
  {
    const system::MutexLock lock(mutex_);
    stopping_ = true;
  }
  stop_.NotifyAll();
  thread_.join();
}

void RequestTraceFeed::OnArrived(std::string_view pool, Seconds /*arrived*/) {
  const system::MutexLock lock(mutex_);
  traces_[std::string(pool)].Arrived();
}

void RequestTraceFeed::OnFinished(const FinishedRequest& request) {
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
  {
    const system::MutexLock lock(mutex_);
    traces = std::exchange(traces_, {});
  }
  for (const auto& pool : pools_) {
    const RouterStatus status = pool->router().Status();
    const auto written =
        redis_.Set(store::RequestTraceKey(pool->name(), interval_end),
                   traces[pool->name()].ToJson(status.running + status.waiting, status.waiting),
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
