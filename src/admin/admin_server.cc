#include "admin/admin_server.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>

#include "admin/explain_json.h"
#include "admin/status_json.h"
#include "admin/timeline_json.h"
#include "base/duration.h"
#include "base/json_writer.h"
#include "base/text.h"
#include "embedded/status_page.h"
#include "openai/error.h"
#include "system/clock.h"
#include "system/url.h"
#include "telemetry/open_metrics.h"

namespace headrace::admin {
namespace {

constexpr std::string_view kJsonType = "application/json";
constexpr Seconds kDrain = 1;
constexpr int kMostConnections = 1024;
constexpr Seconds kIdle = 30;
constexpr Seconds kRecordingInterval = 0.1;  // Between two looks for new lines.
constexpr Seconds kLongestRecording = 86400;
constexpr std::size_t kExplained = 20;  // On the page of the latest requests, unless it says more.
constexpr std::size_t kMostExplained = 200;
constexpr Seconds kUntilNoted = 0.05;  // Much longer than it takes.
constexpr Seconds kLiveInterval = 2;
constexpr int kTimelineEvery = 2;  // Times that the status was sent.

struct Page {
  int status = 200;
  std::string_view content_type = kJsonType;
  std::string body;
};

net::Task<void> Send(net::HttpExchange& exchange, const Page& page) {
  net::ResponseHead head(page.status);
  head.Add("content-type", page.content_type);
  head.Add("x-content-type-options", "nosniff");
  co_await exchange.Respond(head, page.body);
}

// A file of the status page. It may use nothing from elsewhere, and run no script but its own.
net::Task<void> SendFile(net::HttpExchange& exchange, std::string_view name) {
  net::ResponseHead head(200);
  const std::string_view type = name.substr(name.rfind('.') + 1);
  head.Add("content-type", type == "js" ? "text/javascript; charset=utf-8"
                                        : "text/" + std::string(type) + "; charset=utf-8");
  head.Add("content-security-policy",
           "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
           "base-uri 'none'; form-action 'none'; frame-ancestors 'none'");
  head.Add("x-content-type-options", "nosniff");
  head.Add("cache-control", "no-cache");
  for (const auto& [file, text] : embedded::k_status_page) {
    if (file == name) co_await exchange.Respond(head, text);
  }
}

// An event of a stream; `json` may have several lines.
std::string EventOf(std::string_view name, std::string_view json) {
  std::string event = "event: " + std::string(name) + "\n";
  while (!json.empty()) {
    const std::size_t end = std::min(json.find('\n'), json.size());
    event.append("data: ").append(json.substr(0, end)).append("\n");
    json.remove_prefix(std::min(end + 1, json.size()));
  }
  return event + "\n";
}

Page Complaint(int status, const std::string& sentence) {
  std::string body = "{\"error\":";
  AppendJsonString(sentence, body);
  return {.status = status, .body = body + "}\n"};
}

struct RecordingRequest {
  std::string model;
  Seconds duration = 60;
};

// `model` may be left out where there is but one. Errors: the rest of a sentence about the query.
Result<RecordingRequest> ParseRecordingRequest(std::string_view query,
                                               const gateway::Gateway& gateway) {
  RecordingRequest request;
  const auto parameters = system::ParseQuery(query);
  if (!parameters) return tl::unexpected(parameters.error());
  for (const auto& [name, value] : *parameters) {
    if (name == "model") {
      request.model = value;
    } else if (name == "duration") {
      const auto duration = ParseDuration(value);
      if (!duration) return Fail("duration " + duration.error().message);
      if (!(*duration > 0 && *duration <= kLongestRecording)) {
        return Fail("duration must be above 0 and at most " + WriteDuration(kLongestRecording));
      }
      request.duration = *duration;
    } else {
      return Fail("only model=NAME and duration=1m are allowed after the ?");
    }
  }
  const serving::PoolList pools = gateway.pools().list();
  if (request.model.empty() && pools.size() == 1) request.model = pools[0]->name();
  const std::shared_ptr<serving::Pool> pool = gateway.pools().Find(request.model);
  if (pool == nullptr) {
    std::string names;
    for (const auto& known : pools) names += (names.empty() ? "" : ", ") + known->name();
    return Fail("model must be one of " + names);
  }
  request.model = pool->name();
  return request;
}

// `last=20`. Errors: the rest of a sentence about the query.
Result<std::size_t> ParseLast(std::string_view query) {
  HEADRACE_ASSIGN(const auto parameters, system::ParseQuery(query));
  std::size_t most = kExplained;
  for (const auto& [name, value] : parameters) {
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), most);
    if (name != "last" || error != std::errc() || end != value.data() + value.size() || most < 1 ||
        most > kMostExplained) {
      return Fail("only last=NUMBER, from 1 to " + std::to_string(kMostExplained) +
                  ", is allowed after the ?");
    }
  }
  return most;
}

