// Which endpoints are up: asked at intervals.
#pragma once

#include <memory>
#include <vector>

#include "config/config.h"
#include "gateway/proxy.h"

namespace headrace::gateway {

// GETs the health path of every endpoint at every interval and tells the model's router: down after
// `failures` misses in a row, up after one success. The data path itself reports an endpoint down
// as soon as it refuses a connection; this is how it comes back. One coroutine an endpoint, on the
// I/O threads, for the fleet as it is when this starts.
class HealthChecker {
 public:
  HealthChecker(const config::HealthConfig& config,
                std::vector<std::unique_ptr<serving::ServedModel>>& models,
                net::IoThreads& threads);
  // No router is touched any more when this returns.
  ~HealthChecker();

 private:
  struct Shared;
  struct ThreadProbes;
  static net::Task<void> Probe(std::shared_ptr<Shared> shared, std::shared_ptr<ThreadProbes> probes,
                               serving::ModelRouter& router,
                               std::shared_ptr<const serving::EndpointInfo> endpoint);
  std::shared_ptr<Shared> shared_;
};

}  // namespace headrace::gateway
