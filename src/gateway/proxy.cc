#include "gateway/proxy.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <random>
#include <utility>

#include "base/json_writer.h"
#include "gateway/request_headers.h"
#include "openai/response.h"
#include "system/clock.h"

namespace headrace::gateway {
namespace {

// A connection that could not be made is no fault of the request: it is routed again, this often.
constexpr int kMostDispatches = 3;
// What a waiting request occupies beside its body.
constexpr std::size_t kRequestOverhead = 4096;

// Under AIBrix's name and under the one that OpenAI's clients read.
void AddRequestId(std::string_view request_id, net::ResponseHead& head) {
  head.Add("request-id", request_id);
  head.Add("x-request-id", request_id);
}

// What the gateway says itself in an answer; the same from an engine (another gateway, perhaps)
// would contradict it.
bool IsOwnHeader(std::string_view name) {
  static constexpr std::string_view kNames[] = {"request-id", "x-request-id", "target-pod",
                                                "target-deployment", "routing-strategy"};
  return std::ranges::any_of(kNames,
                             [&](std::string_view own) { return net::SameHeaderName(name, own); });
}

net::ResponseHead JsonHead(int status, std::string_view request_id) {
  net::ResponseHead head(status);
  head.Add("content-type", "application/json");
  AddRequestId(request_id, head);
  return head;
}

std::string ModelJson(std::string_view name) {
  std::string json = R"({"id":)";
  AppendJsonString(name, json);
  return json + R"(,"object":"model","created":0,"owned_by":"headrace"})";
}

std::string_view RefusalHeader(scheduler::RefusalReason reason) {
  return reason == scheduler::RefusalReason::kNoEndpoint ? "x-error-no-model-backends"
                                                         : "x-error-routing";
}

}  // namespace

struct Proxy::ThreadState {
  ThreadState(net::IoThread& thread, const net::HttpClientOptions& options)
      : client(thread, options), ids(std::random_device{}()) {}

  std::string NewRequestId() {
    char text[40];
    std::snprintf(text, sizeof text, "%016llx%016llx", static_cast<unsigned long long>(ids.Next()),
                  static_cast<unsigned long long>(ids.Next()));
    return text;
  }

  net::HttpClient client;
  openai::RequestScanner scanner;
  Rng ids;
};

// One request's passage through the gateway, from the scanned body on.
class Proxy::ProxiedRequest {
 public:
  ProxiedRequest(Proxy& proxy, ThreadState& thread, net::HttpExchange& exchange,
                 serving::ServedModel& model, openai::ApiKind kind, openai::RequestFacts facts,
                 std::string request_id)
      : proxy_(proxy),
        thread_(thread),
        exchange_(exchange),
        model_(model),
        kind_(kind),
        facts_(std::move(facts)),
        request_id_(std::move(request_id)),
        deadline_(exchange.arrived() + proxy.config_.timeouts.request) {
    finished_.model = model_.name;
    finished_.arrived = exchange.arrived();
    for (serving::RequestObserver* observer : proxy_.observers_)
      observer->OnArrived(model_.name, exchange.arrived());
  }

  ~ProxiedRequest() {
    for (serving::RequestObserver* observer : proxy_.observers_) observer->OnFinished(finished_);
  }
  ProxiedRequest(const ProxiedRequest&) = delete;
  ProxiedRequest& operator=(const ProxiedRequest&) = delete;

  net::Task<void> Run(const RequestControls& controls) {
    const scheduler::Arrival arrival = MakeArrival(controls);
    serving::RoutedRequest routed(model_.router, exchange_.thread(), arrival);
    finished_.expected_output_tokens = routed.expected_output_tokens() * facts_.choices;
    exchange_.OnClientGone([this, &routed] {
      routed.Abandon();
      if (call_ != nullptr) call_->Close();
    });
    for (int dispatches = 1;; ++dispatches) {
      std::optional<serving::Route> route = co_await routed.Wait(deadline_);
      finished_.queued = system::MonotonicNow() - exchange_.arrived();
      if (!route) {
        co_await Undecided();
        co_return;
      }
      finished_.slo = route->slo;
      if (const auto& reason = route->decision.refused) {
        co_await Refused(*reason, route->decision, arrival);
        co_return;
      }
      TakeRoute(*route);
      const net::CallError error = co_await Forward(*route, routed);
      if (error == net::CallError::kNone) co_return;
      const bool nothing_sent =
          error == net::CallError::kConnectFailed || error == net::CallError::kConnectTimeout;
      if (nothing_sent) model_.router.SetUp(*route->endpoint, false, Describe(error));
      if (nothing_sent && dispatches < kMostDispatches) {
        LeaveRoute();
        routed.Return();
        continue;
      }
      routed.Complete({});
      co_await Failed(error, *route);
      co_return;
    }
  }

