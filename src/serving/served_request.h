// One request's way through the gateway, from its body to its end, without a transport.
#pragma once

#include <array>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

#include "base/units.h"
#include "fleet/engine_fault.h"
#include "openai/request.h"
#include "openai/response.h"
#include "serving/client_keys.h"
#include "serving/error_reply.h"
#include "serving/finished_request.h"
#include "serving/pool.h"
#include "serving/progress_batch.h"
#include "serving/request_controls.h"
#include "serving/response_owners.h"
#include "serving/serving_thread.h"
#include "tracing/trace_context.h"

namespace headrace::serving {

// Response headers that the gateway sets itself. The same from an engine (another gateway, perhaps)
// would contradict it: a shell leaves those out.
inline constexpr std::array<std::string_view, 7> kOwnResponseHeaders = {
    "request-id",
    "x-request-id",
    "target-pod",
    "target-deployment",
    "routing-strategy",
    "x-headrace-explain",
    "x-headrace-asked-strategy"};

// What the head of an engine's response says.
struct EngineHead {
  int status = 0;
  std::string_view content_type = {};
  std::string_view content_encoding = {};
  Seconds retry_after = 0;
};

// What a shell does with each request, in this order, with any transport:
//
//   Scan                       the body and the control headers. An error: reply with it, the end.
//   Arrive(on_route)           into the pool's queue. `on_route` gets an endpoint to send
//                              BodyToSend to, or the reply to a request that was refused.
//   MayRetry, Retry            the endpoint answered that it cannot serve the request: back into
//                              the queue, `on_route` is called again.
//   ResponseHead               the endpoint has responded.
//   ResponseBytes …            returns what is to be passed on to the client.
//   ResponseEnd                no more bytes. If the response lacks its end: back into the queue
//                              while nothing was passed on, else the reply. If the engine refused
//                              what the gateway adds, `on_route` is called with it once more.
//     EndpointFailed           instead, at any time after `on_route` has named an endpoint: back
//                              into the queue, if it may be tried again; else the reply.
//     ServedBy                 instead of Retry, if the transport itself has tried another one.
//     TimeOut                  deadline() has passed, wherever the request is.
//   Cancel                     the client has gone. At any time; later calls change nothing.
//
// The destructor tells the observers how it ended, exactly once if it arrived; what has not ended
// by then is cancelled. All calls are made, and `on_route` is called, on the executor's thread;
// `on_route` may be called from within Arrive, Retry, EndpointFailed and ResponseEnd, and must not
// destroy the request.
class ServedRequest {
 public:
  // The endpoint that serves it, or the reply.
  using Routed = tl::expected<std::shared_ptr<const EndpointInfo>, ErrorReply>;
  using OnRoute = std::function<void(Routed)>;

  // `arrived`: when its first byte came, on the executor's clock. `request_id` must outlive it.
  ServedRequest(const ServingContext& context, ServingThread& thread, Seconds arrived,
                std::string_view request_id);
  ~ServedRequest();
  ServedRequest(const ServedRequest&) = delete;
  ServedRequest& operator=(const ServedRequest&) = delete;

  // `body` may get more capacity (openai::RequestScanner). The error is counted as invalid.
  tl::expected<void, ErrorReply> Scan(openai::ApiKind kind, std::string& body,
                                      const HeaderLookup& header);
  // The same of a body that a scanner of another thread has read.
  tl::expected<void, ErrorReply> TakeFacts(
      openai::ApiKind kind, tl::expected<openai::RequestFacts, openai::ApiError> facts,
      std::size_t body_bytes, const HeaderLookup& header);
  // The same of a request about a response that an endpoint has: it has no body.
  tl::expected<void, ErrorReply> FindResponse(std::string_view id, const HeaderLookup& header);
  // Before these: the model of a request whose body names none.
  void SetModelInPath(std::string_view model) { model_in_path_ = model; }
  // Instead, for what the shell itself finds wrong with it: counts it as invalid.
  ErrorReply Invalid(ErrorReply reply);
  // Before all others, if requests are traced: with what its client says of its trace.
  void StartTrace(std::string_view traceparent, std::string_view tracestate);
  // Before the others: its client's key, if one is required (401). Who reads no body before need
  // not call it.
  tl::expected<void, ErrorReply> FindKey(const HeaderLookup& header);
  // Before Arrive: it goes to endpoints of these addresses only, because its transport offers no
  // others: "10.0.0.7:8000", or "10.0.0.7" for every endpoint of that host. If its pool has none of
  // them, it is refused (503).
  void LimitTo(std::vector<std::string> addresses) { offered_ = std::move(addresses); }
  // Before Arrive: for a transport that tries other endpoints by itself. It gets so many
  // `fallbacks` beside the endpoint, if there are so many.
  void WantFallbacks(std::size_t most) { wanted_fallbacks_ = most; }
  // Before Arrive: the transport cannot send it a second time. MayRetry says no, and an answer that
  // no other one can follow is passed on.
  void SentOnlyOnce() { once_ = true; }
  // Before Arrive: its end will be EndUnread. The engine is not asked for its usage, which nobody
  // could keep from the client.
  void WillBeUnread() { unread_ = true; }
  void Arrive(OnRoute on_route);
  Seconds deadline() const { return finished_.arrived + request_timeout_; }
  // It has come to its end; no call changes that any more.
  bool ended() const { return ended_; }

