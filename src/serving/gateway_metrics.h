// Keeps the metrics of a gateway.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>

#include "discovery/endpoint_source.h"
#include "discovery/profile_source.h"
#include "serving/finished_request.h"
#include "serving/pool.h"
#include "system/mutex.h"
#include "telemetry/headrace_metrics.h"
#include "telemetry/metrics.h"

namespace headrace::serving {

// Counts every request as it ends, and reads queues and loads when a scrape asks for them. The
// `model` label is the pool's name, also for requests of its other names. Thread-safe.
class PoolObserver final : public RequestObserver {
 public:
  explicit PoolObserver(telemetry::MetricsRegistry& registry)
      : registry_(registry), process_(registry, HEADRACE_VERSION) {}

  // Makes the series of a pool, before it serves. They live for as long as it is served or what is
  // returned (what its router measures itself) is held, so its last requests are counted too.
  std::shared_ptr<telemetry::HistogramMetric> AddPool(const std::string& pool);

  void OnFinished(const FinishedRequest& request) override;
  void OnInvalid(int status) override;

  // The series of a deployment, as EndpointInfo has it. They live for as long as the deployment is
  // in the fleet or a request uses them.
  std::shared_ptr<telemetry::DeploymentMetrics> DeploymentSeries(const std::string& pool,
                                                                 const std::string& deployment);
  // Gives every deployment and endpoint of a pool its series, and takes those of others away.
  void SetFleet(const std::string& pool, const discovery::EndpointSnapshot& snapshot);
  // Whether the place that lists the pool's endpoints can be asked.
  void SetSourceUp(const std::string& pool, bool up);
  // What is known of a deployment's profile; with its age (NaN = unknown) and the number of faults
  // beside the reading's own.
  void SetProfile(const std::string& pool, const std::string& deployment,
                  const discovery::ProfileReading& reading, Seconds age, std::size_t faults);
  // Brings the gauges up to date: connections, queue, loads, health. Series of pools that are no
  // longer served go once their last request has ended.
  // `dropped`: lines of the access log so far.
  void Refresh(const Pools& pools, int connections, double dropped);

 private:
  struct PoolSeries {
    PoolSeries(telemetry::MetricsRegistry& registry, const std::string& pool);

    telemetry::ModelMetrics metrics;
    std::map<std::string, std::shared_ptr<telemetry::DeploymentMetrics>> deployments;
    // By deployment and address.
    std::map<std::pair<std::string, std::string>, telemetry::EndpointMetrics> endpoints;
  };

  std::shared_ptr<PoolSeries> SeriesOf(std::string_view pool);

  telemetry::MetricsRegistry& registry_;
  telemetry::GatewayMetrics process_;
  // Guards deployments and endpoints of every pool, too.
  system::Mutex mutex_;
  double dropped_ HEADRACE_GUARDED_BY(mutex_) = 0;  // As counted.
  std::map<std::string, std::shared_ptr<PoolSeries>, std::less<>> pools_
      HEADRACE_GUARDED_BY(mutex_);
};

}  // namespace headrace::serving