struct DrainRequest {
  std::optional<std::string> model;
  std::string endpoint;
};

// Errors: the rest of a sentence about the query.
Result<DrainRequest> ParseDrainRequest(std::string_view query) {
  DrainRequest request;
  const auto parameters = system::ParseQuery(query);
  if (!parameters) return tl::unexpected(parameters.error());
  for (const auto& [name, value] : *parameters) {
    if (name == "model") {
      request.model = value;
    } else if (name == "endpoint") {
      request.endpoint = value;
    } else {
      return Fail("only endpoint=ADDRESS and model=NAME are allowed after the ?");
    }
  }
  if (request.endpoint.empty()) return Fail("endpoint=ADDRESS is missing after the ?");
  return request;
}

}  // namespace

AdminServer::AdminServer(gateway::Gateway& gateway, const telemetry::MetricsRegistry& registry,
                         Controls controls)
    : gateway_(gateway),
      registry_(registry),
      controls_(std::move(controls)),
      router_(Routes(),
              [this](net::HttpExchange& exchange, net::ResponseHead head, std::string message) {
                return RespondRouteError(exchange, std::move(head), std::move(message));
              }),
      threads_(1) {}

Result<std::unique_ptr<AdminServer>> AdminServer::Start(const config::AdminConfig& config,
                                                        gateway::Gateway& gateway,
                                                        telemetry::MetricsRegistry& registry,
                                                        Controls controls) {
  HEADRACE_ASSIGN(const auto host_port, system::ParseHostPort(config.address));
  HEADRACE_ASSIGN(const auto address, system::Resolve(host_port));
  std::unique_ptr<AdminServer> admin(new AdminServer(gateway, registry, std::move(controls)));
  HEADRACE_ASSIGN(admin->access_, AdminAccess::Load(config, gateway.faults(), registry));
  if (!config.token_file.empty()) gateway.Follow(admin->access_);
  HEADRACE_ASSIGN(const auto tls,
                  gateway::ListenerTls::Load("admin", config, gateway.faults(), registry));
  net::HttpServerOptions options;
  options.max_connections = kMostConnections;
  options.idle_timeout = kIdle;
  options.max_body_bytes = 4096;
  options.reads_body = [](const net::HttpExchange&) { return false; };  // No page has a use for it.
  if (tls) {
    gateway.Follow(tls);
    options.stream_factory = tls->Streams();
  }
  HEADRACE_ASSIGN(admin->server_,
                  net::HttpServer::Listen(admin->threads_, address, options,
                                          [self = admin.get()](net::HttpExchange& exchange) {
                                            return self->Serve(exchange);
                                          }));
  return admin;
}

AdminServer::~AdminServer() {
  if (server_) server_->Stop(kDrain);
}

net::Task<void> AdminServer::Serve(net::HttpExchange& exchange) {
  const auto refusal = access_->Refuses(exchange);
  if (!refusal) {
    co_await router_.Handle(exchange);
    co_return;
  }
  net::ResponseHead head(refusal->status);
  head.Add("content-type", kJsonType);
  if (refusal->status == 401) {
    head.Add("www-authenticate", "Bearer");
    head.Add("www-authenticate", "Basic realm=\"Headrace admin\", charset=\"UTF-8\"");
  }
  const Page page = Complaint(refusal->status, refusal->sentence);
  co_await exchange.Respond(head, page.body);
}

