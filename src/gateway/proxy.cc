#include "gateway/proxy.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "base/json_writer.h"
#include "base/text.h"
#include "gateway/proxied_request.h"
#include "gateway/responses.h"
#include "net/http_client.h"
#include "openai/api_path.h"
#include "system/clock.h"
#include "system/url.h"

namespace headrace::gateway {
namespace {

// The longest context of a pool's deployments; 0 where one is not known, which takes any.
Tokens MaxModelLenOf(const serving::Pool& pool) {
  Tokens longest = 0;
  for (const auto& deployment : pool.router().Status().deployments) {
    if (deployment.max_model_len == 0) return 0;
    longest = std::max(longest, deployment.max_model_len);
  }
  return longest;
}

bool Contains(const std::vector<std::string>& names, std::string_view name) {
  return std::ranges::find(names, name) != names.end();
}

// As vLLM does: an adapter's parent is its model.
void WriteModel(std::string_view name, bool adapter, const serving::Pool& pool,
                Tokens max_model_len, std::int64_t created, JsonWriter& json) {
  json.BeginObject()
      .Member("id", name)
      .Member("object", "model")
      .Member("created", created)
      .Member("owned_by", "headrace")
      .Member("root", adapter ? name : pool.name())
      .Key("parent");
  if (adapter) {
    json.Value(pool.name());
  } else {
    json.Null();
  }
  if (max_model_len > 0) json.Member("max_model_len", max_model_len);
  json.EndObject();
}

// Those that the key may use, where there is one.
std::string ModelsJson(const serving::Pools& pools, const serving::ClientKeys::Key& key,
                       std::int64_t created) {
  JsonWriter json;
  json.BeginObject().Member("object", "list").Key("data").BeginArray();
  for (const auto& pool : pools.list()) {
    const Tokens max_model_len = MaxModelLenOf(*pool);
    const std::vector<std::string> adapters = pool->names().Adapters();
    for (const std::string& name : pool->names().Configured()) {
      if (Contains(adapters, name) || (key && !key->MayUse(name))) continue;
      WriteModel(name, false, *pool, max_model_len, created, json);
    }
    for (const std::string& name : adapters) {
      if (key && !key->MayUse(name)) continue;
      WriteModel(name, true, *pool, max_model_len, created, json);
    }
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
    serving.SetConfig(config);
    base_path = config.base_path == "/" ? "" : config.base_path;
    passthrough = config.passthrough;
    plain_paths = base_path.empty() && passthrough.empty();
    own_cors = !config.cors.origins.empty();
    if (same_client) return;
    net::HttpClientOptions options;
    options.connect_timeout = timeouts.connect;
    options.max_head_bytes = most_head_bytes;
    client = std::make_shared<net::HttpClient>(thread, options);
  }

  net::IoThread& thread;
  config::TimeoutsConfig timeouts;
  std::size_t most_head_bytes = 0;
  std::string base_path;
  std::vector<std::string> passthrough;
  bool plain_paths = true;  // Neither of these.
  bool own_cors = false;
  std::shared_ptr<net::HttpClient> client;  // A request holds the one that it began with.
  serving::ServingThread serving;
};

Proxy::Proxy(const config::Config& config, const serving::ServingContext& context,
             std::function<bool()> ready, net::IoThreads& threads,
             const std::vector<std::unique_ptr<IoExecutor>>& executors)
    : created_(static_cast<std::int64_t>(system::UnixNow())),
      context_(context),
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

// Most paths are as they are served. Not a coroutine, so that these cost no frame.
net::Task<void> Proxy::Handle(net::HttpExchange& exchange) {
  const std::string_view path = exchange.path();
  const bool plain = StateOf(exchange).plain_paths && (path.size() == 1 || !path.ends_with('/')) &&
                     path.find("//") == path.npos && !path.starts_with(openai::kAzureV1Paths);
  return plain ? router_.Handle(exchange) : HandleOther(exchange);
}

net::Task<void> Proxy::HandleOther(net::HttpExchange& exchange) {
  const ThreadState& state = StateOf(exchange);
  const std::string path = openai::PlainPath(exchange.path(), state.base_path);
  const bool asks = exchange.method() == "GET" || exchange.method() == "POST";
  if (asks && std::ranges::find(state.passthrough, path) != state.passthrough.end()) {
    ApiCall api{.target = path};
    co_await Serve(exchange, std::move(api));
    co_return;
  }
  co_await router_.Handle(exchange, path);
}

std::vector<net::Route> Proxy::Routes() {
  std::vector<net::Route> routes;
  for (const openai::ApiPath& api : openai::ApiPaths()) {
    routes.emplace_back("POST", std::string(api.path), [this, &api](net::HttpExchange& exchange) {
      return Serve(exchange, {.kind = api.kind, .form = api.form, .target = std::string(api.path)});
    });
  }
  const auto by_rest = [&](const char* method, std::string_view path, auto serve) {
    routes.emplace_back(method, path,
                        [this, serve](net::HttpExchange& exchange, std::string_view rest) {
                          return (this->*serve)(exchange, rest);
                        });
  };
  for (const char* method : {"GET", "POST", "DELETE"}) {
    by_rest(method, "/v1/responses/{id}", &Proxy::ServeResponse);
  }
  by_rest("POST", "/openai/deployments/{name}", &Proxy::ServeAzure);
  const auto page = [&](const char* path, auto text) {
    routes.emplace_back("GET", std::string(path), [this, text](net::HttpExchange& exchange) {
      return Answer(exchange, 200, text());
    });
  };
  const auto about = [] { return R"({"name":"headrace","version":")" HEADRACE_VERSION R"("})"; };
  routes.emplace_back("GET", "/v1/models",
                      [this](net::HttpExchange& exchange) { return RespondModels(exchange); });
  routes.emplace_back("GET", "/v1/models/{id}",
                      [this](net::HttpExchange& exchange, std::string_view id) {
                        return RespondModel(exchange, id);
                      });
  page("/", about);
  page("/version", about);
  page("/healthz", [] { return R"({"status":"ok"})"; });
  // What clients and other gateways ask an engine for.
  for (const char* path : {"/readyz", "/health", "/ping"}) {
    routes.emplace_back("GET", std::string(path), [this](net::HttpExchange& exchange) {
      return ready_() ? Answer(exchange, 200, R"({"status":"ok"})")
                      : Answer(exchange, 503,
                               R"({"status":"no endpoint is up, or the gateway drains"})");
    });
  }
  return routes;
}

// With the query of the request.
net::Task<void> Proxy::Serve(net::HttpExchange& exchange, ApiCall api) {
  if (!exchange.query().empty()) api.target.append("?").append(exchange.query());
  ThreadState& state = StateOf(exchange);
  const std::shared_ptr<net::HttpClient> client = state.client;
  ProxiedRequest request(state.timeouts, context_, state.serving, *client, exchange, state.own_cors,
                         std::move(api));
  co_await request.Run();
}

// {name}/chat/completions?api-version=…: Azure's form, with the model in the path.
net::Task<void> Proxy::ServeAzure(net::HttpExchange& exchange, std::string_view rest) {
  const std::size_t slash = std::min(rest.find('/'), rest.size());
  const std::string path = "/v1" + std::string(rest.substr(slash));
  const openai::ApiPath* const api = openai::FindApiPath(path);
  if (api == nullptr) {
    return RespondRouteError(exchange, net::ResponseHead(404),
                             "There is nothing at " + Excerpt(exchange.path()) + ".");
  }
  return Serve(exchange, {.kind = api->kind,
                          .form = api->form,
                          .target = path,
                          .model = system::PercentDecoded(rest.substr(0, slash))});
}

// {id}, {id}/cancel or {id}/input_items. Nothing else goes on to an engine: `{id}/../…` would lead
// to any of its paths.
net::Task<void> Proxy::ServeResponse(net::HttpExchange& exchange, std::string_view rest) {
  const std::string_view id = rest.substr(0, rest.find('/'));
  const std::string_view about = rest.substr(id.size());
  if (!about.empty() && about != "/cancel" && about != "/input_items") {
    return RespondRouteError(exchange, net::ResponseHead(404),
                             "There is nothing at " + Excerpt(exchange.path()) + ".");
  }
  return Serve(exchange, {.target = "/v1/responses/" + std::string(rest),
                          .response_id = system::PercentDecoded(id)});
}

net::Task<void> Proxy::Answer(net::HttpExchange& exchange, int status, std::string body) {
  return AnswerJson(exchange, net::ResponseHead(status), std::move(body));
}

net::Task<void> Proxy::AnswerJson(net::HttpExchange& exchange, net::ResponseHead head,
                                  std::string body, std::string reason) const {
  std::string id = RequestIdOf(exchange);
  net::Task<void> answer = gateway::RespondJson(exchange, std::move(head), std::move(body), id);
  return Answered(exchange, std::move(id), std::move(answer), std::move(reason));
}

net::Task<void> Proxy::Answered(net::HttpExchange& exchange, std::string id, net::Task<void> answer,
                                std::string reason) const {
  co_await std::move(answer);
  const serving::AnsweredRequest request{.request_id = id,
                                         .arrived = exchange.arrived(),
                                         .exchange = {.client = &exchange.peer(),
                                                      .scheme = exchange.tls() ? "https" : "http",
                                                      .method = exchange.method(),
                                                      .path = exchange.path(),
                                                      .received = exchange.body().size(),
                                                      .sent = exchange.sent(),
                                                      .status = exchange.status()},
                                         .reason = reason};
  for (serving::RequestObserver* observer : context_.observers) observer->OnAnswered(request);
}

tl::expected<serving::ClientKeys::Key, serving::ErrorReply> Proxy::KeyOf(
    const net::HttpExchange& exchange) const {
  if (context_.keys == nullptr) return nullptr;
  return context_.keys->Find([&exchange](std::string_view name) { return exchange.Header(name); });
}

net::Task<void> Proxy::Refuse(net::HttpExchange& exchange, const serving::ErrorReply& reply) const {
  CountInvalid(reply.error.status);
  std::string request_id = RequestIdOf(exchange);
  net::Task<void> answer = RespondError(exchange, reply, request_id);
  return Answered(exchange, std::move(request_id), std::move(answer), reply.error.message);
}

net::Task<void> Proxy::RespondModels(net::HttpExchange& exchange) const {
  const auto key = KeyOf(exchange);
  if (!key) return Refuse(exchange, key.error());
  return AnswerJson(exchange, net::ResponseHead(200), ModelsJson(context_.pools, *key, created_));
}

net::Task<void> Proxy::RespondModel(net::HttpExchange& exchange, std::string_view id) const {
  const auto key = KeyOf(exchange);
  if (!key) return Refuse(exchange, key.error());
  const std::string name = system::PercentDecoded(id);
  const std::shared_ptr<const serving::Pool> pool = context_.pools.Find(name);
  if (pool == nullptr || (*key && !(*key)->MayUse(name))) {
    return Refuse(exchange, serving::UnknownModel(name));
  }
  JsonWriter json;
  WriteModel(name, Contains(pool->names().Adapters(), name), *pool, MaxModelLenOf(*pool), created_,
             json);
  return AnswerJson(exchange, net::ResponseHead(200), json.Take());
}

net::Task<void> Proxy::RespondRouteError(net::HttpExchange& exchange, net::ResponseHead head,
                                         std::string message) const {
  CountInvalid(head.status());
  std::string body = openai::MakeApiError(head.status(), message).ToJson();
  return AnswerJson(exchange, std::move(head), std::move(body), std::move(message));
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