  ErrorReply TimeOut();
  void Cancel();

  // The body with its edits: that which makes the engine report its usage, if it takes that, and
  // that of the model's name; views into `body`.
  std::vector<std::string_view> BodyToSend(std::string_view body) const;
  // What the endpoint is told of its trace; nullopt: as the client has it.
  std::optional<tracing::TraceContext> TraceToSend() const;
  // Called when the endpoint has been found down before its answer began, and MayRetry has said
  // yes: Retry, with this fault, or the end follows. From the executor.
  void OnStranded(std::function<void()> on_stranded) { on_stranded_ = std::move(on_stranded); }
  static constexpr fleet::EngineFault kStranded = fleet::EngineFault::kTimeout;

  // What the shell knows of it, for the observers.
  Exchange& exchange() { return finished_.exchange; }

  // Since `on_route` got its endpoint: others that are up, hold its context and have room for it,
  // those that would have been chosen next first.
  const EndpointList& fallbacks() const { return fallbacks_; }
  // Between `on_route` and ResponseHead: the transport says that the endpoint of this address
  // serves it. If that is not the one that it was sent to, the transport has tried another one by
  // itself: the first one has failed, and from now on the request is at this one, or, if its pool
  // has no endpoint of this address, at one that nothing is known of. May be called again.
  void ServedBy(std::string_view address);
  static constexpr fleet::EngineFault kMoved = fleet::EngineFault::kClosed;

  // Whether the client asked for a stream.
  bool stream() const { return facts_.stream; }

  // Whether the request may be sent to another endpoint after this fault: nothing of an answer was
  // passed on, another endpoint is up, and tries, retry budget and time are left. If so, Retry or
  // the end follows.
  bool MayRetry(fleet::EngineFault fault);
  // It waits for another endpoint, because of `why` (a phrase). `retry_after`: how long a busy one
  // asks to be left alone.
  void Retry(fleet::EngineFault fault, std::string_view why, Seconds retry_after = 0);
  // No (whole) answer came, because of `why` (a phrase). nullopt: the request waits again, or
  // had ended. An endpoint without a connection counts as down.
  std::optional<ErrorReply> EndpointFailed(fleet::EngineFault fault, std::string_view why);

  void ResponseHead(const EngineHead& head);
  // The fault of an endpoint that answers with this status, if another one may answer better.
  static std::optional<fleet::EngineFault> FaultToRetry(int status);
  // The client's key is for the gateway: kKeyHeaders don't go on to the endpoint.
  bool keeps_key() const { return key_ != nullptr; }
  // Of the response, after ResponseHead: events that can be read. Their bytes change on the way
  // (usage is hidden, an error is added), so their length is not known.
  bool event_stream() const { return event_stream_; }
  // The status for the client: that of the response, unless its body is an error.
  int response_status() const;
  // The headers that tell the client who serves it: `add(name, value)`.
  template <typename Add>
  void AddResponseHeaders(Add add) const {
    add("target-pod", endpoint_->address);
    add("target-deployment", endpoint_->deployment);
    add("routing-strategy", finished_.policy);
    if (!controls_.asked_policy.empty()) add("x-headrace-asked-strategy", controls_.asked_policy);
    if (controls_.explain) add("x-headrace-explain", ExplanationHeader(finished_));
    if (key_) context_.keys->AddLimitHeaders(*key_, thread_.executor.Now(), add);
  }
  // Appends to `forward` what is to be passed on now: views that are valid until the next call.
  void ResponseBytes(std::string_view bytes, Seconds now, std::vector<std::string_view>& forward);
  std::optional<ErrorReply> ResponseEnd(Seconds now, std::vector<std::string_view>& forward);
  // Instead, where the transport shows nothing of the response but its head and its end.
  void EndUnread(Seconds now);
  // A failure as an event, for a client that has read some.
  std::string ErrorEvent(const ErrorReply& reply) const;