 private:
  scheduler::Arrival MakeArrival(const RequestControls& controls) {
    scheduler::Arrival arrival;
    double prompt = static_cast<double>(facts_.prompt_token_ids);
    if (facts_.prompt_bytes > 0) {
      const std::lock_guard lock(model_.estimator_mutex);
      prompt += model_.estimator.Estimate(static_cast<std::int64_t>(facts_.prompt_bytes));
    }
    arrival.prompt_tokens = static_cast<Tokens>(std::clamp(prompt, 1.0, 1e9));
    arrival.max_tokens = facts_.max_tokens;
    // Embeddings answer without generating: the prompt is all the work.
    if (kind_ == openai::ApiKind::kEmbeddings) arrival.output_tokens = 1;
    arrival.slo = controls.slo;
    arrival.policy = controls.policy;
    arrival.bytes = exchange_.body().size() + kRequestOverhead;
    finished_.estimated_prompt_tokens = arrival.prompt_tokens;
    return arrival;
  }

  void TakeRoute(const serving::Route& route) {
    endpoint_ = route.endpoint;
    finished_.deployment = endpoint_->deployment;
    finished_.policy = route.decision.policy;
    finished_.fallback = route.decision.fallback;
  }

  // Nobody has served it yet.
  void LeaveRoute() {
    endpoint_ = nullptr;
    finished_.deployment = {};
    finished_.policy = {};
    finished_.fallback = scheduler::FallbackCause::kNone;
  }

  // --- Ends without an answer from an engine.

  net::Task<void> Undecided() {
    if (exchange_.client_gone()) {
      finished_.outcome = telemetry::Outcome::kCancelled;
      co_return;
    }
    finished_.outcome = telemetry::Outcome::kTimedOut;
    const openai::ApiError error = openai::MakeApiError(504, DeadlineText());
    co_await RespondError(error, "x-error-routing");
  }

  std::string DeadlineText() const {
    char text[96];
    std::snprintf(text, sizeof text, "The request took longer than the gateway allows (%g s).",
                  proxy_.config_.timeouts.request);
    return text;
  }

  net::Task<void> Refused(scheduler::RefusalReason reason, const scheduler::Decision& decision,
                          const scheduler::Arrival& arrival) {
    finished_.outcome = telemetry::Outcome::kRefused;
    finished_.refused = reason;
    const int status = reason == scheduler::RefusalReason::kNoEndpoint ? 503 : 429;
    openai::ApiError error =
        openai::MakeApiError(status, model_.router.ExplainRefusal(decision, arrival));
    error.code = ToString(reason);
    net::ResponseHead head = JsonHead(status, request_id_);
    head.Add(RefusalHeader(reason), ToString(reason));
    head.Add("retry-after", static_cast<std::uint64_t>(std::ceil(decision.retry_after)));
    // The official clients try again by themselves; where that cannot help, they are told not to.
    if (reason == scheduler::RefusalReason::kSloUnattainable) head.Add("x-should-retry", "false");
    const std::string body = error.ToJson();
    co_await exchange_.Respond(head, body);
  }