std::vector<net::Route> AdminServer::Routes() {
  const auto page = [](auto make) {
    return [make](net::HttpExchange& exchange) -> net::Task<void> {
      const Page made = make();
      co_await Send(exchange, made);
    };
  };
  return {
      {"GET", "/metrics", [this](net::HttpExchange& exchange) { return Metrics(exchange); }},
      {"GET", "/status", page([this] { return Page{.body = Status()}; })},
      {"GET", "/", [](net::HttpExchange& exchange) { return SendFile(exchange, "status.html"); }},
      {"GET", "/status.css",
       [](net::HttpExchange& exchange) { return SendFile(exchange, "status.css"); }},
      {"GET", "/status.js",
       [](net::HttpExchange& exchange) { return SendFile(exchange, "status.js"); }},
      {"GET", "/live", [this](net::HttpExchange& exchange) { return Live(exchange); }},
      {"GET", "/healthz", page([] { return Page{.body = "{\"status\":\"ok\"}\n"}; })},
      {"GET", "/readyz", page([this] {
         return gateway_.Ready()
                    ? Page{.body = "{\"status\":\"ok\"}\n"}
                    : Page{.status = 503,
                           .body = "{\"status\":\"no endpoint is up, or the gateway drains\"}\n"};
       })},
      {"GET", "/timeline", page([this] { return Page{.body = TimelineNow()}; })},
      {"GET", "/explain", [this](net::HttpExchange& exchange) { return ExplainLatest(exchange); }},
      {"GET", "/explain/{request-id}",
       [this](net::HttpExchange& exchange, std::string_view id) { return Explain(exchange, id); }},
      {"GET", "/debug/record", [this](net::HttpExchange& exchange) { return Record(exchange); }},
      {"POST", "/-/reload", [this](net::HttpExchange& exchange) { return Reload(exchange); }},
      {"POST", "/-/drain", [this](net::HttpExchange& exchange) { return Drain(exchange); }},
      {"POST", "/-/resume",
       [this](net::HttpExchange& exchange) { return DrainEndpoint(exchange, false); }},
  };
}

net::Task<void> AdminServer::RespondRouteError(net::HttpExchange& exchange, net::ResponseHead head,
                                               std::string message) {
  JsonWriter json;
  json.BeginObject().Member("error", message).Key("pages").BeginArray();
  for (const net::Route& route : router_.routes()) json.Value(route.path);
  const std::string body = json.EndArray().EndObject().Take() + "\n";
  head.Add("content-type", kJsonType);
  co_await exchange.Respond(head, body);
}

net::Task<void> AdminServer::ExplainLatest(net::HttpExchange& exchange) {
  Page page;
  if (const auto most = ParseLast(exchange.query())) {
    page.body = ExplainListJson(gateway_.history().Latest(*most),
                                system::UnixNow() - system::MonotonicNow());
  } else {
    page = Complaint(400, most.error().message + ".");
  }
  co_await Send(exchange, page);
}

net::Task<void> AdminServer::Explain(net::HttpExchange& exchange, std::string_view id) {
  Page page;
  const auto url = system::ParseUrl("http://admin/" + std::string(id));
  const auto find = [&] {
    return url ? gateway_.history().Find(url->path.substr(1)) : std::nullopt;
  };
  auto past = find();
  if (!past) {
    // A client that has just read the last byte may ask before the request is noted.
    co_await exchange.thread().SleepUntil(system::MonotonicNow() + kUntilNoted);
    past = find();
  }
  if (past) {
    page.body = ExplainJson(*past, system::UnixNow() - system::MonotonicNow());
  } else {
    page =
        Complaint(404, "No request with the id '" + Excerpt(url ? url->path.substr(1) : id) +
                           "' is among the last " + std::to_string(serving::RequestHistory::kMost) +
                           " that ended; a response has its id in the header x-request-id.");
  }
  co_await Send(exchange, page);
}

net::Task<void> AdminServer::Record(net::HttpExchange& exchange) {
  const auto request = ParseRecordingRequest(exchange.query(), gateway_);
  if (!request) {
    const Page page = Complaint(400, request.error().message + ".");
    co_await Send(exchange, page);
    co_return;
  }
  const auto recording = gateway_.recorder().Start(request->model, request->duration);
  if (!recording) {
    const Page page =
        Complaint(429, "There are " + std::to_string(serving::RequestRecorder::kMostRecordings) +
                           " recordings under way already; wait until one of them ends.");
    co_await Send(exchange, page);
    co_return;
  }
  net::ResponseHead head(200);
  head.Add("content-type", "application/jsonl");
  exchange.Start(head);
  bool reading = co_await exchange.Flush();
  while (reading && !exchange.client_gone() && !access_->Refuses(exchange)) {
    const bool done = recording->Done(system::MonotonicNow());
    const std::string lines = recording->Take();
    if (!lines.empty()) reading = co_await exchange.Write(lines);
    if (recording->overflowed()) {
      exchange.Abort();
      co_return;
    }
    if (done) break;
    co_await exchange.thread().SleepUntil(system::MonotonicNow() + kRecordingInterval);
  }
  co_await exchange.Finish();
}

