#include "gateway/proxied_request.h"

#include <algorithm>
#include <span>
#include <utility>
#include <vector>

#include "base/text.h"
#include "gateway/engine_access.h"
#include "gateway/responses.h"
#include "net/retry_after.h"
#include "system/clock.h"
#include "system/inflate.h"

namespace headrace::gateway {
namespace {

// Any case.
bool IsOneOf(std::span<const std::string_view> names, std::string_view name) {
  return std::ranges::any_of(
      names, [name](std::string_view one) { return net::SameHeaderName(name, one); });
}

// Of an answer that says that the endpoint is busy. Longer ones, and those that come slowly, are
// forgotten.
constexpr std::size_t kMostBytesToKeep = std::size_t{64} << 10;
constexpr Seconds kMostTimeToKeep = 1;
// A longer body is read aside: others would wait for too long.
constexpr std::size_t kMostBytesToScan = std::size_t{4} << 20;

// How much is unpacked at first, then twice as much each time.
constexpr std::size_t kFirstUnpacked = std::size_t{256} << 10;

// Header names, any case.
bool StartsWith(std::string_view name, std::string_view prefix) {
  return net::SameHeaderName(name.substr(0, prefix.size()), prefix);
}

bool IsTraceHeader(std::string_view name) {
  return net::SameHeaderName(name, "traceparent") || net::SameHeaderName(name, "tracestate");
}

// The values of all fields of that name, joined by commas.
std::string Joined(const net::HttpExchange& exchange, std::string_view name) {
  std::string values;
  for (const net::HeaderField& field : exchange.headers()) {
    if (!net::SameHeaderName(field.name, name)) continue;
    if (!values.empty()) values += ',';
    values += field.value;
  }
  return values;
}

// How long the endpoint asks to be left alone; 0 if it does not.
Seconds RetryAfter(const net::HttpCall& call) {
  const std::string_view value = call.Header("retry-after");
  return value.empty() ? 0 : net::ParseRetryAfter(value, system::UnixNow());
}

bool IsTimeout(net::CallError error) {
  return error == net::CallError::kConnectTimeout || error == net::CallError::kHeadTimeout ||
         error == net::CallError::kBodyTimeout;
}

fleet::EngineFault FaultOf(net::CallError error, bool started) {
  using fleet::EngineFault;
  switch (error) {
    case net::CallError::kConnectFailed:
    case net::CallError::kNoSocket:
    case net::CallError::kConnectTimeout:
    case net::CallError::kTlsFailed:
      return EngineFault::kConnect;
    case net::CallError::kHeadTimeout:
    case net::CallError::kBodyTimeout:
      return EngineFault::kTimeout;
    case net::CallError::kInvalidResponse:
      return EngineFault::kGarbled;
    case net::CallError::kNone:
    case net::CallError::kNoResponse:
    case net::CallError::kBroken:
    case net::CallError::kClosed:
      break;
  }
  return started ? EngineFault::kCut : EngineFault::kClosed;
}

}  // namespace

ProxiedRequest::ProxiedRequest(const config::TimeoutsConfig& timeouts,
                               const serving::ServingContext& context,
                               serving::ServingThread& thread, net::HttpClient& client,
                               net::HttpExchange& exchange, bool own_cors, ApiCall api)
    : timeouts_(timeouts),
      client_(client),
      exchange_(exchange),
      own_cors_(own_cors),
      api_(std::move(api)),
      request_id_(RequestIdOf(exchange, thread.ids)),
      request_(context, thread, exchange.arrived(), request_id_),
      decided_(exchange.thread()) {
  request_.exchange() = {.client = &exchange.peer(),
                         .scheme = exchange.tls() ? "https" : "http",
                         .method = exchange.method(),
                         .path = exchange.path(),
                         .received = exchange.body().size()};
  if (thread.traces) {
    request_.StartTrace(Joined(exchange, "traceparent"), Joined(exchange, "tracestate"));
  }
}

ProxiedRequest::~ProxiedRequest() {
  request_.exchange().status = exchange_.status();
  request_.exchange().sent = exchange_.sent();
}

// --- Reading the request

// What most requests are, without a coroutine of its own: nullopt for what takes more.
std::optional<ProxiedRequest::Scanned> ProxiedRequest::ScanAtOnce() {
  const auto header = [this](std::string_view name) { return exchange_.Header(name); };
  // Nobody else's body is unpacked or read.
  if (auto known = request_.FindKey(header); !known) return known;
  if (!api_.response_id.empty()) return request_.FindResponse(api_.response_id, header);
  request_.SetModelInPath(api_.model);
  std::string& body = exchange_.body();
  const bool plain =
      !api_.form && body.size() <= kMostBytesToScan && exchange_.Header("content-encoding").empty();
  if (!plain) return std::nullopt;
  if (body.empty() && exchange_.method() != "POST") {
    return request_.TakeFacts(api_.kind, openai::RequestFacts(), 0, header);
  }
  return request_.Scan(api_.kind, body, header);
}

net::Task<ProxiedRequest::Scanned> ProxiedRequest::Scan() {
  const auto header = [this](std::string_view name) { return exchange_.Header(name); };
  if (!exchange_.Header("content-encoding").empty()) {
    Scanned unpacked = co_await UnpackBody();
    if (!unpacked) co_return unpacked;
  }
  std::string& body = exchange_.body();
  tl::expected<openai::RequestFacts, openai::ApiError> facts;
  if (api_.form) {
    facts = openai::RequestScanner::ScanForm(exchange_.Header("content-type"), body);
  } else if (body.size() <= kMostBytesToScan) {
    co_return request_.Scan(api_.kind, body, header);
  } else {
    const std::function<void()> scan = [&] {
      facts = openai::RequestScanner().Scan(api_.kind, body);
    };
    co_await exchange_.thread().RunAside(scan);
  }
  co_return request_.TakeFacts(api_.kind, std::move(facts), body.size(), header);
}

// A body that is gzip or zlib ("deflate"), within the limits that hold for any body.
net::Task<ProxiedRequest::Scanned> ProxiedRequest::UnpackBody() {
  const std::string_view coding = exchange_.Header("content-encoding");
  const auto is = [coding](std::string_view name) { return net::SameHeaderName(coding, name); };
  if (is("identity")) co_return Scanned();
  if (!is("gzip") && !is("x-gzip") && !is("deflate")) {
    serving::ErrorReply reply =
        Invalid(415, "A body that is coded as '" + Excerpt(coding) +
                         "' cannot be read; send it as it is, or as gzip or deflate.");
    reply.headers.emplace_back("accept-encoding", "gzip, deflate");
    co_return tl::unexpected(std::move(reply));
  }
  std::string& body = exchange_.body();
  const std::size_t most = exchange_.max_body_bytes();
  std::string unpacked;
  system::Unpacker unpacker(body);
  system::Unpacker::Result result = system::Unpacker::Result::kFull;
  for (std::size_t size = kFirstUnpacked; result == system::Unpacker::Result::kFull; size *= 2) {
    size = std::min(size, most + 1);
    if (!exchange_.HoldBody(body.size() + size)) {
      serving::ErrorReply reply = Invalid(503, "There is no memory for the request's body now.");
      reply.headers.emplace_back("retry-after", "1");
      co_return tl::unexpected(std::move(reply));
    }
    const std::function<void()> unpack = [&] { result = unpacker.UnpackTo(size, unpacked); };
    co_await exchange_.thread().RunAside(unpack);
    if (unpacked.size() > most) {
      co_return tl::unexpected(
          Invalid(413, "The request's body is too large once it is unpacked."));
    }
  }
  if (result == system::Unpacker::Result::kBroken) {
    co_return tl::unexpected(Invalid(400,
                                     "The request's body is not whole gzip or zlib data, as its "
                                     "content-encoding says it is."));
  }
  body = std::move(unpacked);
  unpacked_ = true;
  co_return Scanned();
}

serving::ErrorReply ProxiedRequest::Invalid(int status, std::string message) {
  return request_.Invalid(serving::MakeErrorReply(openai::MakeApiError(status, std::move(message)),
                                                  "x-error-request-body-processing"));
}

net::Task<void> ProxiedRequest::RespondError(const serving::ErrorReply& reply) {
  return gateway::RespondError(exchange_, reply, request_id_, api_.kind);
}

// --- Serving it

net::Task<void> ProxiedRequest::Run() {
  std::optional<Scanned> scanned = ScanAtOnce();
  if (!scanned) scanned = co_await Scan();
  if (!*scanned) {
    co_await RespondError(scanned->error());
    co_return;
  }
  request_.Arrive([this](serving::ServedRequest::Routed route) {
    route_ = std::move(route);
    decided_.Wake();
  });
  request_.OnStranded([this] {
    if (call_ == nullptr) return;
    stranded_ = true;
    call_->Close();
  });
  exchange_.OnClientGone([this] {
    request_.Cancel();
    decided_.Wake();
    if (call_ != nullptr) call_->Close();
  });
  // Once per endpoint that it is sent to, until one takes it.
  do {
    while (!route_ && !exchange_.client_gone()) {
      const bool woken = co_await decided_.Wait(request_.deadline());
      if (!woken) break;
    }
    if (exchange_.client_gone()) co_return;
    if (!route_) {
      const serving::ErrorReply reply = request_.TimeOut();
      co_await RespondError(reply);
      co_return;
    }
    const serving::ServedRequest::Routed route = *std::exchange(route_, std::nullopt);
    if (!route && kept_) {
      co_await exchange_.Respond(kept_->head, kept_->body);
      co_return;
    }
    if (!route) {
      co_await RespondError(route.error());
      co_return;
    }
    co_await Forward(**route);
  } while (route_ || !request_.ended());
}

// Sends the request to the endpoint and relays the response. If the endpoint fails before that has
// begun, the request may wait for another one.
net::Task<void> ProxiedRequest::Forward(const serving::EndpointInfo& endpoint) {
  net::HttpCall call(client_);
  call_ = &call;
  kept_.reset();
  stranded_ = false;
  const net::RequestHead head = MakeRequestHead(endpoint);
  const net::Destination destination = DestinationOf(endpoint);
  const std::vector<std::string_view> body = request_.BodyToSend(exchange_.body());
  const Seconds first_byte =
      system::MonotonicNow() + (request_.stream() ? timeouts_.first_byte : timeouts_.whole);
  const net::CallError error =
      co_await call.Start(destination, head, body, std::min(request_.deadline(), first_byte));
  if (error != net::CallError::kNone) {
    co_await EndpointFailed(error, call);
  } else if (const auto fault = serving::ServedRequest::FaultToRetry(call.status());
             fault && request_.MayRetry(*fault)) {
    co_await KeepAnswer(call);
    request_.Retry(*fault, "status " + std::to_string(call.status()), RetryAfter(call));
  } else {
    co_await Relay(call, first_byte);
  }
  call_ = nullptr;
}

net::Task<void> ProxiedRequest::Relay(net::HttpCall& call, Seconds first_byte) {
  request_.ResponseHead({.status = call.status(),
                         .content_type = call.Header("content-type"),
                         .content_encoding = call.Header("content-encoding"),
                         .retry_after = RetryAfter(call)});
  std::vector<std::string_view> forward;
  // The client gets no head before the first bytes of the body: an engine that fails between the
  // two can still be told by the status, and another one asked.
  for (Seconds limit = first_byte;; limit = system::MonotonicNow() + timeouts_.idle) {
    const net::HttpCall::Piece piece = co_await call.ReadSome(std::min(request_.deadline(), limit));
    if (piece.error != net::CallError::kNone) {
      co_await EndpointFailed(piece.error, call);
      co_return;
    }
    forward.clear();
    const Seconds now = system::MonotonicNow();
    request_.ResponseBytes(piece.data, now, forward);
    // The request leaves its endpoint when the engine is done, however slowly the client reads on.
    std::optional<serving::ErrorReply> failure;
    if (piece.last) failure = request_.ResponseEnd(now, forward);
    if (!forward.empty()) {
      StartResponse(call);
      if (!co_await exchange_.Write(forward)) {
        request_.Cancel();
        co_return;
      }
    }
    if (!piece.last) continue;
    if (failure) {
      co_await TellFailure(*failure);
    } else if (request_.ended()) {
      StartResponse(call);
      co_await exchange_.Finish();
    }
    co_return;
  }
}

// Remembers an answer that is not passed on, for when no other endpoint takes the request.
net::Task<void> ProxiedRequest::KeepAnswer(net::HttpCall& call) {
  KeptAnswer answer{MakeResponseHead(call, call.status()), {}};
  const Seconds until = std::min(request_.deadline(), system::MonotonicNow() + kMostTimeToKeep);
  for (;;) {
    const net::HttpCall::Piece piece = co_await call.ReadSome(until);
    if (piece.error != net::CallError::kNone) co_return;
    answer.body += piece.data;
    if (answer.body.size() > kMostBytesToKeep) co_return;
    if (piece.last) break;
  }
  kept_ = std::move(answer);
}

net::Task<void> ProxiedRequest::EndpointFailed(net::CallError error, const net::HttpCall& call) {
  if (exchange_.client_gone()) {
    request_.Cancel();
    co_return;
  }
  if (stranded_) {
    request_.Retry(serving::ServedRequest::kStranded, "found down before it answered");
    co_return;
  }
  std::optional<serving::ErrorReply> reply;
  if (IsTimeout(error) && system::MonotonicNow() >= request_.deadline()) {
    reply = request_.TimeOut();
  } else {
    reply = request_.EndpointFailed(FaultOf(error, exchange_.started()), call.Fault());
  }
  if (reply) co_await TellFailure(*reply);  // Else it waits for another endpoint.
}

net::Task<void> ProxiedRequest::TellFailure(const serving::ErrorReply& reply) {
  if (!exchange_.started()) {
    co_await RespondError(reply);
  } else if (request_.event_stream()) {
    // The status was sent long ago: the error goes into the stream, which then ends without its end
    // mark. A connection that broke off here would take the error from clients that read ahead.
    const std::string event = request_.ErrorEvent(reply);
    co_await exchange_.WriteLast(event);
  } else {
    exchange_.Abort();
  }
}

net::RequestHead ProxiedRequest::MakeRequestHead(const serving::EndpointInfo& endpoint) const {
  net::RequestHead head = RequestHeadFor(endpoint, exchange_.method(), api_.target);
  const EngineAccess* const access = AccessOf(endpoint);
  const std::optional<tracing::TraceContext> trace = request_.TraceToSend();
  std::string forwarded_for;
  bool forwarded_proto = false;
  for (const net::HeaderField& field : exchange_.headers()) {
    if (field.hop_by_hop || net::SameHeaderName(field.name, "host") ||
        net::SameHeaderName(field.name, "accept-encoding") ||
        (unpacked_ && net::SameHeaderName(field.name, "content-encoding")) ||
        net::SameHeaderName(field.name, "x-request-id") ||
        IsOneOf(serving::kControlHeaders, field.name) ||
        (request_.keeps_key() && IsOneOf(serving::kKeyHeaders, field.name)) ||
        (trace && IsTraceHeader(field.name)) ||
        (access != nullptr && access->Replaces(field.name))) {
      continue;
    }
    if (net::SameHeaderName(field.name, "x-forwarded-for")) {
      forwarded_for.append(field.value).append(", ");
      continue;
    }
    // What a proxy before this one says, which has seen the client itself.
    forwarded_proto = forwarded_proto || net::SameHeaderName(field.name, "x-forwarded-proto");
    head.Add(field.name, field.value);
  }
  head.Add("x-forwarded-for", forwarded_for + exchange_.peer_host());
  if (!forwarded_proto) head.Add("x-forwarded-proto", exchange_.tls() ? "https" : "http");
  // The response must be readable on its way. Without the header any coding would do.
  head.Add("accept-encoding", "identity");
  head.Add("x-request-id", request_id_);
  if (trace) {
    head.Add("traceparent", trace->TraceParent());
    if (!trace->state.empty()) head.Add("tracestate", trace->state);
  }
  head.Add("via", exchange_.http_1_0() ? "1.0 headrace" : "1.1 headrace");
  if (access != nullptr) access->AddHeaders(head);
  return head;
}

net::ResponseHead ProxiedRequest::MakeResponseHead(const net::HttpCall& call, int status) const {
  net::ResponseHead head(status);
  for (const net::HeaderField& field : call.headers()) {
    if (field.hop_by_hop || IsOneOf(serving::kOwnResponseHeaders, field.name)) continue;
    if (request_.keeps_key() && IsOneOf(serving::kLimitHeaders, field.name)) continue;
    if (own_cors_ && StartsWith(field.name, "access-control-")) continue;
    head.Add(field.name, field.value);
  }
  // Proxies before this one would otherwise keep a stream until it is long.
  if (request_.event_stream() && call.Header("x-accel-buffering").empty()) {
    head.Add("x-accel-buffering", "no");
  }
  AddRequestId(request_id_, head);
  request_.AddResponseHeaders(
      [&head](std::string_view name, std::string_view value) { head.Add(name, value); });
  return head;
}

void ProxiedRequest::StartResponse(const net::HttpCall& call) {
  if (exchange_.started()) return;
  exchange_.ReleaseBody();  // It is not sent again.
  const std::int64_t length = call.content_length();
  const bool known = length >= 0 && !request_.event_stream();
  exchange_.Start(MakeResponseHead(call, request_.response_status()),
                  known ? std::optional<std::uint64_t>(length) : std::nullopt);
}

}  // namespace headrace::gateway
