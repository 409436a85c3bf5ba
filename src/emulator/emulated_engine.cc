#include "emulator/emulated_engine.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <optional>
#include <vector>

#include "base/random.h"
#include "emulator/engine_loop.h"
#include "emulator/engine_metrics.h"
#include "emulator/output_plan.h"
#include "emulator/request.h"
#include "emulator/responses.h"
#include "net/http_server.h"
#include "net/io_threads.h"
#include "net/router.h"
#include "openai/error.h"
#include "openai/response.h"
#include "system/clock.h"

namespace headrace::emulator {
namespace {

constexpr std::string_view kJsonType = "application/json";

// In whole seconds, as OpenAI's `created` is.
std::int64_t Created() { return static_cast<std::int64_t>(system::UnixNow()); }

net::Task<void> Respond(net::HttpExchange& exchange, int status, std::string_view type,
                        std::string_view body) {
  net::ResponseHead head(status);
  head.Add("content-type", type);
  co_await exchange.Respond(head, body);
}

net::Task<void> Refuse(net::HttpExchange& exchange, const openai::ApiError& error,
                       openai::ApiKind kind = openai::ApiKind::kOther) {
  const std::string body = openai::ErrorBody(kind, error);
  co_await Respond(exchange, error.status, kJsonType, body);
}

net::Task<void> RespondRouteError(net::HttpExchange& exchange, net::ResponseHead head,
                                  std::string message) {
  head.Add("content-type", kJsonType);
  const std::string body = openai::MakeApiError(head.status(), std::move(message)).ToJson();
  co_await exchange.Respond(head, body);
}

std::string Hex(std::uint64_t value) {
  char text[17] = {};
  const auto end = std::to_chars(text, text + 16, value, 16).ptr;
  return std::string(static_cast<std::size_t>(16 - (end - text)), '0') + std::string(text, end);
}

}  // namespace

// All that the engine's thread uses.
struct EmulatedEngine::State {
  explicit State(const EmulatedEngineOptions& given)
      : options(given),
        metrics(given.model, given.engine),
        loop(given.engine, given.speed, metrics),
        rng(given.seed),
        started(Created()),
        router(Routes(), RespondRouteError) {}

  std::vector<net::Route> Routes();
  net::Task<void> Tokenize(net::HttpExchange& exchange) const;
  net::Task<void> CountTokens(net::HttpExchange& exchange) const;
  net::Task<void> Generate(net::HttpExchange& exchange, openai::ApiKind kind);
  template <typename Writer>
  net::Task<void> Stream(net::HttpExchange& exchange, EngineJob& job, const OutputPlan& plan,
                         Writer& writer);
  template <typename Writer>
  net::Task<void> AtOnce(net::HttpExchange& exchange, EngineJob& job, const OutputPlan& plan,
                         const Writer& writer);
  net::Task<void> Embed(net::HttpExchange& exchange, const EngineRequest& request);
  std::optional<openai::ApiError> CheckContext(openai::ApiKind kind,
                                               const EngineRequest& request) const;