std::string AdminServer::Status() const {
  const gateway::ConfigFollower* file = controls_.config;
  const auto status = file ? std::optional(file->status()) : std::nullopt;
  return StatusJson(gateway_, status, system::UnixNow());
}

std::string AdminServer::TimelineNow() const {
  return TimelineJson(gateway_, system::UnixNow(), system::MonotonicNow());
}

net::Task<void> AdminServer::Metrics(net::HttpExchange& exchange) {
  gateway_.RefreshMetrics();
  using Registry = telemetry::MetricsRegistry;
  const bool open = telemetry::PrefersOpenMetrics(exchange.Header("accept"));
  Page page{.content_type = open ? Registry::kOpenMetricsType : Registry::kContentType,
            .body = open ? registry_.OpenMetrics() : registry_.Text()};
  co_await Send(exchange, page);
}

net::Task<void> AdminServer::Live(net::HttpExchange& exchange) {
  net::ResponseHead head(200);
  head.Add("content-type", "text/event-stream");
  head.Add("cache-control", "no-store");
  exchange.Start(head);
  // A token may be taken back meanwhile.
  for (int i = 0; !exchange.client_gone() && !access_->Refuses(exchange); ++i) {
    const std::shared_ptr<const std::string> events = LiveEvents(i % kTimelineEvery == 0);
    const bool reading = co_await exchange.Write(*events);
    if (!reading) co_return;
    co_await exchange.thread().SleepUntil(system::MonotonicNow() + kLiveInterval);
  }
  co_await exchange.Finish();
}

std::shared_ptr<const std::string> AdminServer::LiveEvents(bool with_timeline) {
  Events& events = live_.at(with_timeline ? 1 : 0);
  const Seconds now = system::MonotonicNow();
  if (now - events.made >= kLiveInterval / 2) {
    std::string text = EventOf("status", Status());
    if (with_timeline) text += EventOf("timeline", TimelineNow());
    events = {now, std::make_shared<const std::string>(std::move(text))};
  }
  return events.text;
}

// --- What changes the gateway

net::Task<void> AdminServer::Reload(net::HttpExchange& exchange) {
  if (controls_.config == nullptr) {
    const Page page = Complaint(409, "This gateway was not started from a file.");
    co_await Send(exchange, page);
    co_return;
  }
  gateway::ConfigFileStatus status;
  const std::function<void()> reload = [&] { status = controls_.config->Reload(); };
  co_await exchange.thread().RunAside(reload);
  JsonWriter json(JsonWriter::Layout::kLines);
  WriteConfigFile(status, json);
  const Page page{.status = status.error.empty() ? 200 : 422, .body = json.Take() + "\n"};
  co_await Send(exchange, page);
}

net::Task<void> AdminServer::Drain(net::HttpExchange& exchange) {
  if (!exchange.query().empty()) {
    co_await DrainEndpoint(exchange, true);
    co_return;
  }
  if (!controls_.drain) {
    const Page page = Complaint(409, "This gateway ends with the program that it is a part of.");
    co_await Send(exchange, page);
    co_return;
  }
  gateway_.BeginDrain();
  controls_.drain();
  const Page page{.status = 202, .body = "{\"draining\":true}\n"};
  co_await Send(exchange, page);
}

net::Task<void> AdminServer::DrainEndpoint(net::HttpExchange& exchange, bool drained) {
  Page page;
  const auto request = ParseDrainRequest(exchange.query());
  if (!request) {
    page = Complaint(400, request.error().message + ".");
  } else if (const std::optional<int> running = gateway_.SetDrained(
                 request->model ? &*request->model : nullptr, request->endpoint, drained)) {
    JsonWriter json;
    json.BeginObject()
        .Member("endpoint", request->endpoint)
        .Member("drained", drained)
        .Member("in_flight", *running)
        .EndObject();
    page.body = json.Take() + "\n";
  } else {
    page = Complaint(404, "There is no endpoint " + request->endpoint +
                              (request->model ? " of model " + *request->model : "") +
                              "; /status lists all of them.");
  }
  co_await Send(exchange, page);
}

}  // namespace headrace::admin
