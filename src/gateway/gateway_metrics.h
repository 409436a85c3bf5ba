// Keeps the metrics of a gateway.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "gateway/finished_request.h"
#include "gateway/proxy.h"
#include "telemetry/headrace_metrics.h"
#include "telemetry/metrics.h"

namespace headrace {

// Counts every finished request as it ends, and reads queues and loads when somebody looks.
// Thread-safe after construction.
class ModelObserver final : public RequestObserver {
 public:
  explicit ModelObserver(MetricsRegistry& registry) : registry_(registry) {}

  // Before requests are served.
  void AddModel(const ModelConfig& model);

  void OnFinished(const FinishedRequest& request) override;
  // Brings the gauges up to date: queue, loads, health.
  void Refresh(const std::vector<std::unique_ptr<ServedModel>>& models);
  // Age (0 = no profile) and number of faults of a deployment's profile.
  void SetProfile(const std::string& model, const std::string& deployment, Seconds age, int faults);

 private:
  struct Model {
    Model(MetricsRegistry& registry, const ModelConfig& config);

    ModelMetrics metrics;
    std::map<std::string, DeploymentMetrics, std::less<>> deployments;
    // By deployment and address.
    std::map<std::pair<std::string, std::string>, EndpointMetrics> endpoints;
  };

  MetricsRegistry& registry_;
  std::map<std::string, Model, std::less<>> models_;
};

}  // namespace headrace
