// What an operator can choose: the gateway's configuration file.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "config/environment.h"
#include "profile/check.h"
#include "slo/slo.h"
#include "store/redis_url.h"

namespace headrace::config {

// Plain values, as read and checked; the members' initialisers are the options' defaults. The
// meaning, bounds and example of each option are declared once (config_schema.h). The reader,
// its errors, difference.h and docs/configuration.md come from there. Addresses are `host:port`
// texts; only their form has been checked.

struct LogConfig {
  enum class Level { kDebug, kInfo, kWarning, kError };
  enum class Format { kText, kJson };
  enum class Access { kNone, kText, kJson };
  Level level = Level::kInfo;
  Format format = Format::kText;
  Access access = Access::kNone;
  std::string access_file = "stdout";
  bool operator==(const LogConfig&) const = default;
};

// TLS to an engine, or to the collector. Paths are resolved against the configuration's folder.
struct TlsConfig {
  std::string ca;           // Empty: the system's.
  std::string server_name;  // Empty: the URL's host.
  std::string certificate;  // Shown to it; empty: none.
  std::string key;
  bool verify = true;
  bool operator==(const TlsConfig&) const = default;
};

// Traces of requests, for an OpenTelemetry collector.
struct TracingConfig {
  std::string endpoint;              // The collector's URL (OTLP over HTTP); empty: no traces.
  double sample = 0.1;               // Share of the traces that begin here.
  std::vector<std::string> headers;  // "Name: value" each, for the collector.
  std::string service_name = "headrace";
  TlsConfig tls;  // To the collector.
  bool operator==(const TracingConfig&) const = default;
};

// What browsers' pages of other origins may do.
struct CorsConfig {
  std::vector<std::string> origins;  // None: nothing is said about it.
  Seconds max_age = 600;             // Of what a browser was told.
  bool operator==(const CorsConfig&) const = default;
};

struct LimitsConfig {
  std::size_t body = std::size_t{32} << 20;    // Bytes of a request's body.
  std::size_t bodies = std::size_t{1} << 30;   // Bytes of all bodies that are held.
  std::size_t header = std::size_t{64} << 10;  // Bytes of a request's or a response's head.
  int connections = 10'000;                    // Of clients, at a time.
  bool operator==(const LimitsConfig&) const = default;
};

struct TimeoutsConfig {
  Seconds connect = 2;        // To an engine.
  Seconds request = 600;      // From a request's arrival to its response's last byte.
  Seconds first_byte = 120;   // From a request's dispatch to the first byte of its stream.
  Seconds whole = 300;        // The same of a response that is not streamed.
  Seconds idle = 60;          // Between two pieces of an engine's response.
  Seconds client_idle = 75;   // Between two requests of a connection.
  Seconds client_stall = 60;  // While a client neither sends nor reads a byte.
  Seconds drain_delay = 0;    // Between a request to stop and the beginning of that.
  Seconds drain = 30;         // For requests in flight at shutdown.
  bool operator==(const TimeoutsConfig&) const = default;
};

// A certificate beside others. Paths are resolved against the file's folder.
struct CertificateConfig {
  std::string certificate;  // PEM.
  std::string key;
  bool operator==(const CertificateConfig&) const = default;
};

// Where connections come in. Paths are resolved against the file's folder.
struct ListenerConfig {
  ListenerConfig() = default;
  ListenerConfig(std::string its_address) : address(std::move(its_address)) {}
  ListenerConfig(const char* its_address) : address(its_address) {}

  std::string address;
  std::string certificate;  // PEM; empty: plain HTTP.
  std::string key;
  std::vector<CertificateConfig> certificates;  // For other names.
  std::string client_ca;  // Whose certificates clients must show; empty: none is asked for.
  bool tls() const { return !certificate.empty(); }
  bool operator==(const ListenerConfig&) const = default;
};

// The operators' listener.
struct AdminConfig : ListenerConfig {
  // What is served to everybody.
  enum class Open { kProbes, kMetrics, kAll };
  using ListenerConfig::ListenerConfig;

