#include "completion/client.h"

#include <algorithm>
#include <charconv>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "base/text.h"
#include "system/clock.h"

namespace headrace::completion {
namespace {

constexpr std::size_t kMostSaidBytes = 300;

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

using Json = nlohmann::json;

// The text under one of these keys, or an empty one.
std::string TextUnder(const Json& object, std::initializer_list<const char*> keys) {
  for (const char* key : keys) {
    const auto found = object.find(key);
    if (found != object.end() && found->is_string()) return found->get<std::string>();
  }
  return "";
}

// What a server says is wrong: {"error": {"message": …}}, {"error": …}, {"message": …} or
// {"detail": …}; else the text itself.
std::string SentenceIn(std::string_view text) {
  const Json json = Json::parse(text, nullptr, false);
  std::string sentence;
  if (json.is_object()) {
    const auto error = json.find("error");
    if (error != json.end() && error->is_object()) sentence = TextUnder(*error, {"message"});
    if (sentence.empty()) sentence = TextUnder(json, {"error", "message", "detail"});
  }
  return Excerpt(Trimmed(sentence.empty() ? text : sentence), kMostSaidBytes);
}

// Of an event stream whose last piece this is.
std::string SentenceInEvents(std::string_view events) {
  const std::size_t error = events.find("\"error\"");
  const std::size_t begin = events.rfind("data:", error);
  if (error == events.npos || begin == events.npos) return "";
  const std::string_view data = events.substr(begin + 5);
  return SentenceIn(data.substr(0, data.find('\n')));
}

// Whether a choice of a whole response that says nothing of its usage has any content.
bool HasContent(std::string_view text) {
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_object() || !json.contains("choices") || !json["choices"].is_array()) return false;
  return std::ranges::any_of(json["choices"], [](const Json& choice) {
    if (!choice.is_object()) return false;
    if (!TextUnder(choice, {"text"}).empty()) return true;
    const auto message = choice.find("message");
    if (message == choice.end() || !message->is_object()) return false;
    for (const char* key : {"content", "reasoning_content", "reasoning", "tool_calls"}) {
      if (const auto part = message->find(key); part != message->end() && !part->empty()) {
        if (!part->is_string() || !part->get_ref<const std::string&>().empty()) return true;
      }
    }
    return false;
  });
}

// A stream has to have brought one, whatever its usage counts.
bool HasToken(const Response& response) {
  if (response.streamed) return response.pieces > 0;
  return response.usage ? response.usage->completion_tokens > 0 : HasContent(response.text);
}

// "queued_ms=12.5; ttft_ms=…"
std::optional<Seconds> QueuedOf(std::string_view explanation) {
  constexpr std::string_view kKey = "queued_ms=";
  if (!explanation.starts_with(kKey)) return std::nullopt;
  explanation.remove_prefix(kKey.size());
  double milliseconds = 0;
  const auto [end, error] =
      std::from_chars(explanation.data(), explanation.data() + explanation.size(), milliseconds);
  if (error != std::errc() || !(milliseconds >= 0)) return std::nullopt;
  return milliseconds * kMillisecond;
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
    case Outcome::kNoToken:
      return response.usage && response.usage->completion_tokens > 0
                 ? "no token in the stream, although its usage counts some"
                 : "no token in the response";
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
  // It may have come piece by piece all the time.
  if (response.error == net::CallError::kBodyTimeout) {
    return "the response was not whole within the time limit";
  }
  return response.fault;
}

slo::RequestLatency LatencyOf(const Response& response, Tokens prompt_tokens) {
  slo::RequestLatency latency;
  if (response.streamed && response.pieces > 0) {
    latency.ttft = response.first_token - response.due;
  }
  latency.e2e = response.end - response.due;
  latency.prompt_tokens = response.usage ? response.usage->prompt_tokens : prompt_tokens;
  const Tokens counted = response.usage ? response.usage->completion_tokens : 0;
  latency.output_tokens = counted > 0 ? counted : response.pieces;
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
  Response response = co_await Call(std::move(head), std::move(body), request.api, due, deadline,
                                    std::move(on_head));
  if (response.outcome == Outcome::kCompleted && !HasToken(response)) {
    response.outcome = Outcome::kNoToken;
  }
  co_return response;
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
    response.queued = QueuedOf(call.Header("x-headrace-explain"));
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
    if (parser.error() && response.streamed && response.said.empty()) {
      response.said = SentenceInEvents(piece.data);
    }
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
  response.usage = parser.usage();
  response.outcome = OutcomeOf(response, parser);
  const bool told = !response.streamed && (response.outcome == Outcome::kErrorStatus ||
                                           response.outcome == Outcome::kErrorInStream);
  if (told) response.said = SentenceIn(response.text);
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
