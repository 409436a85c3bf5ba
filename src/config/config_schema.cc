// Every option stands here once; what it holds when it is left out stands in config.h. A new option
// is a member there and a Value() here.
#include "config/config_schema.h"

#include <string>
#include <tuple>
#include <utility>

#include "config/quantity.h"

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
                       "one object a line."});
}

OptionGroup<LimitsConfig> LimitsOptions() {
  return OptionGroup<LimitsConfig>()
      .Value("body", &LimitsConfig::body, SizeForm(kKiB, 4 * kGiB),
             {.prose = "Largest body of a request; a larger one is answered with 413."})
      .Value("header", &LimitsConfig::header, SizeForm(kKiB, 16 * kMiB),
             {.prose = "Largest head (first line and headers) of a request, answered with 431 when "
                       "larger, and of an engine's answer, taken as its failure."})
      .Value(
          "connections", &LimitsConfig::connections, IntegerForm(1, 1'000'000),
          {.prose = "Client connections open at a time; more are answered with 503 and closed."});
}

OptionGroup<TimeoutsConfig> TimeoutsOptions() {
  return OptionGroup<TimeoutsConfig>()
      .Value("connect", &TimeoutsConfig::connect, DurationForm(kMillisecond, kMinute),
             {.prose = "For a connection to an engine. When it runs out, nothing was sent yet and "
                       "the request goes to another endpoint."})
      .Value("request", &TimeoutsConfig::request, DurationForm(kMillisecond, kDay),
             {.prose = "From a request's arrival to its answer's last byte, the time in the queue "
                       "included. When it runs out, the engine's work is ended and the client gets "
                       "504, or a broken stream when the answer had begun."})
      .Value("first_byte", &TimeoutsConfig::first_byte, DurationForm(kMillisecond, kDay),
             {.prose = "From sending a request to the head of the engine's answer. An answer that "
                       "is not streamed has none before it is complete."})
      .Value("idle", &TimeoutsConfig::idle, DurationForm(kMillisecond, kDay),
             {.prose = "Between two pieces of an engine's answer, which is then broken off."})
      .Value("client_idle", &TimeoutsConfig::client_idle, DurationForm(1, kDay),
             {.prose = "Between two requests of a client's connection, which is then closed."})
      .Value("client_stall", &TimeoutsConfig::client_stall, DurationForm(1, kDay),
             {.prose = "Between two pieces of a client's request, or for a client that takes no "
                       "byte of its answer; it then counts as gone."})
      .Value("drain", &TimeoutsConfig::drain, DurationForm(0, kDay),
             {.prose = "How long requests in flight may go on once the gateway was told to stop; "
                       "new ones are refused meanwhile."});
}

OptionGroup<HealthConfig> HealthOptions() {
  return OptionGroup<HealthConfig>()
      .Value("path", &HealthConfig::path, UrlPathForm(),
             {.prose = "What is asked of an endpoint; any status from 200 to 299 is healthy."})
      .Value("interval", &HealthConfig::interval, DurationForm(100 * kMillisecond, kHour),
             {.prose = "How often each endpoint is asked."})
      .Value("timeout", &HealthConfig::timeout, DurationForm(kMillisecond, kHour),
             {.prose = "How long an answer may take; at most `interval`."})
      .Value("failures", &HealthConfig::failures, IntegerForm(1, 100),
             {.prose = "Failures in a row until the endpoint counts as down. One success brings it "
                       "back."})
      .Rule([](const HealthConfig& health, const LocatedNode& node, ConfigReader& reader) {
        if (health.timeout <= health.interval) return;
        reader.Fault(MarkOf(node, "timeout"),
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
          if (!url.model.empty())
            return Fail("names a model; leave ?model=… away, models have theirs");
          return url;
        });
  };
  form.print = [](const store::RedisUrl& url) { return url.Name(); };
  return form;
}

OptionGroup<ProfilesConfig> ProfilesOptions() {
  using Source = ProfilesConfig::Source;
  return OptionGroup<ProfilesConfig>()
      .Value("source", &ProfilesConfig::source,
             ChoiceForm<Source>({{"directory", Source::kDirectory}, {"redis", Source::kRedis}}),
             {.prose = "Where they are kept: one JSON file each in a `directory`, or in `redis` "
                       "under AIBrix's keys. Changes are taken over while the gateway runs."})
      .Value("directory", &ProfilesConfig::directory, TextForm("path"),
             {.prose = "The directory, relative to this file's folder."})
      .Value("max_age", &ProfilesConfig::max_age, DurationForm(0, 3650 * kDay),
             {.prose = "A profile created longer ago than this stays in use and is reported as "
                       "too old in the log, on `/status` and by a metric. `0`: never."})
      .Rule([](const ProfilesConfig& profiles, const LocatedNode& node, ConfigReader& reader) {
        if (profiles.source != Source::kRedis) return;
        if (!std::as_const(node.yaml)["directory"].IsDefined()) return;
        reader.Fault(MarkOf(node, "directory"),
                     reader.PathOf("directory") +
                         " is not looked at with source: redis; leave one of the two out");
      });
}