 private:
  // By what its prompt's tokens are taken.
  enum class Sizing {
    kEstimate,
    kLeast,  // What prompts of its size come to at least, as far as seen.
    kFloor,  // What any text of its size comes to at least; its response is a token.
  };

  // Responses are their tenant's alone, where keys are required.
  bool MayRead(const ResponseOwners::Owner& owner) const;
  ErrorReply UnknownResponse(std::string_view id, std::string_view param);
  tl::expected<void, ErrorReply> FindPool(const HeaderLookup& header);
  tl::expected<void, ErrorReply> TakeControls(const HeaderLookup& header);
  // Its key may use the model, and has not used up its limits.
  tl::expected<void, ErrorReply> CountForKey();
  // What its key is charged for.
  std::int64_t TokensUsed() const;
  scheduler::Arrival MakeArrival();
  // It goes to the scheduler.
  void ArriveAtRouter();
  // A refusal that may rest on an estimate is no refusal yet: it arrives anew, as less. False if it
  // is one.
  bool ArriveAsLess(scheduler::RefusalReason reason);
  void TakeRoute(Route route);
  ErrorReply Refuse(const scheduler::Decision& decision) const;
  ErrorReply DescribeFault(fleet::EngineFault fault, std::string_view why) const;
  // The error that the engine responded with, as a status or inside the response; 0: none.
  int ErrorStatus() const;
  // The engine has refused what was added to the request: once more, as the client sent it.
  void SendAgainAsItCame();
  void NoteLatency(Seconds now);
  // Whether the endpoint's context has room for so many tokens.
  bool Credible(const openai::Usage& usage) const;
  static telemetry::Outcome OutcomeOf(fleet::EngineFault fault);
  void GiveBackRetry();
  // The endpoint has failed it: it is written down, and nothing of its doing is left.
  void LeaveEndpoint(fleet::EngineFault fault, std::string_view why);
  // Adds the endpoint to a reply, if there is one.
  ErrorReply Reply(openai::ApiError error) const;
  // Adds the explanation, if it was asked for.
  ErrorReply Explained(ErrorReply reply) const;
  void Learn(Seconds now);
  // False if it had ended before.
  bool End(telemetry::Outcome outcome);

  const ServingContext& context_;
  ServingThread& thread_;
  const Seconds request_timeout_;  // As it was on arrival.
  OnRoute on_route_;
  std::function<void()> on_stranded_;
  // By Scan:
  ClientKeys::Key key_;          // Null if none is required.
  bool counts_for_key_ = false;  // Among what its key has in flight.
  Tokens prompt_for_key_ = 0;    // That it was counted with.
  std::shared_ptr<Pool> pool_;   // Outlives what follows.
  openai::ApiKind kind_ = openai::ApiKind::kChatCompletions;
  openai::RequestFacts facts_;
  bool once_ = false;
  bool unread_ = false;
  std::string model_in_path_;
  std::optional<openai::BodySplice> name_model_;
  std::shared_ptr<const EndpointInfo> only_;         // That has what it goes on from, or asks for.
  std::optional<std::vector<std::string>> offered_;  // LimitTo.
  std::size_t wanted_fallbacks_ = 0;
  RequestControls controls_;
  std::string invalid_;  // What is wrong with it.
  std::size_t body_bytes_ = 0;
  predict::PromptSize prompt_;
  Sizing sizing_ = Sizing::kEstimate;
  // From Arrive on:
  std::optional<RoutedRequest> routed_;
  std::shared_ptr<const EndpointInfo> endpoint_;  // Null while it waits.
  EndpointList fallbacks_;
  Tokens max_model_len_ = 0;     // Of the endpoint; 0: not known.
  bool asks_for_usage_ = false;  // It was sent there with the edit.
  bool refused_usage_ = false;   // It was refused there for it.
  Seconds dispatched_at_ = 0;
  bool ended_ = false;
  bool holds_retry_ = false;  // A part of the pool's retry budget.
  // Of the last endpoint that failed it, for when no other one takes it; none after a connection
  // that could not be made.
  std::optional<ErrorReply> last_failure_;
  FinishedRequest finished_;
  // From ResponseHead on:
  int status_ = 0;
  Seconds retry_after_ = 0;
  bool answering_ = false;  // Bytes of the response were passed on.
  bool noted_response_ = false;
  bool event_stream_ = false;
  Seconds first_token_at_ = 0;                          // 0 before.
  std::optional<openai::ResponseStreamParser> parser_;  // None for what is not read.
  bool may_refuse_usage_ = false;                  // An error that may be due to the edit: it is
  std::string held_;                               // held back until that is known.
  std::optional<ProgressBatch::Stream> progress_;  // Of a stream that goes on.
};

}  // namespace headrace::serving
