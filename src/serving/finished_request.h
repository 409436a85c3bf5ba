// What is known about a request once it has ended: the source of metrics, logs and traces.
#pragma once

#include <optional>
#include <string_view>

#include "base/units.h"
#include "scheduler/events.h"
#include "slo/slo.h"
#include "telemetry/headrace_metrics.h"

namespace headrace::serving {

// Only of requests that reached a model's scheduler.
struct FinishedRequest {
  std::string_view model;
  Seconds arrived = 0;  // MonotonicNow.
  telemetry::Outcome outcome = telemetry::Outcome::kFailed;
  bool error_status = false;  // Completed, but with an error of the engine's own.
  std::optional<scheduler::RefusalReason> refused;
  // Empty when it was never dispatched.
  std::string_view deployment;
  std::string_view policy;
  scheduler::FallbackCause fallback = scheduler::FallbackCause::kNone;
  slo::Slo slo;

  // From arrival at the gateway; output_tokens 0 when unknown.
  slo::RequestLatency latency;
  Seconds queued = 0;

  // What was expected, of all its answers together, beside what came (latency.prompt_tokens,
  // .output_tokens); 0 = nothing.
  Tokens estimated_prompt_tokens = 0;
  Tokens expected_output_tokens = 0;
  bool counted = false;  // By the engine: what came is no estimate.

  // A request that was offered and did not meet its promises has missed them, for whatever reason;
  // one whose client left on its own is not counted.
  bool CountsForSlo() const {
    return slo.HasLatency() && outcome != telemetry::Outcome::kCancelled;
  }
  bool MetSlo() const {
    return outcome == telemetry::Outcome::kCompleted && !error_status &&
           slo::Attained(slo, latency);
  }
};

// Hears of requests, from any thread: of one that reaches a model, and later exactly once of its
// end; or of one that never did.
class RequestObserver {
 public:
  virtual ~RequestObserver() = default;
  // `arrived` is MonotonicNow at its first byte.
  virtual void OnArrived(std::string_view /*model*/, Seconds /*arrived*/) {}
  virtual void OnFinished(const FinishedRequest& request) = 0;
  // It was answered with this status before any model was found for it.
  virtual void OnInvalid(int /*status*/) {}
};

}  // namespace headrace::serving
