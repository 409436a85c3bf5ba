#include "gateway/proxy.h"

#include <utility>

#include "base/json_writer.h"
#include "gateway/proxied_request.h"
#include "gateway/responses.h"
#include "net/http_client.h"

namespace headrace::gateway {
namespace {

void WriteModel(std::string_view name, JsonWriter& json) {
  json.BeginObject()
      .Member("id", name)
      .Member("object", "model")
      .Member("created", 0)
      .Member("owned_by", "headrace")
      .EndObject();
}

std::string ModelsJson(const serving::Pools& pools) {
  JsonWriter json;
  json.BeginObject().Member("object", "list").Key("data").BeginArray();
  for (const auto& pool : pools.list()) {
    for (const std::string& name : pool->names()) WriteModel(name, json);
  }
  return json.EndArray().EndObject().Take();
}

}  // namespace

// Used on its thread only.
struct Proxy::ThreadState {
  ThreadState(net::IoThread& its_thread, serving::Executor& executor)
      : thread(its_thread), serving(executor) {}

  void SetConfig(const config::Config& config) {
    const bool same_client = client != nullptr && timeouts.connect == config.timeouts.connect &&
                             most_head_bytes == config.limits.header;
    timeouts = config.timeouts;
    most_head_bytes = config.limits.header;
    serving.request_timeout = timeouts.request;
    if (same_client) return;
    net::HttpClientOptions options;
    options.connect_timeout = timeouts.connect;
    options.max_head_bytes = most_head_bytes;
    client = std::make_shared<net::HttpClient>(thread, options);
  }

  net::IoThread& thread;
  config::TimeoutsConfig timeouts;
  std::size_t most_head_bytes = 0;
  std::shared_ptr<net::HttpClient> client;  // A request holds the one that it began with.
  serving::ServingThread serving;
};

Proxy::Proxy(const config::Config& config, const serving::ServingContext& context,
             std::function<bool()> ready, net::IoThreads& threads,
             const std::vector<std::unique_ptr<IoExecutor>>& executors)
    : context_(context),
      ready_(std::move(ready)),
      router_(Routes(),
              [this](net::HttpExchange& exchange, net::ResponseHead head, std::string message) {
                return RespondRouteError(exchange, std::move(head), std::move(message));
              }) {
  for (int i = 0; i < threads.size(); ++i) {
    threads_.push_back(
        std::make_unique<ThreadState>(threads[i], *executors[static_cast<std::size_t>(i)]));
  }
  SetConfig(config);
}

void Proxy::SetConfig(const config::Config& config) {
  for (const auto& state : threads_) {
    state->thread.Run([&] { state->SetConfig(config); });
  }
}

Proxy::~Proxy() {
  // Connections end on the thread that they live on.
  for (auto& state : threads_) {
    net::IoThread& thread = state->thread;
    thread.Post([owned = std::shared_ptr<ThreadState>(std::move(state))] {});
  }
}

std::vector<net::Route> Proxy::Routes() {
  const auto serve = [this](openai::ApiKind kind) {
    return [this, kind](net::HttpExchange& exchange) { return Serve(exchange, kind); };
  };
  return {
      {"POST", "/v1/chat/completions", serve(openai::ApiKind::kChatCompletions)},
      {"POST", "/v1/completions", serve(openai::ApiKind::kCompletions)},
      {"POST", "/v1/embeddings", serve(openai::ApiKind::kEmbeddings)},
      {"POST", "/v1/responses", serve(openai::ApiKind::kResponses)},
      {"GET", "/v1/models",
       [this](net::HttpExchange& exchange) {
         return RespondJson(exchange, 200, ModelsJson(context_.pools));
       }},
      {"GET", "/v1/models/{id}",
       [this](net::HttpExchange& exchange, std::string_view id) {
         return RespondModel(exchange, id);
       }},
      {"GET", "/healthz",
       [this](net::HttpExchange& exchange) {
         return RespondJson(exchange, 200, R"({"status":"ok"})");
       }},
      {"GET", "/readyz",
       [this](net::HttpExchange& exchange) {
         return ready_() ? RespondJson(exchange, 200, R"({"status":"ok"})")
                         : RespondJson(exchange, 503,
                                       R"({"status":"no endpoint is up, or the gateway drains"})");
       }},
  };
}

net::Task<void> Proxy::Serve(net::HttpExchange& exchange, openai::ApiKind kind) {
  ThreadState& state = StateOf(exchange);
  const std::shared_ptr<net::HttpClient> client = state.client;
  ProxiedRequest request(state.timeouts, context_, state.serving, *client, exchange);
  co_await request.Run(kind);
}

net::Task<void> Proxy::RespondJson(net::HttpExchange& exchange, int status,
                                   std::string body) const {
  return gateway::RespondJson(exchange, net::ResponseHead(status), std::move(body),
                              RequestIdOf(exchange));
}

net::Task<void> Proxy::RespondModel(net::HttpExchange& exchange, std::string_view name) const {
  if (context_.pools.Find(name) == nullptr) {
    const serving::ErrorReply reply = serving::UnknownModel(name);
    CountInvalid(reply.error.status);
    return RespondError(exchange, reply, RequestIdOf(exchange));
  }
  JsonWriter json;
  WriteModel(name, json);
  return RespondJson(exchange, 200, json.Take());
}

net::Task<void> Proxy::RespondRouteError(net::HttpExchange& exchange, net::ResponseHead head,
                                         std::string message) const {
  CountInvalid(head.status());
  std::string body = openai::MakeApiError(head.status(), std::move(message)).ToJson();
  return gateway::RespondJson(exchange, std::move(head), std::move(body), RequestIdOf(exchange));
}

void Proxy::CountInvalid(int status) const {
  for (serving::RequestObserver* observer : context_.observers) observer->OnInvalid(status);
}

Proxy::ThreadState& Proxy::StateOf(const net::HttpExchange& exchange) const {
  return *threads_[static_cast<std::size_t>(exchange.thread().index())];
}

std::string Proxy::RequestIdOf(const net::HttpExchange& exchange) const {
  return gateway::RequestIdOf(exchange, StateOf(exchange).serving.ids);
}

}  // namespace headrace::gateway
