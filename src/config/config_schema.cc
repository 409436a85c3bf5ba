// Every option is declared here once; its default is in config.h. A new option is a member there
// and a Value() here.
#include "config/config_schema.h"

#include <algorithm>
#include <string>
#include <tuple>
#include <utility>

#include "base/duration.h"
#include "config/listeners.h"
#include "config/quantity.h"
#include "system/http_url.h"

namespace headrace::config {
namespace {

constexpr std::uint64_t kKiB = 1 << 10;
constexpr std::uint64_t kMiB = 1 << 20;
constexpr std::uint64_t kGiB = 1 << 30;
constexpr Seconds kMinute = 60;
constexpr Seconds kHour = 3600;
constexpr Seconds kDay = 24 * kHour;

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
              .example = "http://127.0.0.1:4318"})
      .Value("sample", &TracingConfig::sample, ShareForm(0, 1),
             {.prose = "Share of the requests that are traced, by the trace's id. A request that "
                       "belongs to a trace already (`traceparent`) is traced if that says so."})
      .Values("headers", &TracingConfig::headers, HeaderForm(),
              {.prose = "Headers for the collector, such as a key.",
               .example = "[\"Authorization: Bearer ${COLLECTOR_KEY}\"]",
               .secret = true})
      .Value("service_name", &TracingConfig::service_name, NameForm(),
             {.prose = "What traces call this gateway (`service.name`)."});
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
      .Value("connections", &LimitsConfig::connections, IntegerForm(1, 1'000'000),
             {.prose = "Client connections open at a time; more get status 503 and are closed."});
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
                       "stop. New requests are refused in that time."});
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

// Both of a pair, or none.
void CheckPair(const std::string& certificate, const std::string& key, const YamlNode& node,
               ConfigReader& reader, const std::string& name) {
  if (certificate.empty() == key.empty()) return;
  reader.Fault(node.line,
               reader.path() +
                   (certificate.empty()
                        ? " has a key without its certificate; add `certificate: " + name + ".pem`"
                        : " has a certificate without its key; add `key: " + name + "-key.pem`"));
}

template <typename T>
void CheckListenerTls(const T& listener, const YamlNode& node, ConfigReader& reader) {
  CheckPair(listener.certificate, listener.key, node, reader, "gateway");
  if (listener.client_ca.empty() || listener.tls()) return;
  reader.Fault(LineOf(node, "client_ca"),
               reader.PathOf("client_ca") +
                   " is given, but clients can show certificates over TLS alone; add "
                   "`certificate: gateway.pem, key: gateway-key.pem`");
}

// The options of every listener of HTTP.
template <typename T>
OptionGroup<T> ListenerOptions(const OptionForm<std::string>& form, const std::string& address,
                               const std::string& prose) {
  std::string T::* const its_address = &T::address;
  std::string T::* const certificate = &T::certificate;
  std::string T::* const key = &T::key;
  std::string T::* const client_ca = &T::client_ca;
  return OptionGroup<T>()
      .Value("address", its_address, form,
             {.prose = prose + " By default `" + address + "`.", .example = address, .live = false})
      .Value(
          "certificate", certificate, TextForm("path"),
          {.prose = "A file with the certificate that is shown to clients, and its chain, in PEM "
                    "form, relative to this file's folder. With it the listener speaks TLS 1.2 "
                    "and 1.3 alone. Certificate, key and `client_ca` are read again when they "
                    "change (docs/security.md#tls).",
           .example = "gateway.pem",
           .live = false})
      .Value("key", key, TextForm("path"),
             {.prose = "A file with the key of that certificate, in PEM form, not encrypted.",
              .example = "gateway-key.pem",
              .live = false})
      .Value("client_ca", client_ca, TextForm("path"),
             {.prose = "A file with the certificates, in PEM form, of the CAs that clients' "
                       "certificates have to be signed by. With it nobody connects without one.",
              .example = "clients-ca.pem",
              .live = false});
}

OptionGroup<ListenerConfig> ListenOptions() {
  return ListenerOptions<ListenerConfig>(
             ListenOrNoneForm(), Config().listen.address,
             "`:8080` listens on all addresses; port 0 picks a free one; `none`: nowhere, because "
             "all requests come through Envoy.")
      .Rule(&CheckListenerTls<ListenerConfig>)
      .Alone("address");
}

OptionGroup<AdminConfig> AdminOptions() {
  using Open = AdminConfig::Open;
  return ListenerOptions<AdminConfig>(
             ListenForm(), Config().admin.address,
             "Where: an address of this machine alone, or one that asks for a token or a client's "
             "certificate.")
      .Value("token_file", &AdminConfig::token_file, TextForm("path"),
             {.prose = "A file with a token per line, of at least 16 characters each; whoever "
                       "sends one as `Authorization: Bearer …`, or as the password of a browser's "
                       "prompt, is let in. It is read again while the gateway runs.",
              .example = "admin.token",
              .live = false})
      .Value("open", &AdminConfig::open,
             ChoiceForm<Open>(
                 {{"probes", Open::kProbes}, {"metrics", Open::kMetrics}, {"all", Open::kAll}}),
             {.prose = "What needs no token: `probes`, which are `/healthz` and `/readyz`; "
                       "`metrics`, these and `/metrics`; `all`, where something else keeps people "
                       "away who may not drain the gateway.",
              .live = false})
      .Rule(&CheckListenerTls<AdminConfig>)
      .Alone("address");
}