OptionGroup<QueueConfig> QueueOptions() {
  return OptionGroup<QueueConfig>()
      .Value(
          "max_length", &QueueConfig::max_length, CountForm(0, 10'000'000),
          {.prose = "Requests that wait at a time; more are answered with 429. `0`: none waits, a "
                    "request that cannot start at once is refused."})
      .Value("max_bytes", &QueueConfig::max_bytes, SizeForm(kKiB, 1024 * kGiB),
             {.prose = "Of the waiting requests' bodies together; more are answered with 429."})
      .Value("timeout", &QueueConfig::timeout, DurationForm(kMillisecond, kDay),
             {.prose = "Longest wait, whatever the SLO allows; then 429."});
}

OptionGroup<LengthConfig> LengthOptions() {
  using Estimate = LengthConfig::Estimate;
  return OptionGroup<LengthConfig>()
      .Value("estimate", &LengthConfig::estimate,
             ChoiceForm<Estimate>({{"mean", Estimate::kMean},
                                   {"sample", Estimate::kSample},
                                   {"quantile", Estimate::kQuantile}}),
             {.prose = "How the lengths of earlier answers to prompts of the same size become one "
                       "number: a `quantile`, their `mean`, or a random `sample`. Made once for "
                       "each request and kept. Those in flight are longer than those that arrive, "
                       "which is why a mean sends an endpoint more than it can carry."})
      .Value("quantile", &LengthConfig::quantile, ShareForm(0.01, 0.999),
             {.prose = "The quantile for `estimate: quantile`; higher is more careful."})
      .Value("window", &LengthConfig::window, DurationForm(10, 30 * kDay),
             {.prose = "How far back finished requests are remembered, in steps of 10 s."})
      .Value("prior", &LengthConfig::prior, IntegerForm(0, 1 << 24),
             {.prose = "Tokens to expect while too few requests have finished. `0`: none; the "
                       "upper quartile of the profile's output buckets is taken, or the request's "
                       "`max_tokens` when that is less."});
}

OptionGroup<DeploymentConfig> DeploymentOptions() {
  return OptionGroup<DeploymentConfig>()
      .Value("name", &DeploymentConfig::name, NameForm(),
             {.prose = "Its name in answers, metrics and the status page, and by default its "
                       "profile's.",
              .example = "llama2-7b-a10",
              .required = true,
              .unique = OptionNote::Unique::kInList})
      .Value(
          "profile", &DeploymentConfig::profile, TextForm("name or path"),
          {.prose = "Its GPU profile: the name of one in the source of profiles (`NAME.json`, or "
                    "the key `aibrix:profile_MODEL_NAME`), or, when it holds a slash, the path of "
                    "a file relative to this file's folder. By default the profile of the "
                    "deployment's own name.",
           .example = "llama2-7b-a10"})
      .Value("max_in_flight", &DeploymentConfig::max_in_flight, IntegerForm(1, 1'000'000),
             {.prose = "Most requests in flight at one endpoint, whatever its load."})
      .Values("endpoints", &DeploymentConfig::endpoints, EndpointForm(),
              {.prose = "`host:port` of each engine; the connection is plain HTTP/1.1. An engine "
                        "belongs to one deployment.",
               .example = "[127.0.0.1:9001, 127.0.0.1:9002]",
               .required = true,
               .unique = OptionNote::Unique::kInFile});
}

OptionGroup<ModelConfig> ModelOptions(std::span<const std::string_view> policies) {
  return OptionGroup<ModelConfig>()
      .Value("name", &ModelConfig::name, NameForm(),
             {.prose = "What requests name in `model`; passed on to the engines as it is.",
              .example = "llama2-7b",
              .required = true,
              .unique = OptionNote::Unique::kInList})
      .Value("policy", &ModelConfig::policy, OneOfForm("policy", policies),
             {.prose = "The routing policy for requests that name none in the `routing-strategy` "
                       "header."})
      .Group(
          "slo", &ModelConfig::slo, SloOptions(),
          "What is promised to requests that bring no SLO in their headers. Any of the latencies "
          "may be set; without the group, each profile's own SLO holds.")
      .Group("queue", &ModelConfig::queue, QueueOptions(),
             "Where requests wait for an engine that can still meet their SLO.")
      .Group("length", &ModelConfig::length, LengthOptions(),
             "How long an answer is expected to be, which decides what a request costs an engine.")
      .Groups("deployments", &ModelConfig::deployments, DeploymentOptions(),
              {.prose = "Replicas of the model on one GPU type each.",
               .example = "- { name: llama2-7b-a10, endpoints: [127.0.0.1:9001] }",
               .required = true});
}

