// The stand-alone gateway, put together.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "config/config.h"
#include "gateway/gateway_metrics.h"
#include "gateway/health_checker.h"
#include "gateway/profile_feed.h"
#include "gateway/proxy.h"
#include "gateway/request_recorder.h"
#include "gateway/request_trace_feed.h"
#include "net/http_server.h"
#include "net/io_threads.h"
#include "telemetry/log.h"
#include "telemetry/metrics.h"

namespace headrace {

// Serves the configured models from Start until Stop. Thread-safe.
class Gateway {
 public:
  // Errors: an address that cannot be listened on or resolved. `log` and `registry` must outlive
  // it.
  static Result<std::unique_ptr<Gateway>> Start(const Config& config, const Log& log,
                                                MetricsRegistry& registry);
  ~Gateway();

  // Refuses new connections and lets requests in flight finish within the configured drain time;
  // then their clients are cut off. A second call does nothing.
  void Stop();

  const SocketAddress& address() const { return server_->address(); }
  const Config& config() const { return config_; }
  const std::vector<std::unique_ptr<ServedModel>>& models() const { return models_; }
  std::vector<ProfileStatus> Profiles() const { return profiles_->Status(); }
  RequestRecorder& recorder() { return recorder_; }
  // Brings the gauges of the registry up to date.
  void RefreshMetrics() { metrics_.Refresh(models_, server_->connections()); }
  // At least one model has an endpoint that is up.
  bool Ready() const;
  IoThreads& threads() { return threads_; }

 private:
  Gateway(const Config& config, const Log& log, MetricsRegistry& registry);

  Config config_;
  StandingFaults faults_;
  ModelObserver metrics_;
  RequestRecorder recorder_;
  // In the order in which they may be used: each part uses those above it.
  IoThreads threads_;
  std::vector<std::unique_ptr<ServedModel>> models_;
  std::unique_ptr<ProfileFeed> profiles_;
  std::unique_ptr<RequestTraceFeed> request_trace_;  // Null when it is not wanted.
  std::unique_ptr<HealthChecker> health_;
  std::unique_ptr<Proxy> proxy_;
  std::unique_ptr<HttpServer> server_;
};

}  // namespace headrace