  net::Task<void> Failed(net::CallError error, const serving::Route& route) {
    if (exchange_.client_gone()) {
      finished_.outcome = telemetry::Outcome::kCancelled;
      co_return;
    }
    const bool late =
        error == net::CallError::kHeadTimeout || error == net::CallError::kBodyTimeout;
    finished_.outcome = late ? telemetry::Outcome::kTimedOut : telemetry::Outcome::kFailed;
    const std::string text = "Endpoint " + route.endpoint->address + " of deployment '" +
                             route.endpoint->deployment +
                             "' failed: " + std::string(Describe(error)) + ".";
    const openai::ApiError answer = openai::MakeApiError(late ? 504 : 502, text);
    if (!exchange_.started()) {
      co_await RespondError(answer, "x-error-routing");
      co_return;
    }
    if (event_stream_) {
      // The status is long sent: say it inside the stream, which then ends without its end mark. A
      // connection that broke off right behind would take the news from clients that read ahead.
      const std::string event = "data: " + answer.ToJson() + "\n\n";
      co_await exchange_.WriteLast(event);
      co_return;
    }
    exchange_.Abort();
  }

  net::Task<void> RespondError(const openai::ApiError& error, std::string_view header) {
    net::ResponseHead head = JsonHead(error.status, request_id_);
    head.Add(header, "true");
    if (endpoint_) head.Add("target-pod", endpoint_->address);
    const std::string body = error.ToJson();
    co_await exchange_.Respond(head, body);
  }

  // --- The engine's answer.

  // Sends the request to the endpoint and relays the answer. kNone: the request has ended, in
  // whatever way. An error: it has not ended, and unless the exchange has started, nothing was
  // sent.
  net::Task<net::CallError> Forward(const serving::Route& route, serving::RoutedRequest& routed) {
    net::HttpCall call(thread_.client);
    call_ = &call;
    const Seconds sent = system::MonotonicNow();
    const net::RequestHead head = MakeRequestHead();
    const std::vector<std::string_view> body = BodyPieces();
    const Seconds head_deadline = std::min(deadline_, sent + proxy_.config_.timeouts.first_byte);
    net::CallError error = co_await call.Start(route.endpoint->socket, head, body, head_deadline);
    if (error == net::CallError::kNone) error = co_await Relay(call, routed, sent);
    call_ = nullptr;
    co_return error;
  }

  net::RequestHead MakeRequestHead() const {
    net::RequestHead head(exchange_.method(), exchange_.target(), endpoint_->address);
    const std::string_view connection = exchange_.Header("connection");
    for (const net::HeaderField& field : exchange_.headers()) {
      // The answer must be readable on its way, so no compression is asked for.
      if (net::IsHopByHop(field.name, connection) || net::SameHeaderName(field.name, "host") ||
          net::SameHeaderName(field.name, "accept-encoding") ||
          net::SameHeaderName(field.name, "x-request-id")) {
        continue;
      }
      head.Add(field.name, field.value);
    }
    head.Add("x-request-id", request_id_);
    return head;
  }

  // The body as it came, with the request for usage spliced in where it lacks one.
  std::vector<std::string_view> BodyPieces() const {
    const std::string_view body = exchange_.body();
    if (!facts_.ask_for_usage) return {body};
    const openai::BodySplice& splice = *facts_.ask_for_usage;
    return {body.substr(0, splice.offset), splice.insert,
            body.substr(splice.offset + splice.erase)};
  }

  void StartAnswer(const net::HttpCall& call, bool rewritten) {
    if (exchange_.started()) return;
    net::ResponseHead head(call.status());
    const std::string_view connection = call.Header("connection");
    for (const net::HeaderField& field : call.headers()) {
      if (net::IsHopByHop(field.name, connection) || IsOwnHeader(field.name)) continue;
      head.Add(field.name, field.value);
    }
    AddRequestId(request_id_, head);
    head.Add("target-pod", endpoint_->address);
    head.Add("target-deployment", endpoint_->deployment);
    head.Add("routing-strategy", finished_.policy);
    const std::int64_t length = call.content_length();
    exchange_.Start(
        head, length >= 0 && !rewritten ? std::optional<std::uint64_t>(length) : std::nullopt);
  }

