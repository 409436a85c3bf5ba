// What is known about a request once it has ended: the source of metrics, logs and traces.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/units.h"
#include "profile/slo.h"
#include "scheduler/events.h"

namespace headrace {

enum class RequestOutcome {
  kCompleted,     // Answered to the end with a status below 400.
  kEngineError,   // The engine answered with an error status, which was passed on.
  kEngineFailed,  // The engine broke off, or did not answer: 502.
  kDeadline,      // It took longer than the gateway allows: 504.
  kRefused,       // By the scheduler: 429 or 503.
  kClientGone,    // The client left first.
};
inline constexpr int kRequestOutcomes = 6;
std::string_view ToString(RequestOutcome outcome);

// Only of requests that reached a model's scheduler.
struct FinishedRequest {
  std::string_view model;
  RequestOutcome outcome = RequestOutcome::kCompleted;
  std::optional<RefusalReason> refused;
  // Empty when it was never dispatched.
  std::string_view deployment;
  std::string_view endpoint;
  std::string_view policy;
  FallbackCause fallback = FallbackCause::kNone;
  Slo slo;
  bool streamed = false;

  // From arrival at the gateway; output_tokens 0 when unknown.
  RequestLatency latency;
  Seconds queued = 0;

  // What was expected, beside what came (latency.prompt_tokens, .output_tokens).
  Tokens estimated_prompt_tokens = 0;
  LengthEstimate expected_output;

  // A request that was offered and did not meet its promises has missed them, for whatever reason;
  // one whose client left on its own is not counted.
  bool CountsForSlo() const { return slo.HasLatency() && outcome != RequestOutcome::kClientGone; }
  bool MetSlo() const { return outcome == RequestOutcome::kCompleted && Attained(slo, latency); }
};

// Gets every finished request, from any thread.
class RequestObserver {
 public:
  virtual ~RequestObserver() = default;
  virtual void OnFinished(const FinishedRequest& request) = 0;
};

}  // namespace headrace