  EmulatedEngineOptions options;
  EngineMetrics metrics;
  EngineLoop loop;
  Rng rng;
  std::int64_t started;
  net::Router router;
  // Declared after the loop: the thread ends before what runs on it is destroyed.
  net::IoThreads threads{1};
  std::unique_ptr<net::HttpServer> server;
};

// OpenAI's error for a request that is longer than the context.
std::optional<openai::ApiError> EmulatedEngine::State::CheckContext(
    openai::ApiKind kind, const EngineRequest& request) const {
  const Tokens most = options.engine.max_model_len;
  const auto too_long = [&](const std::string& asked, const char* part) {
    openai::ApiError error = openai::MakeApiError(
        400,
        "This model's maximum context length is " + std::to_string(most) +
            " tokens. However, you requested " + asked + ". Please reduce " + part + ".",
        kind == openai::ApiKind::kChatCompletions || kind == openai::ApiKind::kMessages ? "messages"
        : kind == openai::ApiKind::kCompletions                                         ? "prompt"
                                                                                        : "input");
    error.code = "context_length_exceeded";
    return error;
  };
  for (const Tokens input : request.inputs) {
    if (input > most) {
      return too_long(std::to_string(input) + " tokens in an input", "the input");
    }
  }
  if (kind == openai::ApiKind::kEmbeddings) return std::nullopt;
  const std::int64_t total = std::int64_t{request.prompt} + request.max_tokens.value_or(1);
  if (total <= most) return std::nullopt;
  return too_long(std::to_string(total) + " tokens (" + std::to_string(request.prompt) +
                      " in the prompt, " + std::to_string(request.max_tokens.value_or(1)) +
                      " in the completion)",
                  "the length of the prompt or of the completion");
}

std::vector<net::Route> EmulatedEngine::State::Routes() {
  const auto generate = [this](openai::ApiKind kind) {
    return [this, kind](net::HttpExchange& exchange) { return Generate(exchange, kind); };
  };
  const auto health = [](net::HttpExchange& exchange) {
    return Respond(exchange, 200, "text/plain", "");
  };
  const auto show_metrics = [this](net::HttpExchange& exchange) -> net::Task<void> {
    const std::string text = metrics.Text(loop.model());
    co_await Respond(exchange, 200, "text/plain; version=0.0.4", text);
  };
  const auto models = [this](net::HttpExchange& exchange) -> net::Task<void> {
    const std::string json = ModelsJson(options.model, options.engine.max_model_len, started);
    co_await Respond(exchange, 200, kJsonType, json);
  };
  return {
      {"POST", "/v1/chat/completions", generate(openai::ApiKind::kChatCompletions)},
      {"POST", "/v1/completions", generate(openai::ApiKind::kCompletions)},
      {"POST", "/v1/responses", generate(openai::ApiKind::kResponses)},
      {"POST", "/v1/embeddings", generate(openai::ApiKind::kEmbeddings)},
      {"POST", "/v1/messages", generate(openai::ApiKind::kMessages)},
      {"POST", "/v1/messages/count_tokens",
       [this](net::HttpExchange& exchange) { return CountTokens(exchange); }},
      {"POST", "/tokenize", [this](net::HttpExchange& exchange) { return Tokenize(exchange); }},
      {"GET", "/v1/models", models},
      {"GET", "/health", health},
      {"GET", "/metrics", show_metrics},
  };
}

net::Task<void> EmulatedEngine::State::Tokenize(net::HttpExchange& exchange) const {
  const auto tokens = ReadTokenizeRequest(exchange.body());
  if (!tokens) {
    co_await Refuse(exchange, tokens.error());
    co_return;
  }
  const std::string json = TokenizeJson(*tokens, options.engine.max_model_len);
  co_await Respond(exchange, 200, kJsonType, json);
}

net::Task<void> EmulatedEngine::State::CountTokens(net::HttpExchange& exchange) const {
  const auto request = ReadEngineRequest(openai::ApiKind::kMessages, exchange.body());
  if (!request) {
    co_await Refuse(exchange, request.error(), openai::ApiKind::kMessages);
    co_return;
  }
  const std::string json = "{\"input_tokens\":" + std::to_string(request->prompt) + "}";
  co_await Respond(exchange, 200, kJsonType, json);
}

net::Task<void> EmulatedEngine::State::Generate(net::HttpExchange& exchange, openai::ApiKind kind) {
  const auto request = ReadEngineRequest(kind, exchange.body());
  if (!request) {
    co_await Refuse(exchange, request.error(), kind);
    co_return;
  }
  if (request->model != options.model) {
    const openai::ApiError error = openai::ModelNotFound(request->model);
    co_await Refuse(exchange, error, kind);
    co_return;
  }
  if (const auto error = CheckContext(kind, *request)) {
    co_await Refuse(exchange, *error, kind);
    co_return;
  }
  if (kind == openai::ApiKind::kEmbeddings) {
    co_await Embed(exchange, *request);
    co_return;
  }

  Tokens natural = DrawOutputLength(rng);
  if (const std::string_view given = exchange.Header(kOutputTokensHeader); !given.empty()) {
    const auto [end, fault] = std::from_chars(given.data(), given.data() + given.size(), natural);
    if (fault != std::errc() || end != given.data() + given.size() || natural < 1) {
      const openai::ApiError error = openai::MakeApiError(
          400, std::string(kOutputTokensHeader) + " must be a number of at least 1");
      co_await Refuse(exchange, error);
      co_return;
    }
  }
  const Tokens room = options.engine.max_model_len - request->prompt;
  const Tokens limit = std::min(room, request->max_tokens.value_or(room));
  Rng words = rng.Fork();
  const OutputPlan plan = PlanOutput(*request, natural, limit, words);
  const std::string id = Hex(words.Next());

  EngineJob job(loop, request->prompt, plan.tokens);
  exchange.OnClientGone([&job] { job.Cancel(); });
  if (kind == openai::ApiKind::kMessages) {
    MessageWriter writer(*request, plan, id);
    if (request->stream) {
      co_await Stream(exchange, job, plan, writer);
    } else {
      co_await AtOnce(exchange, job, plan, writer);
    }
  } else if (kind == openai::ApiKind::kResponses) {
    ResponseWriter writer(*request, plan, id, Created());
    if (request->stream) {
      co_await Stream(exchange, job, plan, writer);
    } else {
      co_await AtOnce(exchange, job, plan, writer);
    }
  } else {
    CompletionWriter writer(kind, *request, plan, id, Created());
    if (request->stream) {
      co_await Stream(exchange, job, plan, writer);
    } else {
      co_await AtOnce(exchange, job, plan, writer);
    }
  }
  exchange.OnClientGone({});
}

// The tokens since the last write go out in one event: a slow client gets fewer and longer ones.
template <typename Writer>
net::Task<void> EmulatedEngine::State::Stream(net::HttpExchange& exchange, EngineJob& job,
                                              const OutputPlan& plan, Writer& writer) {
  net::ResponseHead head(200);
  head.Add("content-type", "text/event-stream; charset=utf-8");
  head.Add("cache-control", "no-cache");
  exchange.Start(head);
  // The head goes out when the request is taken, as a real engine's does, not with the first token.
  if (!co_await exchange.Flush()) co_return;
  std::string events = writer.Begin();
  if (!events.empty() && !co_await exchange.Write(events)) co_return;
  Tokens sent = 0;
  while (sent < plan.tokens) {
    if (job.generated() == sent) co_await job.Progress();
    if (job.cancelled()) co_return;
    if (job.generated() == sent) continue;
    sent = job.generated();
    events = writer.Event(sent);
    if (sent == plan.tokens) {
      metrics.Ended(plan.finish_reason);
      events += writer.End();
      co_await exchange.WriteLast(events);
    } else if (!events.empty() && !co_await exchange.Write(events)) {
      co_return;
    }
  }
}

template <typename Writer>
net::Task<void> EmulatedEngine::State::AtOnce(net::HttpExchange& exchange, EngineJob& job,
                                              const OutputPlan& plan, const Writer& writer) {
  while (!job.finished()) {
    co_await job.Progress();
    if (job.cancelled()) co_return;
  }
  metrics.Ended(plan.finish_reason);
  const std::string body = writer.Whole();
  co_await Respond(exchange, 200, kJsonType, body);
}

net::Task<void> EmulatedEngine::State::Embed(net::HttpExchange& exchange,
                                             const EngineRequest& request) {
  std::vector<std::unique_ptr<EngineJob>> jobs;
  jobs.reserve(request.inputs.size());
  for (const Tokens input : request.inputs) {
    jobs.push_back(std::make_unique<EngineJob>(loop, input, 0));
  }
  exchange.OnClientGone([&jobs] {
    for (const auto& job : jobs) job->Cancel();
  });
  for (const auto& job : jobs) {
    while (!job->finished() && !job->cancelled()) co_await job->Progress();
    if (job->cancelled()) co_return;
  }
  exchange.OnClientGone({});
  for (std::size_t i = 0; i < jobs.size(); ++i) metrics.Ended("stop");
  const std::string body = EmbeddingsJson(request);
  co_await Respond(exchange, 200, kJsonType, body);
}

Result<std::unique_ptr<EmulatedEngine>> EmulatedEngine::Start(
    const EmulatedEngineOptions& options) {
  HEADRACE_TRY(engine::CheckEngineConfig(options.engine));
  if (!(options.speed > 0)) return Fail("the engine's speed must be above 0");
  auto state = std::make_unique<State>(options);
  state->loop.Start(state->threads[0]);
  net::HttpServerOptions http;
  http.error_content_type = kJsonType;
  http.error_body = [](int status, std::string_view reason) {
    return openai::MakeApiError(status, std::string(reason)).ToJson();
  };
  const auto handle = [&router = state->router](net::HttpExchange& exchange) {
    return router.Handle(exchange);
  };
  HEADRACE_ASSIGN(state->server,
                  net::HttpServer::Listen(state->threads, options.listen, http, handle));
  return std::unique_ptr<EmulatedEngine>(new EmulatedEngine(std::move(state)));
}

EmulatedEngine::EmulatedEngine(std::unique_ptr<State> state) : state_(std::move(state)) {}

EmulatedEngine::~EmulatedEngine() { Stop(); }

const system::SocketAddress& EmulatedEngine::address() const { return state_->server->address(); }

void EmulatedEngine::Stop() { state_->server->Stop(0); }

}  // namespace headrace::emulator
