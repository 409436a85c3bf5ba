#include "config/config_schema.h"

#include <string>

#include "base/duration.h"
#include "config/config_rules.h"
#include "config/kubernetes_options.h"
#include "config/listener_options.h"
#include "config/model_options.h"
#include "config/tls_options.h"

namespace headrace::config {
namespace {

OptionGroup<LogConfig> LogOptions() {
  using Level = LogConfig::Level;
  using Format = LogConfig::Format;
  using Access = LogConfig::Access;
  return OptionGroup<LogConfig>()
      .Value("level", &LogConfig::level,
             ChoiceForm<Level>({{"debug", Level::kDebug},
                                {"info", Level::kInfo},
                                {"warning", Level::kWarning},
                                {"error", Level::kError}}),
             {.prose = "The least severe messages to write."})
      .Value("format", &LogConfig::format,
             ChoiceForm<Format>({{"text", Format::kText}, {"json", Format::kJson}}),
             {.prose = "`text` for people, `key=value` after the sentence; `json` for collectors, "
                       "one object per line.",
              .live = false})
      .Value("access", &LogConfig::access,
             ChoiceForm<Access>(
                 {{"none", Access::kNone}, {"text", Access::kText}, {"json", Access::kJson}}),
             {.prose = "The access log: one line for each request once it has ended, refused and "
                       "invalid ones too, without any text of prompts "
                       "(docs/observability.md#access-log)."})
      .Value("access_file", &LogConfig::access_file, TextForm("path"),
             {.prose = "Where it goes: a file that is appended to, and opened anew when it was "
                       "moved away; `stdout`: standard output."});
}

OptionGroup<TracingConfig> TracingOptions() {
  return OptionGroup<TracingConfig>()
      .Value("endpoint", &TracingConfig::endpoint, HttpUrlForm(),
             {.prose = "The collector that gets the spans of sampled requests, by OTLP over HTTP: "
                       "`http://host:4318` or `https://host[:port][/base]`; `/v1/traces` comes "
                       "after it. Without the option nothing is traced.",
              .example = "https://collector.example:4318"})
      .Value("sample", &TracingConfig::sample, ShareForm(0, 1),
             {.prose = "Share of the requests that are traced, by the trace's id. A request that "
                       "belongs to a trace already (`traceparent`) is traced if that says so."})
      .Values("headers", &TracingConfig::headers, HeaderForm(),
              {.prose = "Headers for the collector, such as a key.",
               .example = "[\"Authorization: Bearer ${COLLECTOR_KEY}\"]",
               .secret = true})
      .Value("service_name", &TracingConfig::service_name, NameForm(),
             {.prose = "What traces call this gateway (`service.name`)."})
      .Group("tls", &TracingConfig::tls, TlsOptions("collector"),
             "For a collector whose URL begins with `https://`.")
      .Rule([](const TracingConfig& tracing, const YamlNode& node, ConfigReader& reader) {
        if (node.Find("tls") == nullptr || tracing.endpoint.starts_with("https://")) return;
        reader.Fault(LineOf(node, "tls"), reader.PathOf("tls") +
                                              " is given, but the endpoint does not begin with "
                                              "https://; write `endpoint: https://…` or remove it");
      });
}

OptionGroup<CorsConfig> CorsOptions() {
  return OptionGroup<CorsConfig>()
      .Values("origins", &CorsConfig::origins, NameForm(),
              {.prose = "Origins whose pages may send requests and read the responses, as browsers "
                        "write them: `https://app.example`; `*`: all. Without the option the "
                        "gateway says nothing about it and passes on what engines say.",
               .example = "[https://app.example]"})
      .Value("max_age", &CorsConfig::max_age, DurationForm(0, kDay),
             {.prose = "How long a browser may remember what it was allowed."});
}

OptionGroup<LimitsConfig> LimitsOptions() {
  return OptionGroup<LimitsConfig>()
      .Value("body", &LimitsConfig::body, SizeForm(kKiB, 4 * kGiB),
             {.prose = "Largest body of a request; a larger one gets status 413."})
      .Value("bodies", &LimitsConfig::bodies, SizeForm(kKiB, 1024 * kGiB),
             {.prose = "Most bytes of all requests' bodies together: those that are still coming, "
                       "that wait, or whose response has not begun. More get status 503."})
      .Value("header", &LimitsConfig::header, SizeForm(kKiB, 16 * kMiB),
             {.prose = "Largest head (first line and headers). A request with a larger one gets "
                       "status 431; an engine's response with a larger one counts as failed."})
      .Value(
          "connections", &LimitsConfig::connections, IntegerForm(1, 1'000'000),
          {.prose = "Client connections open at a time. A new one takes the place of the one that "
                    "has waited longest for a request; while all are served, it gets status 503 "
                    "and is closed."});
}

OptionGroup<TimeoutsConfig> TimeoutsOptions() {
  return OptionGroup<TimeoutsConfig>()
      .Value(
          "connect", &TimeoutsConfig::connect, DurationForm(kMillisecond, kMinute),
          {.prose = "To connect to an engine. When it expires, nothing has been sent yet and the "
                    "request goes to another endpoint."})
      .Value("request", &TimeoutsConfig::request, DurationForm(kMillisecond, kDay),
             {.prose = "From a request's arrival to the last byte of its response, including the "
                       "time in the queue. When it expires, the engine's work is cancelled and the "
                       "client gets status 504, or a broken stream if the response had begun."})
      .Value("first_byte", &TimeoutsConfig::first_byte, DurationForm(kMillisecond, kDay),
             {.prose = "From sending a request to the first byte of the engine's stream, the "
                       "engine's own queue included. When it expires, the request goes to another "
                       "endpoint if `retries` allow it; else its client gets status 504."})
      .Value("whole", &TimeoutsConfig::whole, DurationForm(kMillisecond, kDay),
             {.prose = "The same of a response that is not streamed: nothing of it comes before "
                       "it is complete. Raise it together with `request` where such responses "
                       "take longer."})
      .Value("idle", &TimeoutsConfig::idle, DurationForm(kMillisecond, kDay),
             {.prose = "Between two pieces of an engine's response. When it expires, the response "
                       "is ended as broken."})
      .Value("client_idle", &TimeoutsConfig::client_idle, DurationForm(1, kDay),
             {.prose = "Between two requests of a client's connection. When it expires, the "
                       "connection is closed."})
      .Value("client_stall", &TimeoutsConfig::client_stall, DurationForm(1, kDay),
             {.prose = "Between two pieces of a client's request, or while a client reads no byte "
                       "of its response. When it expires, the client counts as gone."})
      .Value("drain_delay", &TimeoutsConfig::drain_delay, DurationForm(0, kHour),
             {.prose = "How long the gateway goes on as before once it was told to stop, but with "
                       "`/readyz` failing, so that load balancers have sent new requests "
                       "elsewhere before it refuses them."})
      .Value("drain", &TimeoutsConfig::drain, DurationForm(0, kDay),
             {.prose = "How long requests in flight may continue after the gateway was told to "
                       "stop. New connections are refused in that time."});
}

OptionGroup<HealthConfig> HealthOptions() {
  return OptionGroup<HealthConfig>()
      .Value("path", &HealthConfig::path, UrlPathOrNoneForm(),
             {.prose = "The path that each endpoint is asked for; any status from 200 to 299 means "
                       "healthy. `none`: engines have no such page; one is up if a connection can "
                       "be made."})
      .Value("interval", &HealthConfig::interval, DurationForm(100 * kMillisecond, kHour),
             {.prose = "How often each endpoint is asked."})
      .Value("timeout", &HealthConfig::timeout, DurationForm(kMillisecond, kHour),
             {.prose = "How long a response may take; at most `interval`."})
      .Value("failures", &HealthConfig::failures, IntegerForm(1, 100),
             {.prose = "Failures in a row until the endpoint counts as down. One success brings it "
                       "back."})
      .Rule([](const HealthConfig& health, const YamlNode& node, ConfigReader& reader) {
        if (health.timeout <= health.interval) return;
        reader.Fault(LineOf(node, "timeout"),
                     reader.PathOf("timeout") + " (" + WriteDuration(health.timeout) +
                         ") is longer than interval (" + WriteDuration(health.interval) +
                         "); shorten it or lengthen the interval");
      });
}

OptionForm<store::RedisUrl> RedisForm() {
  OptionForm<store::RedisUrl> form;
  form.type = "Redis URL";
  form.parse = [](std::string_view text) {
    return store::ParseRedisUrl(text).and_then(
        [](const store::RedisUrl& url) -> Result<store::RedisUrl> {
          if (url.model.empty()) return url;
          return Fail("names a model; remove ?model=…, the models are under `models`");
        });
  };
  form.print = [](const store::RedisUrl& url) { return url.Name(); };
  return form;
}

OptionGroup<ProfilesConfig> ProfilesOptions() {
  using Source = ProfilesConfig::Source;
  return OptionGroup<ProfilesConfig>()
      .Value("source", &ProfilesConfig::source,
             ChoiceForm<Source>({{"directory", Source::kDirectory},
                                 {"redis", Source::kRedis},
                                 {"configmap", Source::kConfigMap}}),
             {.prose = "Where profiles are kept: one JSON file each in a `directory`, in `redis` "
                       "under AIBrix's keys, or in a `configmap` of Kubernetes. A running gateway "
                       "reads changed profiles by itself."})
      .Value("directory", &ProfilesConfig::directory, TextForm("path"),
             {.prose = "The directory, relative to this file's folder."})
      .Value("configmap", &ProfilesConfig::configmap, NameForm(),
             {.prose = "The ConfigMap, in the gateway's own namespace; its keys are those of a "
                       "directory's files, `NAME.json`."})
      .Value("max_age", &ProfilesConfig::max_age, DurationForm(0, 3650 * kDay),
             {.prose = "A profile created longer ago than this stays in use and is reported as "
                       "too old in the log, on `/status` and by a metric. `0`: never."})
      .Rule([](const ProfilesConfig& profiles, const YamlNode& node, ConfigReader& reader) {
        if (profiles.source == Source::kDirectory || node.Find("directory") == nullptr) return;
        reader.Fault(LineOf(node, "directory"),
                     reader.PathOf("directory") + " is not used with source: " +
                         (profiles.source == Source::kRedis ? "redis" : "configmap") +
                         "; remove one of the two");
      });
}

OptionGroup<ReplicasConfig> ReplicasOptions() {
  return OptionGroup<ReplicasConfig>()
      .Value("share", &ReplicasConfig::share, BooleanForm(),
             {.prose = "Whether replicas tell each other, through `redis`, what they have sent to "
                       "the engines and what they saw there. Without it each takes the engines to "
                       "be its own.",
              .example = "true"})
      .Value("group", &ReplicasConfig::group, NameForm(),
             {.prose = "Those with the same group tell each other; their models must have the same "
                       "names, and deployments and endpoints too."})
      .Value("interval", &ReplicasConfig::interval, DurationForm(kMillisecond, 1),
             {.prose = "How often news are told, if there are any."});
}

}  // namespace

OptionGroup<Config> ConfigSchema(std::span<const std::string_view> policies) {
  return OptionGroup<Config>()
      .Group("listen", &Config::listen, ListenOptions(),
             "Where clients connect: an address alone, such as `listen: :8080`, or a group with "
             "TLS.")
      .Group("admin", &Config::admin, AdminOptions(),
             "Where `/metrics`, `/status`, the status page and the probes are served: an address "
             "alone, or a group with TLS and a token.")
      .Value("threads", &Config::threads, IntegerForm(0, 1024),
             {.prose = "Threads that serve connections; `0`: one per core.", .live = false})
      .Value("base_path", &Config::base_path, UrlPathForm(),
             {.prose = "What paths may begin with, for clients whose URL has it: with `/llm`, "
                       "`/llm/v1/models` is `/v1/models`. Both are served."})
      .Values(
          "passthrough", &Config::passthrough, UrlPathForm(),
          {.prose = "Further paths that go to the engines of the model that the body names, GET "
                    "and POST; by `least-request`. Other unknown paths get 404.",
           .example = "[/v1/decisions]"})
      .Group("cors", &Config::cors, CorsOptions(), "Pages of other origins, in browsers (CORS).")
      .Value(
          "api_keys", &Config::api_keys, TextForm("path"),
          {.prose = "The file of the API keys that are let in, and of what each may do: `headrace "
                    "key add` writes it (docs/security.md#api-keys). A changed file is taken "
                    "over within seconds. Without the option everybody is let in, and keys go "
                    "on to the engines.",
           .example = "/etc/headrace/keys.yaml"})
      .Value(
          "nearest_strategy", &Config::nearest_strategy, BooleanForm(),
          {.prose = "Whether the nearest policy serves a request whose `routing-strategy` is one "
                    "of AIBrix's that is none here (docs/routing.md#strategies-of-aibrix). "
                    "`false`: it gets status 400."})
      .Group("log", &Config::log, LogOptions(), "What is written to standard error.")
      .Group("tracing", &Config::tracing, TracingOptions(),
             "Traces of requests, for an OpenTelemetry collector (docs/observability.md#traces).")
      .Group("limits", &Config::limits, LimitsOptions(),
             "The largest requests and the most connections.")
      .Group("timeouts", &Config::timeouts, TimeoutsOptions(),
             "How long each step of a request may take.")
      .Group("health", &Config::health, HealthOptions(),
             "How the gateway finds out whether an endpoint is up.")
      .Group("extproc", &Config::extproc, ExtProcOptions(),
             "The endpoint picker for Envoy (docs/envoy.md).")
      .Value("redis", &Config::redis, RedisForm(),
             {.prose = "The Redis that is shared with AIBrix: `redis://[user:password@]host[:port]"
                       "[/database]`, `rediss://…` with TLS, or `unix:///SOCKET?db=N`; user and "
                       "password percent-encoded, or `?password_file=PATH` "
                       "([the URL](redis.md#the-url)).",
              .example = "redis://redis-1:6379/0",
              .secret = true})
      .Group("kubernetes", &Config::kubernetes, KubernetesOptions(),
             "How the API server of Kubernetes is reached, for models with `kubernetes` and for "
             "`profiles: { source: configmap }`.")
      .Group("profiles", &Config::profiles, ProfilesOptions(),
             "GPU profiles: what each GPU type can do, as measured.")
      .Value("request_trace", &Config::request_trace, BooleanForm(),
             {.prose = "Every ten seconds, tell AIBrix's GPU optimizer through Redis how many "
                       "requests of which lengths arrived (its request trace, version 4).",
              .example = "true"})
      .Group("replicas", &Config::replicas, ReplicasOptions(),
             "Several gateways or endpoint pickers before the same engines (docs/replicas.md).")
      .Groups("models", &Config::models, ModelOptions(policies),
              {.prose = "The models that are served.",
               .example = "{ name: llama2-7b, deployments: [{ name: a10, endpoints: "
                          "[127.0.0.1:9001] }] }",
               .required = true})
      .Rule(CheckWhole);
}

}  // namespace headrace::config