  net::Task<net::CallError> Relay(net::HttpCall& call, serving::RoutedRequest& routed,
                                  Seconds sent) {
    event_stream_ = call.Header("content-type").starts_with("text/event-stream");
    const bool hide_usage = event_stream_ && facts_.ask_for_usage.has_value();
    openai::ResponseStreamParser meter(kind_,
                                       event_stream_
                                           ? openai::ResponseStreamParser::Form::kEventStream
                                           : openai::ResponseStreamParser::Form::kJson,
                                       hide_usage);
    // A stream's head tells the client who serves it, long before the first token may come. Any
    // other's waits for its body: an engine that fails before is answered with 502.
    if (event_stream_) {
      StartAnswer(call, hide_usage);
      if (!co_await exchange_.Flush()) co_return net::CallError::kClosed;
    }
    Seconds first_token = 0;
    std::vector<std::string_view> forward;
    for (;;) {
      const Seconds idle = system::MonotonicNow() + proxy_.config_.timeouts.idle;
      const net::HttpCall::Piece piece = co_await call.ReadSome(std::min(deadline_, idle));
      if (piece.error != net::CallError::kNone) co_return piece.error;
      StartAnswer(call, hide_usage);
      forward.clear();
      meter.Feed(piece.data, forward);
      if (piece.last) meter.Finish(forward);
      if (first_token == 0 && meter.first_token()) first_token = system::MonotonicNow();
      if (piece.last) break;
      if (!forward.empty() && !co_await exchange_.Write(forward)) co_return net::CallError::kClosed;
    }
    // The request leaves its endpoint when the engine is done, however slowly the client reads on.
    const Seconds ended = system::MonotonicNow();
    Account(call, meter, routed, sent, first_token, ended);
    if (!forward.empty() && !co_await exchange_.Write(forward)) co_return net::CallError::kNone;
    co_await exchange_.Finish();
    co_return net::CallError::kNone;
  }

  void Account(const net::HttpCall& call, const openai::ResponseStreamParser& meter,
               serving::RoutedRequest& routed, Seconds sent, Seconds first_token, Seconds ended) {
    const bool ok = call.status() < 400 && !meter.error_in_stream();
    finished_.outcome = telemetry::Outcome::kCompleted;
    finished_.error_status = !ok;
    slo::RequestLatency& latency = finished_.latency;
    latency.e2e = ended - exchange_.arrived();
    latency.ttft = (first_token > 0 ? first_token : ended) - exchange_.arrived();
    latency.prompt_tokens = routed.arrival().prompt_tokens;
    if (const auto& usage = meter.usage()) {
      latency.prompt_tokens = usage->prompt_tokens;
      latency.output_tokens = usage->completion_tokens;
      finished_.counted = true;
    } else if (event_stream_) {
      latency.output_tokens = static_cast<Tokens>(meter.deltas());
    }
    // A whole JSON answer comes at once: its first token is its last.
    if (!event_stream_) latency.ttft = latency.e2e;

    scheduler::Completion completion;
    if (ok && latency.output_tokens > 0 && kind_ != openai::ApiKind::kEmbeddings) {
      completion.prompt_tokens = latency.prompt_tokens;
      completion.output_tokens = std::max(1, latency.output_tokens / std::max(1, facts_.choices));
      completion.e2e = ended - sent;
    }
    routed.Complete(completion);
    if (ok && finished_.counted && facts_.prompt_token_ids == 0 && facts_.choices == 1) {
      const std::lock_guard lock(model_.estimator_mutex);
      model_.estimator.Learn(static_cast<std::int64_t>(facts_.prompt_bytes), latency.prompt_tokens);
    }
  }