  std::string token_file;  // One token per line; empty: none is asked for.
  Open open = Open::kProbes;
  bool operator==(const AdminConfig&) const = default;
};

// The endpoint picker for Envoy (external processing).
struct ExtProcConfig {
  // How Envoy sends a request's body.
  enum class BodyMode { kNone, kStreamed, kBuffered, kBufferedPartial, kFullDuplex };
  std::string listen = "none";   // gRPC; none: there is no picker.
  std::string health = ":9003";  // gRPC health checks alone, without TLS.
  bool tls = true;
  std::string certificate;  // PEM; none: a self-signed one.
  std::string key;
  BodyMode body_mode = BodyMode::kFullDuplex;  // Where Envoy does not say it.
  int fallbacks = 0;  // Endpoints beside the chosen one that Envoy may try.
  bool operator==(const ExtProcConfig&) const = default;
};

struct HealthConfig {
  std::string path = "/health";
  Seconds interval = 5;
  Seconds timeout = 2;
  int failures = 2;  // In a row until an endpoint counts as down.
  bool operator==(const HealthConfig&) const = default;
};

// How the API server of Kubernetes is reached.
struct KubernetesConfig {
  // Resolved against the file's folder; empty: by the service account of the pod that this is.
  std::string kubeconfig;
  std::string context;  // Of the kubeconfig; empty: its current one.
  bool operator==(const KubernetesConfig&) const = default;
};

struct ProfilesConfig {
  enum class Source { kDirectory, kRedis, kConfigMap };
  Source source = Source::kDirectory;
  std::string directory = "profiles";           // Resolved against the file's folder.
  std::string configmap = "headrace-profiles";  // In the own namespace.
  Seconds max_age = profile::kStaleAfter;       // A profile older than this is reported; 0 = never.
  bool operator==(const ProfilesConfig&) const = default;
};

struct QueueConfig {
  std::size_t max_length = 10'000;               // Requests.
  std::size_t max_bytes = std::size_t{1} << 30;  // Of their bodies.
  Seconds timeout = 60;
  Seconds down_timeout = 0;  // While no endpoint is up.
  bool operator==(const QueueConfig&) const = default;
};

// How long a response is expected to be.
struct LengthConfig {
  enum class Estimate { kMean, kSample, kQuantile };
  Estimate estimate = Estimate::kQuantile;
  double quantile = 0.9;  // 0 … 1, with Estimate::kQuantile.
  Seconds window = 600;   // Of finished requests to learn from.
  Tokens prior = 0;       // At a cold start; 0 = none.
  bool operator==(const LengthConfig&) const = default;
};

// Requests that are sent to another endpoint because one failed them.
struct RetriesConfig {
  int most = 2;         // Further endpoints that one request is sent to.
  double budget = 0.2;  // Of the requests that wait or run.
  bool operator==(const RetriesConfig&) const = default;
};

// When an endpoint that fails gets no requests for a while (fleet::EjectionOptions).
struct EjectionConfig {
  bool enabled = true;
  int failures = 5;         // In a row.
  double error_rate = 0.3;  // Of its last requests.
  Seconds backoff = 10;     // The first one.
  Seconds max_backoff = 300;
  double max_share = 0.5;  // Of a model's endpoints.
  bool operator==(const EjectionConfig&) const = default;
};

// What requests name in `x-gateway-inference-objective`.
struct ObjectiveConfig {
  std::string name;
  int priority = 0;
  bool operator==(const ObjectiveConfig&) const = default;
};

// Somebody who shares the engines with others.
struct TenantConfig {
  std::string name;
  double weight = 1;
  bool operator==(const TenantConfig&) const = default;
};

// How engines are reached. What an endpoint does not say, its deployment says.
struct AccessConfig {
  enum class Resolve { kFirst, kAll };
  std::optional<std::string> api_key;
  std::optional<std::string> api_key_file;  // Before api_key. Resolved like those of TLS.
  std::optional<TlsConfig> tls;
  std::optional<std::string> health_path;  // Absent: health.path; kNoHealthPath.
  std::vector<std::string> headers;        // "Name: value" each.
  std::optional<double> weight;            // Absent: 1.
  std::optional<Resolve> resolve;          // Absent: the first address.
  bool operator==(const AccessConfig&) const = default;
};
// Instead of a path: engines have no such page.
inline constexpr std::string_view kNoHealthPath = "none";

// One engine.
struct EndpointConfig : AccessConfig {
  EndpointConfig() = default;
  EndpointConfig(std::string its_url) : url(std::move(its_url)) {}
  EndpointConfig(const char* its_url) : url(its_url) {}

