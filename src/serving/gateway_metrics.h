// Keeps the metrics of a gateway.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "config/config.h"
#include "discovery/profile_source.h"
#include "serving/finished_request.h"
#include "serving/served_model.h"
#include "telemetry/headrace_metrics.h"
#include "telemetry/metrics.h"

namespace headrace::serving {

// Counts every request as it ends, and reads queues and loads when somebody looks. Thread-safe once
// the models are there.
class ModelObserver final : public RequestObserver {
 public:
  explicit ModelObserver(telemetry::MetricsRegistry& registry)
      : registry_(registry), process_(registry, HEADRACE_VERSION) {}

  // Before requests are served. The metric that the model's router keeps itself.
  telemetry::HistogramMetric& AddModel(const config::ModelConfig& model);

  void OnFinished(const FinishedRequest& request) override;
  void OnInvalid(int status) override;
  // Brings the gauges up to date: connections, queue, loads, health.
  void Refresh(const std::vector<std::unique_ptr<ServedModel>>& models, int connections);
  // What is known of a deployment's profile; with its age (NaN = unknown) and the number of faults
  // beside the reading's own.
  void SetProfile(const std::string& model, const std::string& deployment,
                  const discovery::ProfileReading& reading, Seconds age, std::size_t faults);

 private:
  struct Model {
    Model(telemetry::MetricsRegistry& registry, const config::ModelConfig& config);

    telemetry::ModelMetrics metrics;
    std::map<std::string, telemetry::DeploymentMetrics, std::less<>> deployments;
    // By deployment and address.
    std::map<std::pair<std::string, std::string>, telemetry::EndpointMetrics> endpoints;
  };

  telemetry::MetricsRegistry& registry_;
  telemetry::GatewayMetrics process_;
  std::map<std::string, Model, std::less<>> models_;
};

}  // namespace headrace::serving
