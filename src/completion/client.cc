#include "completion/client.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "base/text.h"
#include "system/clock.h"

namespace headrace::completion {
namespace {

net::HttpClientOptions ManyConnections() {
  net::HttpClientOptions options;
  options.max_idle_per_endpoint = 4096;
  return options;
}

void AddHeader(std::string_view header, net::RequestHead& head) {
  const std::size_t colon = std::min(header.find(':'), header.size());
  head.Add(header.substr(0, colon), Trimmed(header.substr(colon), ": \t"));
}

bool IsTimeout(net::CallError error) {
  return error == net::CallError::kConnectTimeout || error == net::CallError::kHeadTimeout ||
         error == net::CallError::kBodyTimeout;
}

Outcome OutcomeOf(const Response& response, const openai::ResponseStreamParser& parser) {
  if (response.error == net::CallError::kClosed) return Outcome::kStopped;
  if (IsTimeout(response.error)) return Outcome::kTimedOut;
  if (response.error != net::CallError::kNone) return Outcome::kBrokenOff;
  if (response.status != 200) return Outcome::kErrorStatus;
  if (parser.error()) return Outcome::kErrorInStream;
  if (response.streamed && !parser.complete()) return Outcome::kBrokenOff;
  return Outcome::kCompleted;
}

}  // namespace

std::string Describe(const Response& response) {
  switch (response.outcome) {
    case Outcome::kCompleted:
      return "completed";
    case Outcome::kErrorStatus:
      return "status " + std::to_string(response.status);
    case Outcome::kErrorInStream:
      return "error in the stream";
    case Outcome::kStopped:
      return "stopped by the client";
    case Outcome::kBrokenOff:
    case Outcome::kTimedOut:
      break;
  }
  if (response.error == net::CallError::kNone) return "stream ended without its end";
  return response.fault;
}

slo::RequestLatency LatencyOf(const Response& response, Tokens prompt_tokens) {
  slo::RequestLatency latency;
  latency.ttft = response.first_token - response.due;
  latency.e2e = response.end - response.due;
  latency.prompt_tokens = response.usage ? response.usage->prompt_tokens : prompt_tokens;
  latency.output_tokens = response.usage ? response.usage->completion_tokens : response.pieces;
  return latency;
}

Result<Endpoint> EndpointAt(const system::HttpUrl& url) {
  HEADRACE_ASSIGN(const auto address, system::Resolve(url.host));
  Endpoint endpoint{.destination = address,
                    .url = (url.tls ? "https://" : "http://") + url.Authority() + url.base,
                    .host = url.Authority(),
                    .base = url.base};
  if (url.tls) {
    auto context = net::TlsContext::ForClient({});
    if (!context) return Fail(endpoint.url + " " + context.error().message + ".");
    endpoint.destination.tls = std::make_shared<net::TlsPeer>(std::move(*context), url.host.host);
  }
  return endpoint;
}

Endpoint EndpointAt(const system::SocketAddress& address) {
  const std::string host = address.ToString();
  return {.destination = address, .url = "http://" + host, .host = host};
}

Client::Client(net::IoThread& thread, Endpoint endpoint)
    : endpoint_(std::move(endpoint)), http_(thread, ManyConnections()) {}

net::Task<Response> Client::Complete(Request request, Seconds due, Seconds deadline,
                                     std::function<void(const Response&)> on_head) {
  net::RequestHead head = RequestHeadOf(request, endpoint_.base, endpoint_.host);
  std::string body = RequestJson(request);
  co_return co_await Call(std::move(head), std::move(body), request.api, due, deadline,
                          std::move(on_head));
}

net::Task<Response> Client::Get(std::string path, Seconds deadline) {
  net::RequestHead head("GET", endpoint_.base + path, endpoint_.host);
  std::string body;
  std::function<void(const Response&)> on_head;
  const Seconds now = system::MonotonicNow();
  co_return co_await Call(std::move(head), std::move(body), openai::ApiKind::kCompletions, now,
                          deadline, std::move(on_head));
}

net::Task<Response> Client::Call(net::RequestHead head, std::string body, openai::ApiKind api,
                                 Seconds due, Seconds deadline,
                                 std::function<void(const Response&)> on_head) {
  using Form = openai::ResponseStreamParser::Form;
  for (const std::string& header : endpoint_.headers) AddHeader(header, head);
  const std::string_view pieces[] = {body};
  Response response{.due = due};
  net::HttpCall call(http_);
  calls_.insert(&call);
  response.error = net::CallError::kClosed;
  if (!stopped_)
    response.error = co_await call.Start(endpoint_.destination, head, pieces, deadline);
  response.sent = call.sent_at();
  if (response.error == net::CallError::kNone) {
    response.head = system::MonotonicNow();
    response.status = call.status();
    response.streamed = call.Header("content-type").starts_with("text/event-stream");
    response.deployment = call.Header("target-deployment");
    if (response.deployment.empty()) response.deployment = call.Header("target-pod");
    if (on_head) on_head(response);
  }
  openai::ResponseStreamParser parser(api, response.streamed ? Form::kEventStream : Form::kJson,
                                      false);
  std::vector<std::string_view> passed;
  while (response.error == net::CallError::kNone) {
    const net::HttpCall::Piece piece = co_await call.ReadSome(deadline);
    response.error = piece.error;
    if (piece.error != net::CallError::kNone) break;
    passed.clear();
    parser.Feed(piece.data, passed);
    if (piece.last) parser.Finish(passed);
    const auto seen = static_cast<Tokens>(parser.deltas());
    if (response.streamed && seen > response.pieces) {
      response.last_token = system::MonotonicNow();
      if (response.pieces == 0) response.first_token = response.last_token;
    }
    response.pieces = seen;
    if (!response.streamed && response.text.size() < Response::kMaxTextBytes) {
      response.text.append(piece.data);
    }
    if (piece.last) break;
  }
  calls_.erase(&call);
  if (response.error != net::CallError::kNone) response.fault = call.Fault();
  response.end = system::MonotonicNow();
  if (response.status != 0 && response.first_token == 0) {
    response.first_token = response.last_token = response.end;
  }
  response.usage = parser.usage();
  response.outcome = OutcomeOf(response, parser);
  co_return response;
}

void Client::BreakOff() {
  // Closing a call may end its coroutine, which takes it out of the set.
  const std::vector<net::HttpCall*> open(calls_.begin(), calls_.end());
  for (net::HttpCall* call : open) {
    if (calls_.contains(call)) call->Close();
  }
}

void Client::Stop() {
  stopped_ = true;
  BreakOff();
}

}  // namespace headrace::completion
