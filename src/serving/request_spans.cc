#include "serving/request_spans.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>

#include "openai/api_path.h"
#include "system/http_url.h"

namespace headrace::serving {
namespace {

using tracing::Span;

constexpr int kFirstServerError = 500;
// Of what a client may make as long as it likes.
constexpr std::size_t kMostTextBytes = 256;

std::string_view Cut(std::string_view text) { return text.substr(0, kMostTextBytes); }

// "" for what is no operation of the conventions.
std::string_view OperationOf(openai::ApiKind kind) {
  switch (kind) {
    case openai::ApiKind::kChatCompletions:
    case openai::ApiKind::kResponses:
    case openai::ApiKind::kMessages:
      return "chat";
    case openai::ApiKind::kCompletions:
      return "text_completion";
    case openai::ApiKind::kEmbeddings:
      return "embeddings";
    case openai::ApiKind::kOther:
      break;
  }
  return {};
}

// One of a few, whatever clients ask for; "" for others.
std::string_view RouteOf(std::string_view path) {
  if (const openai::ApiPath* const api = openai::FindApiPath(path)) return api->path;
  return path.starts_with("/v1/responses/") ? "/v1/responses/{id}" : std::string_view();
}

// Of a client or an endpoint.
void AddAddress(const std::string& address, std::string_view host_key, std::string_view port_key,
                Span& span) {
  const auto url = system::ParseHttpUrl(address);
  if (!url) return span.Add(host_key, address);
  span.Add(host_key, url->host.host);
  span.Add(port_key, std::int64_t{url->host.port});
}

Span ServerSpan(const tracing::RequestTrace& trace, const Exchange& exchange,
                std::string_view request_id) {
  const std::string_view route = RouteOf(exchange.path);
  const std::string_view method = Cut(exchange.method);
  Span span;
  span.context = trace.context;
  span.parent = trace.parent;
  span.remote_parent = trace.parent != 0;
  span.name = route.empty() ? std::string(method) : std::string(method) + " " + std::string(route);
  span.kind = Span::Kind::kServer;
  span.Add("http.request.method", method);
  span.Add("http.route", route);
  span.Add("url.scheme", exchange.scheme);
  span.Add("url.path", Cut(exchange.path));
  if (exchange.client != nullptr) {
    AddAddress(exchange.client->ToString(), "client.address", "client.port", span);
  }
  if (exchange.status > 0) span.Add("http.response.status_code", std::int64_t{exchange.status});
  span.Add("headrace.request_id", Cut(request_id));
  if (exchange.status >= kFirstServerError) {
    span.error = true;
    span.Add("error.type", std::to_string(exchange.status));
  }
  return span;
}

void AddGenAi(const FinishedRequest& request, Span& span) {
  span.Add("gen_ai.operation.name", OperationOf(request.kind));
  span.Add("gen_ai.provider.name", "openai");  // Whose API it is.
  span.Add("gen_ai.request.model", Cut(request.model));
}

void AddUsage(const FinishedRequest& request, Span& span) {
  if (!request.counted) return;
  span.Add("gen_ai.usage.input_tokens", std::int64_t{request.latency.prompt_tokens});
  span.Add("gen_ai.usage.output_tokens", std::int64_t{request.latency.output_tokens});
}

// An end that is not the client's doing.
bool Failed(const FinishedRequest& request) {
  return request.outcome == telemetry::Outcome::kFailed ||
         request.outcome == telemetry::Outcome::kTimedOut ||
         request.outcome == telemetry::Outcome::kEngineError;
}

void AddDecision(const FinishedRequest& request, Span& span) {
  span.Add("headrace.pool", request.pool);
  span.Add("headrace.outcome", ToString(request.outcome));
  span.Add("headrace.policy", request.policy);
  if (request.fallback != scheduler::FallbackCause::kNone) {
    span.Add("headrace.fallback", ToString(request.fallback));
  }
  if (request.hold != scheduler::Hold::kNone) span.Add("headrace.hold", ToString(request.hold));
  if (request.refused) span.Add("headrace.refused", ToString(*request.refused));
  if (request.refused) span.Add("headrace.reason", request.refusal);
  if (!request.failed_tries.empty()) {
    span.Add("headrace.failed_tries", static_cast<std::int64_t>(request.failed_tries.size()));
  }
  span.AddNumber("headrace.queue_seconds", request.queued);
  if (request.CountsForSlo()) span.AddFlag("headrace.slo_met", request.MetSlo());
  if (request.outlook) {
    span.AddNumber("headrace.predicted.ttft_seconds", request.PredictedTtft());
    span.AddNumber("headrace.predicted.e2e_seconds", request.outlook->end - request.arrived);
    span.AddNumber("headrace.predicted.miss", request.outlook->miss);
    if (request.outlook->harm) span.AddNumber("headrace.predicted.harm", *request.outlook->harm);
  }
  if (request.endpoint == nullptr) return;
  span.Add("headrace.deployment", request.endpoint->deployment);
  span.Add("headrace.endpoint", request.endpoint->address);
  span.Add("headrace.reason", DescribeChoice({.policy = request.policy,
                                              .fallback = request.fallback,
                                              .endpoint = request.endpoint->id,
                                              .sent = request.arrived + request.queued,
                                              .hold = request.hold,
                                              .held_cost = request.held_cost,
                                              .queued = request.queued},
                                             request.considered));
}

// The waits and tries of a request, in the order of time.
class Children {
 public:
  Children(const FinishedRequest& request, Seconds origin, std::vector<Span>& spans)
      : request_(request), origin_(origin), spans_(spans) {}

