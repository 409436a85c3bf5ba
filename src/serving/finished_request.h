// What is known about a request once it has ended: the source of metrics, logs and traces.
#pragma once

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/units.h"
#include "fleet/engine_fault.h"
#include "openai/request.h"
#include "scheduler/events.h"
#include "serving/endpoint_info.h"
#include "serving/explanation.h"
#include "slo/slo.h"
#include "system/address.h"
#include "telemetry/headrace_metrics.h"
#include "tracing/trace_context.h"

namespace headrace::serving {

// After these, if nothing of an answer has been passed on, a request may be sent to another
// endpoint.
inline constexpr std::array<fleet::EngineFault, 6> kRetriedFaults = {
    fleet::EngineFault::kConnect, fleet::EngineFault::kClosed, fleet::EngineFault::kTimeout,
    fleet::EngineFault::kStatus,  fleet::EngineFault::kBusy,   fleet::EngineFault::kGarbled};

// An endpoint that a request was sent to, and that failed it before its answer began.
struct FailedTry {
  std::string address;
  std::string deployment;
  fleet::EngineFault fault = fleet::EngineFault::kConnect;
  std::string why;   // A phrase: "connection closed before a response".
  Seconds sent = 0;  // From the request's arrival.
  Seconds took = 0;
};

// What a shell saw of a request and its response. Views of the request.
struct Exchange {
  const system::SocketAddress* client = nullptr;
  std::string_view scheme;  // `http` or `https`; empty: not known.
  std::string_view method;
  std::string_view path;       // Without its query, which may hold a key.
  std::uint64_t received = 0;  // Bytes of the request's body, …
  std::uint64_t sent = 0;      // … and of the response's.
  int status = 0;              // That the client got; 0: none.
};

// Only of requests that reached a pool's scheduler.
struct FinishedRequest {
  Exchange exchange;
  std::string_view model;   // As the request names it.
  std::string_view tenant;  // Likewise; "" where it names none.
  openai::ApiKind kind = openai::ApiKind::kChatCompletions;
  bool stream = false;
  bool has_prompt = true;       // Else it only passed: its time says nothing of the model's.
  std::string_view request_id;  // The client's, or the gateway's own.
  std::string_view pool;
  Seconds arrived = 0;  // MonotonicNow.
  telemetry::Outcome outcome = telemetry::Outcome::kFailed;
  std::optional<fleet::EngineFault> fault;  // What `endpoint` did wrong.
  std::optional<scheduler::RefusalReason> refused;
  const EndpointInfo* endpoint = nullptr;  // Null if no endpoint took it.
  std::string_view policy;                 // Likewise empty.
  scheduler::FallbackCause fallback = scheduler::FallbackCause::kNone;
  slo::Slo slo;
  // What its policy expected of it when it was sent; nullopt if that predicts nothing.
  std::optional<fleet::Outlook> outlook;
  // Why it waited, and what was considered when it was sent; the client's message if it was
  // refused.
  scheduler::Hold hold = scheduler::Hold::kNone;
  double held_cost = 0;
  Considered considered;
  std::string refusal;
  // It was sent to these before `endpoint`; nothing else here speaks of them.
  std::vector<FailedTry> failed_tries;
  bool moved = false;          // The transport took it from the last of these by itself.
  bool out_of_budget = false;  // It would have been tried once more, had the retry budget allowed.

  // From arrival at the gateway; output_tokens 0 when unknown.
  slo::RequestLatency latency;
  Seconds queued = 0;
  Seconds first_token = 0;  // Of an answer that had one; else 0.
  Seconds served = 0;       // When it left its endpoint, or the queue.
  Seconds whole = 0;        // When its client had everything.

  std::optional<tracing::RequestTrace> trace;  // If requests are traced.

  // What was expected, of all its choices together, beside what came (latency.prompt_tokens,
  // .output_tokens); 0 = nothing.
  Tokens estimated_prompt_tokens = 0;
  Tokens expected_output_tokens = 0;
  bool counted = false;  // The engine counted the tokens that came: they are not an estimate.
  int choices = 1;       // Responses that it asked for.
  bool unread = false;   // Of its response only the head was seen, and when it ended.

  // From its arrival, as predicted when it was sent; only with an outlook.
  Seconds PredictedTtft() const { return outlook->first_token - arrived; }
  // For the number of tokens that each response had: an error is one of the step times.
  Seconds PredictedE2e() const {
    return outlook->EndOf(std::max(1, latency.output_tokens / choices)) - arrived;
  }
  // Every request whose client stayed and made no mistake counts, unless nobody saw its tokens, or
  // not when its first one came and that was promised: one that was refused or failed has missed
  // its SLO.
  bool CountsForSlo() const {
    const bool judged = outcome != telemetry::Outcome::kCompleted || slo::CanJudge(slo, latency);
    return slo.HasLatency() && !unread && judged && outcome != telemetry::Outcome::kCancelled &&
           outcome != telemetry::Outcome::kClientError;
  }
  bool MetSlo() const {
    return outcome == telemetry::Outcome::kCompleted && slo::Attained(slo, latency);
  }
};

// The children of a request's span (tracing::RequestTrace): its n-th wait and its n-th try.
constexpr int WaitChild(int n) { return 2 * n; }
constexpr int TryChild(int n) { return 2 * n + 1; }

// A request that the gateway answered by itself, because it asks for nothing else or is invalid.
struct AnsweredRequest {
  std::string_view request_id;
  Seconds arrived = 0;
  Exchange exchange;
  std::string_view model = {};
  std::string_view reason = {};                  // What is wrong with it.
  const tracing::RequestTrace* trace = nullptr;  // If it is traced.
};

// Hears of requests, from any thread: of each that reaches a pool, and later exactly once of its
// end; or of one that never reaches a pool.
class RequestObserver {
 public:
  virtual ~RequestObserver() = default;
  // `arrived` is MonotonicNow at its first byte. Only of requests that have a prompt.
  virtual void OnArrived(std::string_view /*pool*/, Seconds /*arrived*/) {}
  virtual void OnFinished(const FinishedRequest& request) = 0;
  // The response had this status before any pool was found for the request.
  virtual void OnInvalid(int /*status*/) {}
  // Once it has its response, an invalid request too.
  virtual void OnAnswered(const AnsweredRequest& /*request*/) {}
};

}  // namespace headrace::serving