  Proxy& proxy_;
  ThreadState& thread_;
  net::HttpExchange& exchange_;
  serving::ServedModel& model_;
  openai::ApiKind kind_;
  openai::RequestFacts facts_;
  std::string request_id_;
  Seconds deadline_;
  net::HttpCall* call_ = nullptr;  // The call under way.
  bool event_stream_ = false;
  std::shared_ptr<const serving::EndpointInfo> endpoint_;
  serving::FinishedRequest finished_;
};

Proxy::Proxy(const config::Config& config,
             std::vector<std::unique_ptr<serving::ServedModel>>& models, net::IoThreads& threads,
             std::vector<serving::RequestObserver*> observers)
    : config_(config), models_(models), observers_(std::move(observers)) {
  net::HttpClientOptions options;
  options.connect_timeout = config.timeouts.connect;
  options.max_head_bytes = config.limits.header;
  for (int i = 0; i < threads.size(); ++i) {
    threads_.push_back(std::make_unique<ThreadState>(threads[i], options));
  }
}

Proxy::~Proxy() {
  // Connections end on the thread that they live on.
  for (auto& state : threads_) {
    net::IoThread& thread = state->client.thread();
    thread.Post([owned = std::shared_ptr<ThreadState>(std::move(state))] {});
  }
}

serving::ServedModel* Proxy::FindModel(std::string_view name) const {
  for (const auto& model : models_) {
    if (model->name == name) return model.get();
  }
  return nullptr;
}

std::string Proxy::ModelsJson() const {
  std::string json = R"({"object":"list","data":[)";
  for (const auto& model : models_) {
    if (json.back() == '}') json += ',';
    json += ModelJson(model->name);
  }
  return json + "]}";
}

net::Task<void> Proxy::Handle(net::HttpExchange& exchange) {
  ThreadState& thread = *threads_[static_cast<std::size_t>(exchange.thread().index())];
  std::string request_id(exchange.Header("x-request-id"));
  if (request_id.empty()) request_id = thread.NewRequestId();
  const auto fail = [&](const openai::ApiError& error, std::string_view header) -> net::Task<void> {
    for (serving::RequestObserver* observer : observers_) observer->OnInvalid(error.status);
    net::ResponseHead head = JsonHead(error.status, request_id);
    if (!header.empty()) head.Add(header, "true");
    const std::string body = error.ToJson();
    co_await exchange.Respond(head, body);
  };

  const std::string_view path = exchange.path();
  if (path == "/healthz" || path == "/readyz") {
    const bool ready = path == "/healthz" || std::ranges::any_of(models_, [](const auto& model) {
                         return model->router.AnyUp();
                       });
    const net::ResponseHead head = JsonHead(ready ? 200 : 503, request_id);
    co_await exchange.Respond(head,
                              ready ? R"({"status":"ok"})" : R"({"status":"no endpoint up"})");
    co_return;
  }
  if (path == "/v1/models") {
    const net::ResponseHead head = JsonHead(200, request_id);
    const std::string body = ModelsJson();
    co_await exchange.Respond(head, body);
    co_return;
  }
  constexpr std::string_view kModelPrefix = "/v1/models/";
  if (path.starts_with(kModelPrefix)) {
    const std::string_view name = path.substr(kModelPrefix.size());
    if (FindModel(name) == nullptr) {
      const openai::ApiError error = openai::ModelNotFound(name);
      co_await fail(error, "x-error-no-model-backends");
      co_return;
    }
    const net::ResponseHead head = JsonHead(200, request_id);
    const std::string body = ModelJson(name);
    co_await exchange.Respond(head, body);
    co_return;
  }
  const std::optional<openai::ApiKind> kind = openai::ApiKindOf(path);
  if (!kind) {
    const openai::ApiError error =
        openai::MakeApiError(404, "There is nothing at " + std::string(path) + ".");
    co_await fail(error, "");
    co_return;
  }
  if (exchange.method() != "POST") {
    const openai::ApiError error =
        openai::MakeApiError(405, "Use POST for " + std::string(path) + ".");
    co_await fail(error, "");
    co_return;
  }
  auto facts = thread.scanner.Scan(*kind, exchange.body());
  if (!facts) {
    co_await fail(facts.error(), facts.error().param == "model"
                                     ? "x-error-no-model-in-request"
                                     : "x-error-request-body-processing");
    co_return;
  }
  serving::ServedModel* model = FindModel(facts->model);
  if (model == nullptr) {
    const openai::ApiError error = openai::ModelNotFound(facts->model);
    co_await fail(error, "x-error-no-model-backends");
    co_return;
  }
  const auto controls = ReadControls(exchange);
  if (!controls) {
    co_await fail(controls.error().error, controls.error().header);
    co_return;
  }
  ProxiedRequest passage(*this, thread, exchange, *model, *kind, std::move(*facts),
                         std::move(request_id));
  co_await passage.Run(*controls);
}

}  // namespace headrace::gateway