  std::string url;  // As system::HttpUrl writes it.
  std::optional<int> max_in_flight;
  bool operator==(const EndpointConfig&) const = default;
};

// Replicas of one model on one GPU type.
struct DeploymentConfig : AccessConfig {
  std::string name;
  // The profile's name in the source of profiles, by default the deployment's; when it holds a
  // slash, a file's path, resolved against the configuration's folder.
  std::string profile;
  int max_in_flight = 512;     // Requests at one endpoint.
  Tokens max_model_len = 0;    // Of prompt and response together; 0 = what the engines say.
  Tokens kv_tokens = 0;        // That one engine's KV cache holds; 0 = what the engines say.
  bool stream_options = true;  // Streams are asked for their usage.
  std::vector<EndpointConfig> endpoints;
  bool operator==(const DeploymentConfig&) const = default;
};

// Where Kubernetes lists a model's engines.
struct KubernetesSourceConfig {
  enum class Kind { kPods, kService, kInferencePool };
  struct Origin {
    Kind kind = Kind::kPods;
    std::string name = {};  // Of the Service or the InferencePool.
    bool operator==(const Origin&) const = default;
  };
  Origin from;
  std::vector<std::string> namespaces;  // None: the own one. kAny alone: all.
  std::string selector;                 // Of pods; empty: those with the label.
  std::string label = "model.aibrix.ai/name";
  std::string port_label = "model.aibrix.ai/port";
  std::vector<std::string> ports;  // Numbers or names; none: see the schema.
  bool operator==(const KubernetesSourceConfig&) const = default;
};
// Instead of a name: all there are.
inline constexpr std::string_view kAny = "*";

// One pool: engines that serve the same names.
struct ModelConfig {
  std::string name;                   // kAny: one model for each that `kubernetes` finds.
  std::string name_in_keys;           // In AIBrix's keys; empty: `name`. No option: found, too.
  std::string engine_name;            // What its engines call it; empty: `name`.
  std::vector<std::string> aliases;   // Further names of the same model.
  std::vector<std::string> adapters;  // LoRA adapters at its engines.
  bool is_default = false;            // It serves requests for no model, or an unknown one.
  std::string policy = "slo-headroom";
  std::optional<slo::Slo> slo;  // Absent: the profiles' own.
  QueueConfig queue;
  LengthConfig length;
  RetriesConfig retries;
  EjectionConfig ejection;
  std::vector<ObjectiveConfig> objectives;
  std::vector<TenantConfig> tenants;
  std::optional<KubernetesSourceConfig> kubernetes;
  // With `kubernetes`: also options of those that it finds; kAny: of all others.
  std::vector<DeploymentConfig> deployments;
  bool operator==(const ModelConfig&) const = default;
};

// What replicas of the gateway before the same engines tell each other, through `redis`.
struct ReplicasConfig {
  bool share = false;
  std::string group = "default";  // Who is told.
  Seconds interval = 0.02;        // Between two batches of news.
  bool operator==(const ReplicasConfig&) const = default;
};

struct Config {
  ListenerConfig listen = "127.0.0.1:8080";  // Or `none`.
  AdminConfig admin = "127.0.0.1:9090";
  int threads = 0;  // 0 = one per core.
  std::string base_path = "/";
  std::vector<std::string> passthrough;  // Paths that go to engines unread.
  CorsConfig cors;
  std::string api_keys;          // The file of the keys that are required; empty: none is.
  bool nearest_strategy = true;  // For a strategy of AIBrix that is no policy here.
  LogConfig log;
  TracingConfig tracing;
  LimitsConfig limits;
  TimeoutsConfig timeouts;
  HealthConfig health;
  ExtProcConfig extproc;
  std::optional<store::RedisUrl> redis;  // What is shared with others; without a model.
  KubernetesConfig kubernetes;
  ProfilesConfig profiles;
  bool request_trace = false;  // To Redis, for AIBrix's GPU optimizer.
  ReplicasConfig replicas;
  std::vector<ModelConfig> models;
  bool operator==(const Config&) const = default;
};

// Reads a configuration (YAML). `file_name` begins every sentence, and its folder is what relative
// paths are resolved against; the file itself is not read. `policies` are the names that a model's
// policy may have; `environment` is what `${NAME}` in a value stands for. The error holds every
// fault of the text, one per line, in the order of the lines: `file:line: what is wrong; the fix`.
Result<Config> LoadConfig(std::string_view text, const std::string& file_name,
                          std::span<const std::string_view> policies,
                          const Environment& environment = nullptr);

// The file that holds a deployment's profile; nullopt if Redis or a ConfigMap does.
std::optional<std::string> ProfileFileOf(const Config& config, const DeploymentConfig& deployment);

// A JSON Schema (draft 2020-12) of the file, for editors. What it refuses is refused; what the
// reader refuses beyond that needs the whole file, or more than such a schema can say.
std::string ConfigSchemaJson(std::span<const std::string_view> policies);

// docs/configuration.md: every option, and an example that sets them all.
std::string ConfigReferenceMarkdown();

}  // namespace headrace::config