  // `from` and `to` are times from the request's arrival.
  void AddWait(Seconds from, Seconds to) { Add(WaitChild(waits_++), from, to).name = "queue"; }
  Span& AddTry(const std::string& address, std::string_view deployment, Seconds from, Seconds to) {
    Span& span = Add(TryChild(tries_++), from, to);
    const std::string_view operation = OperationOf(request_.kind);
    const std::string_view method = Cut(request_.exchange.method);
    span.name = operation.empty() ? std::string(method)
                                  : std::string(operation) + " " + std::string(Cut(request_.model));
    span.kind = Span::Kind::kClient;
    AddGenAi(request_, span);
    span.Add("http.request.method", method);
    AddAddress(address, "server.address", "server.port", span);
    span.Add("headrace.deployment", deployment);
    return span;
  }

 private:
  Span& Add(int child, Seconds from, Seconds to) {
    Span& span = spans_.emplace_back();
    span.context = request_.trace->ContextOfChild(child);
    span.parent = request_.trace->context.span;
    span.start = origin_ + from;
    span.end = origin_ + std::max(from, to);
    return span;
  }

  const FinishedRequest& request_;
  const Seconds origin_;
  std::vector<Span>& spans_;
  int waits_ = 0;
  int tries_ = 0;
};

}  // namespace

std::vector<Span> SpansOf(const FinishedRequest& request, Seconds unix_minus_monotonic) {
  const Seconds origin = request.arrived + unix_minus_monotonic;
  std::vector<Span> spans;
  spans.reserve(1 + 2 * (request.failed_tries.size() + 1));
  Span& own = spans.emplace_back(ServerSpan(*request.trace, request.exchange, request.request_id));
  own.start = origin;
  own.end = origin + request.whole;
  AddGenAi(request, own);
  AddUsage(request, own);
  AddDecision(request, own);
  if (Failed(request) && !own.error) {
    own.error = true;
    own.Add("error.type", request.fault ? ToString(*request.fault) : ToString(request.outcome));
  }

  Children children(request, origin, spans);
  Seconds waits_since = 0;
  for (const FailedTry& failed : request.failed_tries) {
    children.AddWait(waits_since, failed.sent);
    waits_since = failed.sent + failed.took;
    Span& span = children.AddTry(failed.address, failed.deployment, failed.sent, waits_since);
    span.error = true;
    span.error_message = failed.why;
    span.Add("error.type", ToString(failed.fault));
  }
  if (request.endpoint == nullptr) {
    children.AddWait(waits_since, request.served);
    return spans;
  }
  children.AddWait(waits_since, request.queued);
  Span& served = children.AddTry(request.endpoint->address, request.endpoint->deployment,
                                 request.queued, request.served);
  AddUsage(request, served);
  if (request.first_token > 0) {
    served.events.push_back({"first token", origin + request.first_token});
    if (request.stream) {
      served.AddNumber("gen_ai.response.time_to_first_chunk", request.first_token - request.queued);
    }
  }
  if (Failed(request)) {
    served.error = true;
    served.Add("error.type", request.fault ? ToString(*request.fault) : ToString(request.outcome));
  }
  return spans;
}

std::vector<Span> SpansOf(const AnsweredRequest& request, Seconds unix_minus_monotonic,
                          Seconds now) {
  std::vector<Span> spans;
  Span& own = spans.emplace_back(ServerSpan(*request.trace, request.exchange, request.request_id));
  own.start = request.arrived + unix_minus_monotonic;
  own.end = now + unix_minus_monotonic;
  own.Add("gen_ai.request.model", Cut(request.model));
  own.Add("headrace.reason", Cut(request.reason));
  return spans;
}

}  // namespace headrace::serving