OptionGroup<ExtProcConfig> ExtProcOptions() {
  using BodyMode = ExtProcConfig::BodyMode;
  return OptionGroup<ExtProcConfig>()
      .Value("listen", &ExtProcConfig::listen, ListenOrNoneForm(),
             {.prose = "Where Envoy asks, by gRPC; `none`: there is no picker. The command line's "
                       "`--extproc` comes before it.",
              .live = false})
      .Value(
          "health", &ExtProcConfig::health, ListenOrNoneForm(),
          {.prose = "Where gRPC's health checks (`grpc.health.v1`) are answered without TLS, for "
                    "probes: `liveness`, `readiness` and `inference-extension`. `listen` answers "
                    "them, too; `none`: only there.",
           .live = false})
      .Value("tls", &ExtProcConfig::tls, BooleanForm(),
             {.prose = "Whether `listen` speaks TLS, as the Gateway API's proxies expect it.",
              .live = false})
      .Value("certificate", &ExtProcConfig::certificate, TextForm("path"),
             {.prose = "A file with the certificate that is shown to Envoy, and its chain, in PEM "
                       "form, relative to this file's folder. It is read again when it changes. "
                       "Without it: a self-signed one, made at each start.",
              .example = "picker.pem",
              .live = false})
      .Value("key", &ExtProcConfig::key, TextForm("path"),
             {.prose = "A file with the key of that certificate, in PEM form, not encrypted.",
              .example = "picker-key.pem",
              .live = false})
      .Value("body_mode", &ExtProcConfig::body_mode,
             ChoiceForm<BodyMode>({{"FULL_DUPLEX_STREAMED", BodyMode::kFullDuplex},
                                   {"BUFFERED", BodyMode::kBuffered},
                                   {"STREAMED", BodyMode::kStreamed}}),
             {.prose = "How a proxy sends bodies that does not say it by itself, as Envoy before "
                       "1.34; Envoy's `request_body_mode`.",
              .live = false})
      .Value(
          "fallbacks", &ExtProcConfig::fallbacks, IntegerForm(0, 8),
          {.prose = "How many other endpoints Envoy is told, to try them if the chosen one fails. "
                    "Above 0 only if Envoy takes a list (its `override_host` policy): a cluster "
                    "of type `ORIGINAL_DST` takes one address."})
      .Rule([](const ExtProcConfig& extproc, const YamlNode& node, ConfigReader& reader) {
        CheckPair(extproc.certificate, extproc.key, node, reader, "picker");
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

OptionGroup<QueueConfig> QueueOptions() {
  return OptionGroup<QueueConfig>()
      .Value("max_length", &QueueConfig::max_length, CountForm(0, 10'000'000),
             {.prose = "Most requests that wait at a time; more get status 429. `0`: no request "
                       "waits; one that cannot start at once is refused."})
      .Value("max_bytes", &QueueConfig::max_bytes, SizeForm(kKiB, 1024 * kGiB),
             {.prose = "Most bytes of the waiting requests' bodies together; more get status 429."})
      .Value("timeout", &QueueConfig::timeout, DurationForm(kMillisecond, kDay),
             {.prose = "Longest wait, even if the SLO allows a longer one; then status 429."})
      .Value(
          "down_timeout", &QueueConfig::down_timeout, DurationForm(0, kDay),
          {.prose = "Longest wait for an endpoint while none is up, for engines that are started "
                    "when there is something to do; then status 503. `0`: at once. `timeout` "
                    "begins anew when one is up."});
}

OptionGroup<LengthConfig> LengthOptions() {
  using Estimate = LengthConfig::Estimate;
  return OptionGroup<LengthConfig>()
      .Value("estimate", &LengthConfig::estimate,
             ChoiceForm<Estimate>({{"mean", Estimate::kMean},
                                   {"sample", Estimate::kSample},
                                   {"quantile", Estimate::kQuantile}}),
             {.prose = "How the lengths of earlier responses to prompts of the same size become "
                       "one number: a `quantile`, their `mean`, or a random `sample`. It is "
                       "computed once for each request. Requests in flight are longer than those "
                       "that arrive, so a mean sends an endpoint more than it can carry."})
      .Value("quantile", &LengthConfig::quantile, ShareForm(0.01, 0.999),
             {.prose = "The quantile for `estimate: quantile`; higher is more careful."})
      .Value("window", &LengthConfig::window, DurationForm(10, 30 * kDay),
             {.prose = "How long finished requests are remembered, in steps of 10 s."})
      .Value("prior", &LengthConfig::prior, IntegerForm(0, 1 << 24),
             {.prose = "Tokens to expect while too few requests have finished. `0`: take the "
                       "upper quartile of the profile's output buckets, or the request's "
                       "`max_tokens` if that is less."});
}

OptionGroup<TlsConfig> TlsOptions() {
  return OptionGroup<TlsConfig>()
      .Value("ca", &TlsConfig::ca, TextForm("path"),
             {.prose = "A file with the certificates, in PEM form, of the CAs that may sign the "
                       "engine's, relative to this file's folder. Without it: the system's CAs.",
              .example = "engine-ca.pem"})
      .Value("server_name", &TlsConfig::server_name, NameForm(),
             {.prose = "The name that the engine's certificate has to be for, if that is not the "
                       "URL's host. It is also told to the engine (SNI).",
              .example = "engine.example"})
      .Value("certificate", &TlsConfig::certificate, TextForm("path"),
             {.prose = "A file with the certificate that is shown to the engine, and its chain, in "
                       "PEM form; for engines that ask for one.",
              .example = "gateway.pem"})
      .Value("key", &TlsConfig::key, TextForm("path"),
             {.prose = "A file with the key of that certificate, in PEM form, not encrypted.",
              .example = "gateway-key.pem"})
      .Value("verify", &TlsConfig::verify, BooleanForm(),
             {.prose = "`false`: any certificate of an engine is taken, so that anybody on the way "
                       "can read and change everything. For trials only."})
      .Rule([](const TlsConfig& tls, const YamlNode& node, ConfigReader& reader) {
        CheckPair(tls.certificate, tls.key, node, reader, "gateway");
      });
}

// The options that an endpoint and its deployment, for all of its endpoints, have in common.
template <typename T>
OptionGroup<T> WithAccessOptions(OptionGroup<T>&& group) {
  using Resolve = AccessConfig::Resolve;
  std::optional<std::string> T::* const api_key = &T::api_key;
  std::optional<std::string> T::* const api_key_file = &T::api_key_file;
  std::optional<TlsConfig> T::* const tls = &T::tls;
  std::optional<std::string> T::* const health_path = &T::health_path;
  std::vector<std::string> T::* const headers = &T::headers;
  std::optional<double> T::* const weight = &T::weight;
  std::optional<Resolve> T::* const resolve = &T::resolve;
  return std::move(group)
      .Value("api_key", api_key, KeyForm(),
             {.prose = "Sent to the engine as `Authorization: Bearer …`, instead of what the "
                       "client sent.",
              .example = "${ENGINE_KEY}",
              .secret = true})
      .Value("api_key_file", api_key_file, TextForm("path"),
             {.prose = "A file with such a key, relative to this file's folder; it comes before "
                       "`api_key`. It is read again while the gateway runs.",
              .example = "engine.key"})
      .Group("tls", tls, TlsOptions(), "For endpoints whose URL begins with `https://`.")
      .Value("health_path", health_path, UrlPathOrNoneForm(),
             {.prose = "Instead of `health.path`. `none`: engines have no such page; one is up if "
                       "a connection can be made.",
              .example = "/health"})
      .Values("headers", headers, HeaderForm(),
              {.prose = "Headers that are added to requests to the engine, instead of those with "
                        "the same names that the client sent.",
               .example = "[\"X-Team: search\"]",
               .secret = true})
      .Value(
          "weight", weight, NumberForm(0.01, 100),
          {.prose = "How fast an endpoint is, relative to the others of the model: one of weight "
                    "2 gets twice the requests of one of weight 1 from policies that measure no "
                    "speed, and carries twice the load that its profile says. By default 1.",
           .example = "1"})
      .Value(
          "resolve", resolve,
          ChoiceForm<Resolve>({{"first", Resolve::kFirst}, {"all", Resolve::kAll}}),
          {.prose = "What a host name with several addresses is: one endpoint, at the `first` of "
                    "them, or one for each of `all` of them, as for a headless service of "
                    "Kubernetes. Names are looked up again and again. By default `first`.",
           .example = "first"});
}

OptionGroup<EndpointConfig> EndpointOptions() {
  return WithAccessOptions(
             OptionGroup<EndpointConfig>()
                 .Value(
                     "url", &EndpointConfig::url, HttpUrlForm(),
                     {.prose = "Where the engine is: `host:port`, or `http://host[:port][/base]` "
                               "or `https://host[:port][/base]`, with what comes before `/v1` "
                               "in its paths. An engine belongs to one deployment.",
                      .example = "https://engine-3.example/llm",
                      .required = true,
                      .unique = OptionNote::Unique::kInFile})
                 .Value("max_in_flight", &EndpointConfig::max_in_flight, IntegerForm(1, 1'000'000),
                        {.prose = "Most requests in flight there. By default the deployment's.",
                         .example = "64"}))
      .Rule([](const EndpointConfig& endpoint, const YamlNode& node, ConfigReader& reader) {
        if (!endpoint.tls || endpoint.url.starts_with("https://")) return;
        reader.Fault(LineOf(node, "tls"), reader.PathOf("tls") +
                                              " is given, but the URL does not begin with "
                                              "https://; write `url: https://…` or remove it");
      })
      .Alone("url");
}

OptionGroup<DeploymentConfig> DeploymentOptions() {
  return WithAccessOptions(
             OptionGroup<DeploymentConfig>()
                 .Value(
                     "name", &DeploymentConfig::name, NameForm(),
                     {.prose =
                          "Its name in responses, metrics and the status page, and by default its "
                          "profile's.",
                      .example = "llama2-7b-a10",
                      .required = true,
                      .unique = OptionNote::Unique::kInList})
                 .Value(
                     "profile", &DeploymentConfig::profile, TextForm("name or path"),
                     {.prose =
                          "Its GPU profile: the name of one in the source of profiles "
                          "(`NAME.json`, or "
                          "the key `aibrix:profile_MODEL_NAME`), or, if it contains a slash, the "
                          "path of "
                          "a file relative to this file's folder. By default the profile with the "
                          "deployment's name.",
                      .example = "llama2-7b-a10"})
                 .Value(
                     "max_in_flight", &DeploymentConfig::max_in_flight, IntegerForm(1, 1'000'000),
                     {.prose =
                          "Most requests in flight at one endpoint, even if its load allows more."})
                 .Value(
                     "max_model_len", &DeploymentConfig::max_model_len, IntegerForm(0, 100'000'000),
                     {.prose =
                          "Most tokens of a request's prompt and response together. A request that "
                          "needs more goes to another deployment. `0`: what the engines say in "
                          "`/v1/models`, the smallest number if they differ."})
                 .Value("kv_tokens", &DeploymentConfig::kv_tokens, IntegerForm(0, 1'000'000'000),
                        {.prose = "How many tokens the KV cache of one engine holds: "
                                  "`slo-headroom` predicts "
                                  "by it when a request has to wait for room there. `0`: what the "
                                  "engines say "
                                  "in `/metrics`, the smallest number if they differ."})
                 .Value("stream_options", &DeploymentConfig::stream_options, BooleanForm(),
                        {.prose = "Whether `stream_options: { include_usage: true }` is added to a "
                                  "request for "
                                  "a stream, so that the engine counts its tokens. `false` is for "
                                  "engines that "
                                  "refuse it; without it tokens are counted by the stream's "
                                  "events. Engines "
                                  "that are seen to refuse it are not asked again."}))
      .Groups("endpoints", &DeploymentConfig::endpoints, EndpointOptions(),
              {.prose = "The engines: the URL of each, such as `10.0.0.7:8000`, or a group with "
                        "the URL and options of its own.",
               .example = "127.0.0.1:9001, 127.0.0.1:9002"});
}

OptionGroup<RetriesConfig> RetriesOptions() {
  return OptionGroup<RetriesConfig>()
      .Value("most", &RetriesConfig::most, IntegerForm(0, 100),
             {.prose = "Further endpoints that one request is sent to. `0`: none."})
      .Value("budget", &RetriesConfig::budget, ShareForm(0, 1),
             {.prose = "Share of the requests under way that may be retries at a time, so that "
                       "engines that fail under load do not get more load because of it. Ten may "
                       "be in any case. Requests that could not be sent because there was no "
                       "connection do not count."});
}

OptionGroup<EjectionConfig> EjectionOptions() {
  return OptionGroup<EjectionConfig>()
      .Value(
          "enabled", &EjectionConfig::enabled, BooleanForm(),
          {.prose = "`false`: endpoints get requests for as long as their health checks succeed, "
                    "whatever they do with them."})
      .Value("failures", &EjectionConfig::failures, IntegerForm(1, 1'000),
             {.prose = "Failures in a row until an endpoint is ejected."})
      .Value("error_rate", &EjectionConfig::error_rate, ShareForm(0.01, 1),
             {.prose = "An endpoint is also ejected if such a share of its requests failed in the "
                       "last 30 s, of at least 20, and half of that or less at the others."})
      .Value("backoff", &EjectionConfig::backoff, DurationForm(kMillisecond, kDay),
             {.prose = "For how long it is ejected the first time, until one request, the probe, "
                       "shows how it is. Doubles with each ejection that follows. After status 429 "
                       "or 503 a tenth of it."})
      .Value("max_backoff", &EjectionConfig::max_backoff, DurationForm(kMillisecond, kDay),
             {.prose = "The longest that it is ejected for."})
      .Value("max_share", &EjectionConfig::max_share, ShareForm(0, 1),
             {.prose = "Most of the model's endpoints that are up, of all deployments, that are "
                       "ejected at a time: of two or more at least one, but never the last. A bad "
                       "engine is better than none."})
      .Rule([](const EjectionConfig& ejection, const YamlNode& node, ConfigReader& reader) {
        if (ejection.backoff <= ejection.max_backoff) return;
        reader.Fault(LineOf(node, "backoff"),
                     reader.PathOf("backoff") + " (" + WriteDuration(ejection.backoff) +
                         ") is longer than max_backoff (" + WriteDuration(ejection.max_backoff) +
                         "); shorten it or lengthen max_backoff");
      });
}

OptionGroup<ObjectiveConfig> ObjectiveOptions() {
  return OptionGroup<ObjectiveConfig>()
      .Value("name", &ObjectiveConfig::name, NameForm(),
             {.prose = "What requests write into the header `x-gateway-inference-objective`.",
              .example = "batch",
              .required = true,
              .unique = OptionNote::Unique::kInList})
      .Value("priority", &ObjectiveConfig::priority, PriorityForm(),
             {.prose = "Requests of a higher priority are served first, and lower ones harm them "
                       "as little as possible. Requests without an objective, or with one that is "
                       "not listed, have `0`. Give what may wait a priority below that.",
              .example = "-1"});
}

OptionGroup<KubernetesConfig> KubernetesOptions() {
  return OptionGroup<KubernetesConfig>()
      .Value("kubeconfig", &KubernetesConfig::kubeconfig, TextForm("path"),
             {.prose = "A file as kubectl has it, relative to this file's folder, for a gateway "
                       "outside of the cluster. Without it: the service account of the pod that "
                       "the gateway runs in.",
              .example = "kubeconfig.yaml"})
      .Value("context", &KubernetesConfig::context, NameForm(),
             {.prose = "The context of that file, if it is not its `current-context`.",
              .example = "staging"})
      .Rule([](const KubernetesConfig& kubernetes, const YamlNode& node, ConfigReader& reader) {
        if (kubernetes.context.empty() || !kubernetes.kubeconfig.empty()) return;
        reader.Fault(LineOf(node, "context"), reader.PathOf("context") +
                                                  " is given without a kubeconfig; add "
                                                  "`kubeconfig: kubeconfig.yaml` or remove it");
      });
}

OptionForm<KubernetesSourceConfig::Origin> OriginForm() {
  using Kind = KubernetesSourceConfig::Kind;
  using Origin = KubernetesSourceConfig::Origin;
  static constexpr std::string_view kService = "service/";
  static constexpr std::string_view kPool = "inferencepool/";
  OptionForm<Origin> form;
  form.type = "origin";
  form.schema.pattern = "^(pods|service/[a-z0-9.-]+|inferencepool/[a-z0-9.-]+)$";
  form.parse = [](std::string_view text) -> Result<Origin> {
    const auto named = [](std::string_view name) {
      return !name.empty() && name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789.-") ==
                                  std::string_view::npos;
    };
    if (text == "pods") return Origin{};
    for (const auto& [start, kind] :
         {std::pair{kService, Kind::kService}, {kPool, Kind::kInferencePool}}) {
      if (!text.starts_with(start) || !named(text.substr(start.size()))) continue;
      return Origin{kind, std::string(text.substr(start.size()))};
    }
    return Fail("names nothing that lists engines; write pods, service/NAME or inferencepool/NAME");
  };
  form.print = [](const Origin& origin) {
    switch (origin.kind) {
      case Kind::kService:
        return std::string(kService) + origin.name;
      case Kind::kInferencePool:
        return std::string(kPool) + origin.name;
      case Kind::kPods:
        break;
    }
    return std::string("pods");
  };
  return form;
}

OptionGroup<KubernetesSourceConfig> KubernetesSourceOptions() {
  using Kind = KubernetesSourceConfig::Kind;
  return OptionGroup<KubernetesSourceConfig>()
      .Value("from", &KubernetesSourceConfig::from, OriginForm(),
             {.prose = "What lists the engines: `pods`; the EndpointSlices of a Service, "
                       "`service/NAME`; or an InferencePool, `inferencepool/NAME`, with its pods "
                       "and target ports, and the InferenceObjectives that name it as "
                       "`objectives`."})
      .Values("namespaces", &KubernetesSourceConfig::namespaces, NameForm(),
              {.prose = "Where it looks; `[\"*\"]`: in all. Without the option: in the gateway's "
                        "own, or that of the kubeconfig's context. Of a model that has a name: "
                        "one.",
               .example = "[inference]"})
      .Value("selector", &KubernetesSourceConfig::selector, TextForm("label selector"),
             {.prose = "With `from: pods`: which of them are engines, as kubectl's `-l` has it. "
                       "Without the option: those whose `label` is the model's name.",
              .example = "app=vllm,tier!=canary"})
      .Value("label", &KubernetesSourceConfig::label, NameForm(),
             {.prose = "The label of pods that says which model they serve."})
      .Value("port_label", &KubernetesSourceConfig::port_label, NameForm(),
             {.prose = "The label of pods that says at which port; it comes before `ports`."})
      .Values("ports", &KubernetesSourceConfig::ports, NameForm(),
              {.prose = "The ports, by number or by name: an endpoint for each, for engines with "
                        "several data-parallel ranks. Without the option: 8000; of a Service, its "
                        "only port. An InferencePool says them itself.",
               .example = "[8000, 8001]"})
      .Rule([](const KubernetesSourceConfig& source, const YamlNode& node, ConfigReader& reader) {
        const auto refuse = [&](const char* option, bool given, std::string_view why) {
          if (!given) return;
          reader.Fault(LineOf(node, option),
                       reader.PathOf(option) + " is given, and " + std::string(why));
        };
        if (source.from.kind == Kind::kPods) return;
        refuse("selector", !source.selector.empty(),
               "`from` does not name pods; remove one of the two");
        refuse("ports", source.from.kind == Kind::kInferencePool && !source.ports.empty(),
               "an InferencePool says its ports itself; remove it");
      });
}

// What the deployments of a model have to be depends on where its engines come from.
void CheckModel(const ModelConfig& model, const YamlNode& node, ConfigReader& reader) {
  const YamlNode* const deployments = node.Find("deployments");
  const auto fault_of = [&](std::size_t i, const char* option, const std::string& sentence) {
    const YamlNode& item = *deployments->items[i];
    reader.Fault(LineOf(item, option),
                 reader.PathOf("deployments[" + std::to_string(i) + "]") + sentence);
  };
  const bool any_model = model.name == kAny;
  for (std::size_t i = 0; i < model.deployments.size(); ++i) {
    const DeploymentConfig& deployment = model.deployments[i];
    const bool any = deployment.name == kAny;
    if (!model.kubernetes && any) {
      fault_of(i, "name",
               ".name is *, which stands for deployments that Kubernetes has; add `kubernetes: { "
               "from: pods }` to the model or write a name");
    } else if (!model.kubernetes && deployment.endpoints.empty()) {
      fault_of(i, "name",
               " has no \"endpoints\"; add it, like `endpoints: [127.0.0.1:9001, "
               "127.0.0.1:9002]`");
    } else if ((any || any_model) && !deployment.endpoints.empty()) {
      fault_of(i, "endpoints",
               ".endpoints is given where * stands for what Kubernetes has; remove one of the two");
    }
  }
  if (!model.kubernetes) {
    if (any_model) {
      reader.Fault(LineOf(node, "name"),
                   reader.PathOf("name") +
                       " is *, which stands for models that Kubernetes has; add `kubernetes: { "
                       "from: pods }` or write the model's name");
    } else if (model.deployments.empty()) {
      reader.Fault(node.line, reader.group() +
                                  " has no \"deployments\"; add it, like `deployments: [{ name: "
                                  "llama2-7b-a10, endpoints: [127.0.0.1:9001] }]`");
    }
    return;
  }
  const KubernetesSourceConfig& source = *model.kubernetes;
  const YamlNode& group = *node.Find("kubernetes");
  const bool everywhere = std::ranges::find(source.namespaces, kAny) != source.namespaces.end();
  if (source.namespaces.size() > 1 && everywhere) {
    reader.Fault(LineOf(group, "namespaces"),
                 reader.PathOf("kubernetes.namespaces") +
                     " has *, which is all of them, and others; remove the others");
  } else if (!any_model && (everywhere || source.namespaces.size() > 1)) {
    reader.Fault(LineOf(group, "namespaces"),
                 reader.PathOf("kubernetes.namespaces") +
                     " are several, and a model that has a name is in one; write that one, or "
                     "`name: \"*\"` for the models of all");
  }
  // What labels may hold.
  constexpr std::string_view kLabel =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
  constexpr std::size_t kLongestLabel = 63;
  const bool by_label = source.from.kind == KubernetesSourceConfig::Kind::kPods &&
                        source.selector.empty() && !any_model;
  if (by_label && (model.name.size() > kLongestLabel ||
                   model.name.find_first_not_of(kLabel) != std::string::npos)) {
    reader.Fault(LineOf(node, "name"),
                 reader.PathOf("name") +
                     " can be no label's value, so no pod has it; add a `selector: app=vllm` to "
                     "kubernetes");
  }
  if (!any_model) return;
  if (source.from.kind != KubernetesSourceConfig::Kind::kPods) {
    reader.Fault(LineOf(group, "from"),
                 reader.PathOf("kubernetes.from") +
                     " lists the engines of one model; write `from: pods`, or the model's name "
                     "instead of *");
  }
  for (const auto& [option, given] : {std::pair{"engine_name", !model.engine_name.empty()},
                                      {"aliases", !model.aliases.empty()},
                                      {"adapters", !model.adapters.empty()},
                                      {"default", model.is_default}}) {
    if (!given) continue;
    reader.Fault(LineOf(node, option),
                 reader.PathOf(option) +
                     " belongs to one model, and * stands for all that Kubernetes has; remove it, "
                     "or write the model's name");
  }
}

OptionGroup<ModelConfig> ModelOptions(std::span<const std::string_view> policies) {
  return OptionGroup<ModelConfig>()
      .Value("name", &ModelConfig::name, NameForm(),
             {.prose = "The name that requests give in `model`.",
              .example = "llama2-7b",
              .required = true,
              .unique = OptionNote::Unique::kInList})
      .Value("engine_name", &ModelConfig::engine_name, NameForm(),
             {.prose = "What the engines call the model (`--served-model-name`), if it is not "
                       "`name`: requests for `name` and the aliases reach them under it.",
              .example = "meta-llama/Llama-2-7b-chat-hf"})
      .Values(
          "aliases", &ModelConfig::aliases, NameForm(),
          {.prose = "Further names of the model; engines get `engine_name` in their place, unless "
                    "they list the alias themselves. Requests for all names are scheduled "
                    "together; metrics and logs use `name`. No two models may have a name in "
                    "common.",
           .example = "[llama2]",
           .unique = OptionNote::Unique::kInList,
           .unique_with = "name"})
      .Values("adapters", &ModelConfig::adapters, NameForm(),
              {.prose = "LoRA adapters at all of the model's engines, which get these names "
                        "unchanged. Those that an engine lists in `/v1/models` are served even if "
                        "they are not listed here.",
               .example = "[llama2-7b-legal]",
               .unique = OptionNote::Unique::kInList,
               .unique_with = "name"})
      .Value("default", &ModelConfig::is_default, BooleanForm(),
             {.prose = "Whether the model serves requests that name none, or one that is not known "
                       "here; of one model at most. Else these get status 400 and 404."})
      .Value("policy", &ModelConfig::policy, OneOfForm("policy", policies),
             {.prose = "The routing policy for requests that name none in the `routing-strategy` "
                       "header."})
      .Group("slo", &ModelConfig::slo,
             SloOptions().Removed(
                 "percentile",
                 "has no effect on routing; remove it: the percentile belongs to the profile "
                 "(`headrace profile generate --percentile`)"),
             "The latency targets of requests that have none in their headers. Any of them may be "
             "set; without the group, the SLO of each profile applies.")
      .Group("queue", &ModelConfig::queue, QueueOptions(),
             "Where requests wait for an engine that can still meet their SLO.")
      .Group("length", &ModelConfig::length, LengthOptions(),
             "How long a response is expected to be, which decides what a request costs an engine.")
      .Group("retries", &ModelConfig::retries, RetriesOptions(),
             "Requests that go to another endpoint because one failed them before its response "
             "began (docs/operations.md).")
      .Group("ejection", &ModelConfig::ejection, EjectionOptions(),
             "Endpoints whose health checks succeed, but whose requests fail, get none for a while "
             "(docs/operations.md).")
      .Groups("objectives", &ModelConfig::objectives, ObjectiveOptions(),
              {.prose = "Priorities of requests, by name; for policies that forecast "
                        "(`slo-headroom`). Others serve all requests alike.",
               .example = "{ name: batch, priority: -1 }"})
      .Groups("tenants", &ModelConfig::tenants, TenantOptions(),
              {.prose = "Tenants whose weight is not 1, or whose share `/status` shows. A request "
                        "belongs to the tenant that the header `x-gateway-inference-fairness-id` "
                        "names, else to its API key. For policies that forecast.",
               .example = "{ name: team-a, weight: 2 }"})
      .Group("kubernetes", &ModelConfig::kubernetes, KubernetesSourceOptions(),
             "Engines that Kubernetes lists, beside `endpoints` (docs/kubernetes.md). A model "
             "with it and the name `*` stands for every model that is found; its other options "
             "are theirs, too.")
      .Groups("deployments", &ModelConfig::deployments, DeploymentOptions(),
              {.prose = "Replicas of the model, one deployment per GPU type. With `kubernetes`: "
                        "also options of deployments that it finds, by name, which need no "
                        "`endpoints`; the name `*` is for all others.",
               .example = "{ name: llama2-7b-a10, endpoints: [127.0.0.1:9001] }"})
      .Rule(CheckModel);
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

// All listeners can begin, and the gateway is none of its own endpoints.
void CheckListeners(const Config& config, const YamlNode& node, ConfigReader& reader) {
  struct Listener {
    const char* name;
    const char* option;  // Of the file itself, that it is in.
    const std::string& address;
  };
  std::vector<Listener> listeners = {{"listen", "listen", config.listen.address},
                                     {"admin", "admin", config.admin.address}};
  if (config.extproc.listen != "none") {
    listeners.push_back({"extproc.listen", "extproc", config.extproc.listen});
    listeners.push_back({"extproc.health", "extproc", config.extproc.health});
  }
  for (std::size_t i = 0; i < listeners.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      const Listener& one = listeners[i];
      const Listener& other = listeners[j];
      if (!Collide(other.address, one.address)) continue;
      reader.Fault(LineOf(node, one.option), std::string(one.name) + " is the same address as " +
                                                 other.name + " or a part of it (" + one.address +
                                                 " and " + other.address +
                                                 "); give it another port");
    }
  }
  const YamlNode& models = *node.Find("models");
  for (std::size_t m = 0; m < config.models.size(); ++m) {
    if (config.models[m].deployments.empty()) continue;
    const YamlNode& deployments = *models.items[m]->Find("deployments");
    for (std::size_t d = 0; d < config.models[m].deployments.size(); ++d) {
      for (const EndpointConfig& endpoint : config.models[m].deployments[d].endpoints) {
        for (const Listener& listener : listeners) {
          const auto url = system::ParseHttpUrl(endpoint.url);
          if (!url || !Reaches(url->host.ToString(), listener.address)) continue;
          reader.Fault(LineOf(*deployments.items[d], "endpoints"),
                       "models[" + std::to_string(m) + "].deployments[" + std::to_string(d) +
                           "].endpoints names " + Quote(endpoint.url) +
                           ", which is this gateway itself (" + listener.name + " is " +
                           listener.address + "); write the engine's address, or give " +
                           listener.name + " another port");
        }
      }
    }
  }
}

// Redis is given if it is used, and used if it is given.
void CheckRedis(const Config& config, const YamlNode& node, ConfigReader& reader) {
  const bool profiles = config.profiles.source == ProfilesConfig::Source::kRedis;
  if (config.redis && !profiles && !config.request_trace && !config.replicas.share) {
    reader.Fault(LineOf(node, "redis"),
                 "redis is given but not used; set `profiles: { source: redis }`, "
                 "`request_trace: true` or `replicas: { share: true }`, or remove it");
  }
  if (config.redis) return;
  for (const auto& [used, option, text] : {std::tuple{profiles, "profiles", "profiles.source"},
                                           {config.request_trace, "request_trace", "request_trace"},
                                           {config.replicas.share, "replicas", "replicas.share"}}) {
    if (!used) continue;
    reader.Fault(LineOf(node, option), std::string(text) +
                                           " needs Redis; add `redis: redis://redis-1:6379/0` "
                                           "beside it");
  }
}

// At most one.
void CheckDefaultModel(const Config& config, const YamlNode& node, ConfigReader& reader) {
  const YamlNode& models = *node.Find("models");
  const ModelConfig* first = nullptr;
  for (std::size_t i = 0; i < config.models.size(); ++i) {
    if (!config.models[i].is_default) continue;
    if (first != nullptr) {
      reader.Fault(LineOf(*models.items[i], "default"),
                   "models[" + std::to_string(i) + "].default is true, and so is that of '" +
                       first->name + "'; remove one of the two");
    }
    first = &config.models[i];
  }
}

}  // namespace

OptionGroup<slo::Slo> SloOptions() {
  return OptionGroup<slo::Slo>()
      .Value("ttft", &slo::Slo::ttft, DurationForm(kMillisecond, kHour),
             {.prose = "Time to first token, from the arrival at the gateway.", .example = "1s"})
      .Value("tpot", &slo::Slo::tpot, DurationForm(10e-6, kMinute),
             {.prose = "Time per output token after the first.", .example = "40ms"})
      .Value("tpat", &slo::Slo::tpat, DurationForm(10e-6, kMinute),
             {.prose = "Time per token of prompt and response: the whole time divided by the "
                       "number of all tokens.",
              .example = "50ms"})
      .Value("ntpot", &slo::Slo::ntpot, DurationForm(10e-6, kMinute),
             {.prose = "Normalized time per output token: the whole time, waiting and prefill "
                       "included, divided by the number of output tokens.",
              .example = "100ms"})
      .Value("e2e", &slo::Slo::e2e, DurationForm(kMillisecond, kDay),
             {.prose = "The whole time, from the arrival at the gateway to the last token.",
              .example = "30s"})
      .Rule([](const slo::Slo& slo, const YamlNode& node, ConfigReader& reader) {
        if (slo.HasLatency()) return;
        reader.Fault(node.line, reader.path() +
                                    " has no target; set at least one of ttft, tpot, tpat, "
                                    "ntpot and e2e, or remove it");
      });
}

OptionGroup<TenantConfig> TenantOptions() {
  return OptionGroup<TenantConfig>()
      .Value("name", &TenantConfig::name, NameForm(),
             {.prose = "The tenant's name in requests.",
              .example = "team-a",
              .required = true,
              .unique = OptionNote::Unique::kInList})
      .Value("weight", &TenantConfig::weight, NumberForm(0.001, 1000),
             {.prose = "While there is not enough for all, tenants get GPU time in proportion to "
                       "their weights; what one of them does not use goes to the others."});
}

OptionForm<int> PriorityForm() { return IntegerForm(-1000, 1000); }

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
      .Rule([](const Config& config, const YamlNode& node, ConfigReader& reader) {
        CheckListeners(config, node, reader);
        if (const auto exposed = WhyExposed(config.admin)) {
          reader.Fault(LineOf(node, "admin"), *exposed);
        }
        CheckRedis(config, node, reader);
        CheckDefaultModel(config, node, reader);
        if (config.limits.bodies < config.limits.body) {
          reader.Fault(LineOf(node, "limits"),
                       "limits.bodies (" + WriteSize(config.limits.bodies) +
                           ") is less than limits.body (" + WriteSize(config.limits.body) +
                           "), so a request could be too large to ever be read; raise it or lower "
                           "limits.body");
        }
        const YamlNode& models = *node.Find("models");
        for (std::size_t i = 0; i < config.models.size(); ++i) {
          if (config.models[i].queue.max_bytes >= config.limits.body) continue;
          reader.Fault(LineOf(*models.items[i], "queue"),
                       "models[" + std::to_string(i) + "].queue.max_bytes (" +
                           WriteSize(config.models[i].queue.max_bytes) +
                           ") is less than limits.body (" + WriteSize(config.limits.body) +
                           "), so a request could be too large to ever wait; raise it or lower "
                           "limits.body");
        }
      });
}

}  // namespace headrace::config