// Redis is used where it is given, and given where it is used.
void CheckRedis(const Config& config, const LocatedNode& node, ConfigReader& reader) {
  const bool profiles = config.profiles.source == ProfilesConfig::Source::kRedis;
  if (config.redis && !profiles && !config.request_trace) {
    reader.Fault(MarkOf(node, "redis"),
                 "redis is given but not used; set `profiles: { source: redis }` or "
                 "`request_trace: true`, or leave it out");
  }
  if (config.redis) return;
  for (const auto& [used, option, text] :
       {std::tuple{profiles, "profiles", "profiles.source"},
        {config.request_trace, "request_trace", "request_trace"}}) {
    if (!used) continue;
    reader.Fault(MarkOf(node, option), std::string(text) +
                                           " needs Redis; add `redis: redis://redis-1:6379/0` "
                                           "beside it");
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
             {.prose = "Time per token over prompt and answer: the whole time divided by the "
                       "number of all tokens.",
              .example = "50ms"})
      .Value("e2e", &slo::Slo::e2e, DurationForm(kMillisecond, kDay),
             {.prose = "The whole time, from the arrival at the gateway to the last token.",
              .example = "30s"})
      .Value("percentile", &slo::Slo::percentile,
             ChoiceForm<int>({{"0", 0}, {"50", 50}, {"90", 90}, {"99", 99}}),
             {.prose = "Which share of the requests is meant; `0` is the mean.", .example = "99"})
      .Rule([](const slo::Slo& slo, const LocatedNode& node, ConfigReader& reader) {
        if (slo.HasLatency()) return;
        reader.Fault(node.mark, reader.path() +
                                    " promises nothing; set at least one of ttft, tpot, tpat and "
                                    "e2e, or leave it out");
      });
}

OptionGroup<Config> ConfigSchema(std::span<const std::string_view> policies) {
  return OptionGroup<Config>()
      .Value("listen", &Config::listen, ListenForm(),
             {.prose = "Where clients connect. `:8080` listens on all addresses; port 0 picks a "
                       "free one."})
      .Value("admin", &Config::admin, ListenForm(),
             {.prose = "Where `/metrics`, `/status` and the probes are served. Keep it from the "
                       "public."})
      .Value("threads", &Config::threads, IntegerForm(0, 1024),
             {.prose = "Threads that serve connections; `0`: one per core."})
      .Group("log", &Config::log, LogOptions(), "What is written to standard error.")
      .Group("limits", &Config::limits, LimitsOptions(), "What a client may ask for.")
      .Group("timeouts", &Config::timeouts, TimeoutsOptions(), "How long things may take.")
      .Group("health", &Config::health, HealthOptions(),
             "How endpoints are found to be up or down.")
      .Value("redis", &Config::redis, RedisForm(),
             {.prose = "The Redis that is shared with AIBrix: `redis://[user:password@]host[:port]"
                       "[/database]`, user and password percent-encoded. There is no TLS.",
              .example = "redis://redis-1:6379/0",
              .secret = true})
      .Group("profiles", &Config::profiles, ProfilesOptions(),
             "What each GPU type can do, measured.")
      .Value("request_trace", &Config::request_trace, BooleanForm(),
             {.prose = "Every ten seconds, tell AIBrix's GPU optimizer through Redis how many "
                       "requests of which lengths there were (its request trace, version 4).",
              .example = "true"})
      .Groups("models", &Config::models, ModelOptions(policies),
              {.prose = "The models that are served.",
               .example = "- { name: llama2-7b, deployments: [{ name: a10, endpoints: "
                          "[127.0.0.1:9001] }] }",
               .required = true})
      .Rule([](const Config& config, const LocatedNode& node, ConfigReader& reader) {
        const bool picks_free_port = config.listen.ends_with(":0");
        if (config.listen == config.admin && !picks_free_port) {
          reader.Fault(MarkOf(node, "admin"), "admin is the same address as listen, " +
                                                  config.listen + "; give it another port");
        }
        CheckRedis(config, node, reader);
        const YAML::Node models = std::as_const(node.yaml)["models"];
        for (std::size_t i = 0; i < config.models.size(); ++i) {
          if (config.models[i].queue.max_bytes >= config.limits.body) continue;
          reader.Fault(MarkOf({models[i], models[i].Mark()}, "queue"),
                       "models[" + std::to_string(i) + "].queue.max_bytes (" +
                           WriteSize(config.models[i].queue.max_bytes) +
                           ") is less than limits.body (" + WriteSize(config.limits.body) +
                           "), so that a request could be too large to ever wait; raise it or "
                           "lower limits.body");
        }
      });
}

}  // namespace headrace::config
