#include "gateway/gateway.h"

#include <algorithm>
#include <thread>
#include <utility>

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

std::vector<fleet::DeploymentSpec> FleetOf(const config::ModelConfig& model) {
  std::vector<fleet::DeploymentSpec> specs;
  for (const config::DeploymentConfig& deployment : model.deployments) {
    specs.push_back({deployment.name, deployment.max_in_flight, deployment.endpoints});
  }
  return specs;
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
    : config_(config), faults_(log), metrics_(registry), threads_(ThreadCount(config.threads)) {}

Result<std::unique_ptr<Gateway>> Gateway::Start(const config::Config& config,
                                                const telemetry::Log& log,
                                                telemetry::MetricsRegistry& registry) {
  std::unique_ptr<Gateway> gateway(new Gateway(config, log, registry));
  std::uint64_t seed = 0;
  for (const config::ModelConfig& model : gateway->config_.models) {
    const serving::RouterReports reports{gateway->metrics_.AddModel(model), gateway->faults_};
    gateway->models_.push_back(std::make_unique<serving::ServedModel>(
        model.name, SchedulerOptionsOf(model), gateway->threads_, seed++, reports));
    const auto updated = gateway->models_.back()->router.UpdateFleet(FleetOf(model));
    if (!updated) return tl::unexpected(updated.error());
  }
  gateway->profiles_ = std::make_unique<serving::ProfileFeed>(gateway->config_, gateway->models_,
                                                              gateway->metrics_, gateway->faults_);
  gateway->health_ =
      std::make_unique<HealthChecker>(gateway->config_.health, gateway->models_, gateway->threads_);
  std::vector<serving::RequestObserver*> observers{&gateway->metrics_, &gateway->recorder_};
  if (config.request_trace) {
    gateway->request_trace_ = std::make_unique<serving::RequestTraceFeed>(
        *config.redis, gateway->models_, gateway->faults_);
    observers.push_back(gateway->request_trace_.get());
  }
  gateway->proxy_ = std::make_unique<Proxy>(gateway->config_, gateway->models_, gateway->threads_,
                                            std::move(observers));
  auto listen = system::ParseHostPort(config.listen);
  if (!listen) return tl::unexpected(listen.error());
  auto address = system::Resolve(*listen);
  if (!address) return tl::unexpected(address.error());
  auto server = net::HttpServer::Listen(
      gateway->threads_, *address, ServerOptionsOf(config, gateway->metrics_),
      [proxy = gateway->proxy_.get()](net::HttpExchange& exchange) {
        return proxy->Handle(exchange);
      });
  if (!server) return tl::unexpected(server.error());
  gateway->server_ = std::move(*server);
  return gateway;
}

Gateway::~Gateway() {
  Stop();
  // What runs on the threads goes before them.
  server_.reset();
  proxy_.reset();
  health_.reset();
  request_trace_.reset();
  profiles_.reset();
  models_.clear();
}

void Gateway::Stop() {
  if (server_) server_->Stop(config_.timeouts.drain);
}

bool Gateway::Ready() const {
  return std::ranges::any_of(models_, [](const auto& model) { return model->router.AnyUp(); });
}

}  // namespace headrace::gateway
