#include "gateway/gateway.h"

#include <algorithm>
#include <functional>
#include <iterator>
#include <thread>
#include <utility>

#include "base/hash.h"
#include "config/difference.h"
#include "config/listeners.h"
#include "fleet/littles_law.h"
#include "gateway/configured_endpoints.h"
#include "gateway/configured_keys.h"
#include "gateway/cors.h"
#include "routing/policy.h"
#include "system/address.h"
#include "system/clock.h"
#include "system/threads.h"

namespace headrace::gateway {
namespace {

// So long is waited for Kubernetes at first, so that most gateways start with all endpoints.
constexpr Seconds kFirstList = 2;
// How often it is looked whether models have come or gone.
constexpr Seconds kModelsInterval = 1;

predict::LengthOptions LengthOptionsOf(const config::LengthConfig& config) {
  predict::LengthOptions options;
  switch (config.estimate) {
    case config::LengthConfig::Estimate::kMean:
      options.summary = predict::LengthOptions::Summary::kMean;
      break;
    case config::LengthConfig::Estimate::kSample:
      options.summary = predict::LengthOptions::Summary::kSample;
      break;
    case config::LengthConfig::Estimate::kQuantile:
      options.summary = predict::LengthOptions::Summary::kQuantile;
      break;
  }
  options.quantile = config.quantile;
  options.window = config.window;
  options.prior = config.prior;
  return options;
}

scheduler::SchedulerOptions SchedulerOptionsOf(const config::ModelConfig& model) {
  scheduler::SchedulerOptions options;
  options.policy = routing::FindPolicy(model.policy);
  options.slo = model.slo;
  options.max_queue_length = model.queue.max_length;
  options.max_queue_bytes = model.queue.max_bytes;
  options.queue_timeout = model.queue.timeout;
  options.down_timeout = model.queue.down_timeout;
  options.length = LengthOptionsOf(model.length);
  const config::EjectionConfig& ejection = model.ejection;
  options.ejection = {.enabled = ejection.enabled,
                      .failures = ejection.failures,
                      .error_rate = ejection.error_rate,
                      .backoff = ejection.backoff,
                      .max_backoff = ejection.max_backoff,
                      .max_share = ejection.max_share};
  for (const config::TenantConfig& tenant : model.tenants) {
    options.tenant_weights.push_back({HashOf(tenant.name), tenant.weight});
  }
  return options;
}

serving::Pool::Objectives ObjectivesOf(const config::ModelConfig& model) {
  serving::Pool::Objectives objectives;
  for (const config::ObjectiveConfig& objective : model.objectives) {
    objectives[objective.name] = objective.priority;
  }
  return objectives;
}

serving::RetryOptions RetryOptionsOf(const config::ModelConfig& model) {
  return {.most = model.retries.most, .budget = model.retries.budget};
}

// What is in force after `config` was applied: the options that need a restart stay as they are.
config::Config WithLiveOptions(const config::Config& in_force, config::Config config) {
  const auto with_live_tls = [](auto listener, const config::ListenerConfig& other) {
    if (!config::CanTakeOverTls(listener, other)) return listener;
    listener.certificate = other.certificate;
    listener.key = other.key;
    listener.certificates = other.certificates;
    listener.client_ca = other.client_ca;
    return listener;
  };
  config.listen = with_live_tls(in_force.listen, config.listen);
  config.admin = with_live_tls(in_force.admin, config.admin);
  config.extproc = in_force.extproc;
  config.threads = in_force.threads;
  config.log.format = in_force.log.format;
  return config;
}

std::vector<serving::FollowedPool> Followed(const serving::PoolList& pools,
                                            EndpointSources sources) {
  std::vector<serving::FollowedPool> followed;
  for (std::size_t i = 0; i < pools.size(); ++i) {
    followed.push_back({pools[i], std::move(sources[i])});
  }
  return followed;
}

std::optional<store::RedisUrl> RequestTraceOf(const config::Config& config) {
  return config.request_trace ? config.redis : std::nullopt;
}

net::HttpServerOptions ServerOptionsOf(const config::Config& config,
                                       const std::vector<serving::RequestObserver*>& observers,
                                       telemetry::StandingFaults& faults) {
  net::HttpServerOptions options;
  options.max_connections = config.limits.connections;
  options.max_head_bytes = config.limits.header;
  options.max_body_bytes = config.limits.body;
  options.max_held_bytes = config.limits.bodies;
  options.body_timeout = config.timeouts.client_stall;
  options.request_timeout = config.timeouts.request;
  options.write_timeout = config.timeouts.client_stall;
  options.idle_timeout = config.timeouts.client_idle;
  options.error_body = [&observers](int status, std::string_view reason) {
    for (serving::RequestObserver* observer : observers) {
      observer->OnInvalid(status);
      observer->OnAnswered(
          {.arrived = system::MonotonicNow(), .exchange = {.status = status}, .reason = reason});
    }
    return openai::MakeApiError(status, std::string(reason)).ToJson();
  };
  options.spoke_tls = [&faults](const system::SocketAddress& /*client*/) {
    faults.Raise(telemetry::LogLevel::kWarning, "TLS on the plain port",
                 "a client speaks TLS, but the gateway does not: its URL begins with https:// and "
                 "must begin with http://",
                 system::MonotonicNow());
  };
  if (!config.cors.origins.empty()) {
    options.add_fields = [cors = config.cors](const net::HttpExchange& exchange,
                                              std::string& head) {
      AddCorsFields(cors, exchange, head);
    };
  }
  options.error_content_type = "application/json";
  return options;
}

}  // namespace

Gateway::Gateway(const config::Config& config, telemetry::Log& log,
                 telemetry::MetricsRegistry& registry)
    : key_file_(std::nullopt),
      config_(std::make_shared<const config::Config>(config)),
      log_(log),
      registry_(registry),
      faults_(log),
      metrics_(registry),
      access_log_(faults_),
      traces_(registry, faults_),
      threads_(system::ThreadCount(config.threads)),
      request_trace_(pools_, faults_),
      replicas_(pools_, keys_, faults_, registry),
      context_{.pools = pools_,
               .observers = {&metrics_, &recorder_, &history_, &timeline_, &request_trace_,
                             &access_log_, &traces_},
               .responses = &responses_,
               .keys = &keys_} {
  for (int i = 0; i < threads_.size(); ++i) {
    executors_.push_back(std::make_unique<IoExecutor>(threads_[i]));
  }
}

telemetry::LogLevel LogLevelOf(config::LogConfig::Level level) {
  switch (level) {
    case config::LogConfig::Level::kDebug:
      return telemetry::LogLevel::kDebug;
    case config::LogConfig::Level::kInfo:
      return telemetry::LogLevel::kInfo;
    case config::LogConfig::Level::kWarning:
      return telemetry::LogLevel::kWarning;
    case config::LogConfig::Level::kError:
      return telemetry::LogLevel::kError;
  }
  return telemetry::LogLevel::kInfo;
}

// --- Start and stop

Result<std::unique_ptr<Gateway>> Gateway::Start(const config::Config& config, telemetry::Log& log,
                                                telemetry::MetricsRegistry& registry) {
  return Start(config, std::optional<EndpointSources>(), log, registry);
}

Result<std::unique_ptr<Gateway>> Gateway::Start(const config::Config& config,
                                                EndpointSources sources, telemetry::Log& log,
                                                telemetry::MetricsRegistry& registry) {
  return Start(config, std::optional(std::move(sources)), log, registry);
}

Result<std::unique_ptr<Gateway>> Gateway::Start(const config::Config& config,
                                                std::optional<EndpointSources> sources,
                                                telemetry::Log& log,
                                                telemetry::MetricsRegistry& registry) {
  std::optional<system::SocketAddress> address;
  if (config.listen.address != "none") {
    HEADRACE_ASSIGN(const auto listen, system::ParseHostPort(config.listen.address));
    HEADRACE_ASSIGN(address, system::Resolve(listen));
  }
  std::unique_ptr<Gateway> gateway(new Gateway(config, log, registry));
  HEADRACE_TRY(gateway->StartParts(std::move(sources), address));
  return gateway;
}

Result<void> Gateway::StartParts(std::optional<EndpointSources> sources,
                                 const std::optional<system::SocketAddress>& address) {
  const std::shared_ptr<const config::Config> config = this->config();
  for (const std::string& warning : EndpointWarnings(*config)) log_.Warning(warning);
  const system::MutexLock lock(apply_mutex_);
  HEADRACE_ASSIGN(const auto keys, ConfiguredKeys(*config));
  HEADRACE_TRY(access_log_.SetConfig(config->log));
  HEADRACE_TRY(traces_.SetConfig(config->tracing));
  key_file_.Set(keys);
  keys_.Set(keys, system::MonotonicNow());
  HEADRACE_ASSIGN(tls_, ListenerTls::Load("listen", config->listen, faults_, registry_));
  if (tls_) Follow(tls_);
  HEADRACE_TRY(kubernetes_.SetConfig(*config));
  kubernetes_.Wait(kFirstList);
  const ServedConfig served = kubernetes_.Serve(*config, system::MonotonicNow());
  if (!sources) {
    HEADRACE_ASSIGN(sources, ConfiguredSources(served));
  }
  SetServed(served.config);
  serving::PoolList pools = PoolsOf(served.config);
  health_ = std::make_unique<HealthChecker>(config->health, threads_);
  fleets_ = std::make_unique<serving::FleetFeed>(
      Followed(pools, *std::move(sources)), metrics_, faults_,
      [this](serving::Pool& pool, const serving::EndpointList& endpoints) {
        health_->SetEndpoints(pool, endpoints);
      });
  FollowProfiles(served.config, pools);
  pools_.Set(std::move(pools));
  request_trace_.SetRedis(RequestTraceOf(*config));
  replicas_.SetConfig(*config);
  if (address) {
    proxy_ = std::make_unique<Proxy>(
        served.config, context_, [this] { return Ready(); }, threads_, executors_);
    HEADRACE_ASSIGN(server_, net::HttpServer::Listen(threads_, *address, ServerOptions(*config),
                                                     [this](net::HttpExchange& exchange) {
                                                       return proxy_->Handle(exchange);
                                                     }));
  }
  models_thread_ = std::thread([this] { FollowModels(); });
  return {};
}

net::HttpServerOptions Gateway::ServerOptions(const config::Config& config) {
  net::HttpServerOptions options = ServerOptionsOf(config, context_.observers, faults_);
  if (tls_) options.stream_factory = tls_->Streams();
  // Who is not let in anyway need not send all of it.
  options.reads_body = [this](const net::HttpExchange& exchange) {
    return keys_.Find([&](std::string_view name) { return exchange.Header(name); }).has_value();
  };
  return options;
}

Gateway::~Gateway() {
  Stop();
  {
    const system::MutexLock lock(mutex_);
    stopping_ = true;
  }
  stop_.NotifyAll();
  if (models_thread_.joinable()) models_thread_.join();
  // What runs on the threads goes before them.
  server_.reset();
  proxy_.reset();
  {
    const system::MutexLock lock(mutex_);
    profiles_.reset();
  }
  fleets_.reset();
  health_.reset();
  pools_.Set({});
}

void Gateway::BeginDrain() {
  draining_ = true;
  if (server_) server_->CloseAfterResponses();
}

void Gateway::Stop() {
  BeginDrain();
  if (server_) server_->Stop(config()->timeouts.drain);
}

// --- What is in force, and changes of it

std::optional<int> Gateway::SetDrained(const std::string* model, std::string_view address,
                                       bool drained) {
  std::optional<int> running;
  for (const auto& pool : pools_.list()) {
    if (model != nullptr && pool->name() != *model) continue;
    const std::optional<int> there = pool->router().SetDrained(address, drained);
    if (there) running = running.value_or(0) + *there;
  }
  return running;
}

bool Gateway::Ready() const {
  if (draining_) return false;
  return pools_.AnyUp() || std::ranges::any_of(served()->models, [](const auto& model) {
           return model.queue.down_timeout > 0;
         });
}

std::shared_ptr<const config::Config> Gateway::config() const {
  const system::MutexLock lock(mutex_);
  return config_;
}

std::vector<std::shared_ptr<FollowedFiles>> Gateway::AllFollowed() const {
  const system::MutexLock lock(mutex_);
  return followed_;
}

void Gateway::RefreshFiles() {
  RefreshKeys();
  for (const auto& files : AllFollowed()) files->Refresh(system::MonotonicNow());
}

void Gateway::RefreshKeys() {
  const system::MutexLock lock(apply_mutex_);
  const auto keys = ConfiguredKeys(*config());
  if (!key_file_.IsNew(keys)) return;
  key_file_.Set(keys);
  if (keys) keys_.Set(*keys, system::MonotonicNow());
  SayKeysFault(keys ? std::string() : keys.error().message);
}

void Gateway::SayKeysFault(const std::string& fault) {
  const Seconds now = system::MonotonicNow();
  if (fault.empty()) {
    faults_.Clear("API keys", "the file of API keys is in order again", now);
  } else {
    faults_.Raise(telemetry::LogLevel::kError, "API keys", "the keys stay as they were: " + fault,
                  now);
  }
  const system::MutexLock lock(mutex_);
  keys_fault_ = fault;
}

void Gateway::Follow(std::shared_ptr<FollowedFiles> files) {
  const system::MutexLock lock(mutex_);
  followed_.push_back(std::move(files));
}

std::vector<FollowedStatus> Gateway::Files() const {
  std::vector<FollowedStatus> statuses;
  std::vector<std::shared_ptr<FollowedFiles>> followed;
  {
    const system::MutexLock lock(mutex_);
    if (!config_->api_keys.empty()) {
      statuses.push_back({.option = "api_keys", .file = config_->api_keys, .fault = keys_fault_});
    }
    followed = followed_;
  }
  // They may be reading.
  for (const auto& files : followed) {
    std::ranges::move(files->Statuses(), std::back_inserter(statuses));
  }
  return statuses;
}

std::shared_ptr<const config::Config> Gateway::served() const {
  const system::MutexLock lock(mutex_);
  return served_;
}

void Gateway::SetServed(config::Config served) {
  auto now = std::make_shared<const config::Config>(std::move(served));
  const system::MutexLock lock(mutex_);
  served_.swap(now);
}

std::vector<serving::ProfileStatus> Gateway::Profiles() const {
  std::shared_ptr<serving::ProfileFeed> profiles;
  {
    const system::MutexLock lock(mutex_);
    profiles = profiles_;
  }
  if (profiles == nullptr) return {};
  return profiles->Status();
}

std::shared_ptr<serving::Pool> Gateway::MakePool(const config::ModelConfig& model) {
  const serving::RouterReports reports{
      .decision_seconds = metrics_.AddPool(model.name),
      .faults = faults_,
      .deployment_metrics = [this, pool = model.name](const std::string& deployment) {
        return metrics_.DeploymentSeries(pool, deployment);
      }};
  // Pools share the threads' timers evenly.
  const std::size_t seed = pools_made_++;
  return std::make_shared<serving::Pool>(model.name, SchedulerOptionsOf(model),
                                         std::make_unique<fleet::LittlesLaw>(),
                                         *executors_[seed % executors_.size()], seed, reports);
}

serving::PoolList Gateway::PoolsOf(const config::Config& config) {
  const serving::PoolList before = pools_.list();
  serving::PoolList pools;
  for (const config::ModelConfig& model : config.models) {
    const auto known =
        std::ranges::find(before, model.name, [](const auto& pool) { return pool->name(); });
    const std::shared_ptr<serving::Pool>& pool =
        pools.emplace_back(known == before.end() ? MakePool(model) : *known);
    pool->router().SetOptions(SchedulerOptionsOf(model));
    pool->names().Set(
        {.engine_name = model.engine_name, .aliases = model.aliases, .adapters = model.adapters});
    pool->SetObjectives(ObjectivesOf(model));
    pool->retries().SetOptions(RetryOptionsOf(model));
  }
  return pools;
}

void Gateway::FollowProfiles(const config::Config& config, const serving::PoolList& pools) {
  const auto exchange = [this](std::shared_ptr<serving::ProfileFeed> feed) {
    const system::MutexLock lock(mutex_);
    std::swap(profiles_, feed);
    return feed;
  };
  // The old feed ends first, so that no older reading of a profile follows a newer one.
  exchange(nullptr).reset();
  exchange(std::make_shared<serving::ProfileFeed>(config, pools, kubernetes_.cluster(), metrics_,
                                                  faults_));
}

// A new pool has its endpoints and profiles before it is found.
void Gateway::TakeOver(const config::Config& served, EndpointSources sources) {
  serving::PoolList pools = PoolsOf(served);
  fleets_->Follow(Followed(pools, std::move(sources)));
  FollowProfiles(served, pools);
  const serving::PoolList old_pools = pools_.list();
  pools_.Set(pools);
  for (const auto& old : old_pools) {
    if (std::ranges::find(pools, old) == pools.end()) health_->SetEndpoints(*old, {});
  }
  if (proxy_) proxy_->SetConfig(served);
  SetServed(served);
}

void Gateway::FollowModels() {
  for (;;) {
    {
      const system::MutexLock lock(mutex_);
      while (!stopping_ && stop_.WaitFor(mutex_, kModelsInterval)) {
      }
      if (stopping_) return;
    }
    Rediscover();
  }
}

void Gateway::Rediscover() {
  const system::MutexLock lock(apply_mutex_);
  if (!kubernetes_.follows()) return;
  const ServedConfig now = kubernetes_.Serve(*config(), system::MonotonicNow());
  const std::shared_ptr<const config::Config> before = served();
  if (now.config == *before) return;
  constexpr std::string_view kCause = "models of Kubernetes";
  auto sources = ConfiguredSources(now);
  if (!sources) {
    faults_.Raise(telemetry::LogLevel::kError, kCause, sources.error().message,
                  system::MonotonicNow());
    return;
  }
  faults_.Clear(kCause, "models of Kubernetes: in order again", system::MonotonicNow());
  TakeOver(now.config, *std::move(sources));
  for (const config::OptionChange& change : config::Difference(*before, now.config)) {
    log_.Info("Kubernetes has changed what is served", {{"changed", change.path}});
  }
}

Result<std::vector<std::string>> Gateway::Apply(const config::Config& config) {
  const system::MutexLock lock(apply_mutex_);
  const std::shared_ptr<const config::Config> before = this->config();
  const auto after = std::make_shared<const config::Config>(WithLiveOptions(*before, config));
  for (const config::ModelConfig& model : after->models) {
    if (routing::FindPolicy(model.policy) != nullptr) continue;
    return Fail("models[" + model.name + "].policy: there is no policy '" + model.policy + "'.");
  }
  HEADRACE_TRY(CheckEndpoints(*after));
  HEADRACE_ASSIGN(const auto keys, ConfiguredKeys(*after));
  std::vector<std::function<void()>> take_files_over;
  for (const auto& files : AllFollowed()) {
    HEADRACE_ASSIGN(auto step, files->Prepare(*after));
    take_files_over.push_back(std::move(step));
  }
  KubernetesModels kubernetes = kubernetes_;
  HEADRACE_TRY(kubernetes.SetConfig(*after));
  kubernetes.Wait(kFirstList);
  const ServedConfig served = kubernetes.Serve(*after, system::MonotonicNow());
  HEADRACE_ASSIGN(EndpointSources sources, ConfiguredSources(served));
  HEADRACE_TRY(access_log_.SetConfig(after->log));
  HEADRACE_TRY(traces_.SetConfig(after->tracing));
  for (const std::string& warning : EndpointWarnings(*after)) log_.Warning(warning);
  // From here on nothing fails.
  for (const auto& take_over : take_files_over) take_over();
  kubernetes_ = std::move(kubernetes);
  key_file_.Set(keys);
  keys_.Set(keys, system::MonotonicNow());
  SayKeysFault({});
  health_->SetConfig(after->health);
  TakeOver(served.config, std::move(sources));
  request_trace_.SetRedis(RequestTraceOf(*after));
  replicas_.SetConfig(*after);
  if (server_) server_->SetOptions(ServerOptions(*after));
  log_.SetLeast(LogLevelOf(after->log.level));
  {
    const system::MutexLock config_lock(mutex_);
    config_ = after;
  }
  std::vector<std::string> need_restart;
  for (const config::OptionChange& change : config::Difference(*after, config)) {
    need_restart.push_back(change.path);
  }
  return need_restart;
}

}  // namespace headrace::gateway
