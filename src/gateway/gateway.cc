#include "gateway/gateway.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "discovery/named_endpoints.h"
#include "system/address.h"
#include "system/clock.h"

namespace headrace::gateway {
namespace {

int ThreadCount(int configured) {
  if (configured > 0) return configured;
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

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

std::vector<std::string> NamesOf(const config::ModelConfig& model) {
  std::vector<std::string> names{model.name};
  names.insert(names.end(), model.aliases.begin(), model.aliases.end());
  return names;
}

scheduler::SchedulerOptions SchedulerOptionsOf(const config::ModelConfig& model) {
  scheduler::SchedulerOptions options;
  options.policy = routing::FindPolicy(model.policy);
  options.slo = model.slo;
  options.max_queue_length = model.queue.max_length;
  options.max_queue_bytes = model.queue.max_bytes;
  options.queue_timeout = model.queue.timeout;
  options.length = LengthOptionsOf(model.length);
  return options;
}

// The endpoints that the configuration names, resolved.
Result<serving::EndpointSources> ConfiguredSources(const config::Config& config) {
  serving::EndpointSources sources;
  for (const config::ModelConfig& model : config.models) {
    std::vector<discovery::NamedDeployment> deployments;
    for (const config::DeploymentConfig& deployment : model.deployments) {
      deployments.push_back({.name = deployment.name,
                             .max_in_flight = deployment.max_in_flight,
                             .endpoints = deployment.endpoints});
    }
    auto source = std::make_unique<discovery::NamedEndpoints>(deployments);
    source->Refresh(system::MonotonicNow());
    if (!source->outage().empty()) return Fail(source->outage());
    sources.push_back(std::move(source));
  }
  return sources;
}

net::HttpServerOptions ServerOptionsOf(const config::Config& config,
                                       serving::RequestObserver& observer) {
  net::HttpServerOptions options;
  options.max_connections = config.limits.connections;
  options.max_head_bytes = config.limits.header;
  options.max_body_bytes = config.limits.body;
  options.body_timeout = config.timeouts.client_stall;
  options.write_timeout = config.timeouts.client_stall;
  options.idle_timeout = config.timeouts.client_idle;
  options.error_body = [&observer](int status, std::string_view reason) {
    observer.OnInvalid(status);
    return openai::MakeApiError(status, std::string(reason)).ToJson();
  };
  options.error_content_type = "application/json";
  return options;
}

}  // namespace

Gateway::Gateway(const config::Config& config, const telemetry::Log& log,
                 telemetry::MetricsRegistry& registry)
    : config_(config),
      faults_(log),
      metrics_(registry),
      threads_(ThreadCount(config.threads)),
      context_{.pools = pools_,
               .observers = {&metrics_, &recorder_},
               .request_timeout = config.timeouts.request} {
  for (int i = 0; i < threads_.size(); ++i) {
    executors_.push_back(std::make_unique<IoExecutor>(threads_[i]));
  }
  for (std::size_t i = 0; i < config_.models.size(); ++i) {
    const config::ModelConfig& model = config_.models[i];
    const serving::RouterReports reports{
        .decision_seconds = metrics_.AddPool(model.name),
        .faults = faults_,
        .deployment_metrics = [this, pool = model.name](const std::string& deployment) {
          return metrics_.DeploymentSeries(pool, deployment);
        }};
    // Pools share the threads' timers evenly.
    pools_.push_back(std::make_unique<serving::Pool>(
        NamesOf(model), SchedulerOptionsOf(model), *executors_[i % executors_.size()], i, reports));
  }
}

Result<std::unique_ptr<Gateway>> Gateway::Start(const config::Config& config,
                                                const telemetry::Log& log,
                                                telemetry::MetricsRegistry& registry) {
  HEADRACE_ASSIGN(auto sources, ConfiguredSources(config));
  return Start(config, std::move(sources), log, registry);
}

Result<std::unique_ptr<Gateway>> Gateway::Start(const config::Config& config,
                                                serving::EndpointSources sources,
                                                const telemetry::Log& log,
                                                telemetry::MetricsRegistry& registry) {
  HEADRACE_ASSIGN(const auto listen, system::ParseHostPort(config.listen));
  HEADRACE_ASSIGN(const auto address, system::Resolve(listen));
  std::unique_ptr<Gateway> gateway(new Gateway(config, log, registry));
  HEADRACE_TRY(gateway->StartParts(std::move(sources), address));
  return gateway;
}

Result<void> Gateway::StartParts(serving::EndpointSources sources,
                                 const system::SocketAddress& address) {
  health_ = std::make_unique<HealthChecker>(config_.health, threads_);
  fleets_ = std::make_unique<serving::FleetFeed>(
      pools_, std::move(sources), metrics_, faults_,
      [this](serving::Pool& pool, const serving::EndpointList& endpoints) {
        health_->SetEndpoints(pool, endpoints);
      });
  profiles_ = std::make_unique<serving::ProfileFeed>(config_, pools_, metrics_, faults_);
  if (config_.request_trace) {
    request_trace_ = std::make_unique<serving::RequestTraceFeed>(*config_.redis, pools_, faults_);
    context_.observers.push_back(request_trace_.get());
  }
  proxy_ = std::make_unique<Proxy>(config_, context_, threads_, executors_);
  HEADRACE_ASSIGN(server_,
                  net::HttpServer::Listen(
                      threads_, address, ServerOptionsOf(config_, metrics_),
                      [this](net::HttpExchange& exchange) { return proxy_->Handle(exchange); }));
  return {};
}

Gateway::~Gateway() {
  Stop();
  // What runs on the threads goes before them.
  server_.reset();
  proxy_.reset();
  request_trace_.reset();
  profiles_.reset();
  fleets_.reset();
  health_.reset();
  pools_.clear();
}

void Gateway::Stop() {
  if (server_) server_->Stop(config_.timeouts.drain);
}

}  // namespace headrace::gateway
