// Which endpoints are up: probed at intervals.
#pragma once

#include <memory>

#include "config/config.h"
#include "net/io_threads.h"
#include "serving/pool.h"

namespace headrace::gateway {

// Where in the interval the n-th endpoint is probed, 0 … 1. Each multiple of the golden ratio falls
// into one of the widest gaps that those before it have left, so any number is spread evenly.
double ProbePhase(std::size_t n);

// GETs the health path of every endpoint at every interval (or only connects, where there is no
// such page), each at its own time in it, and tells
// the pool's router: down after `failures` failed probes in a row, up after one success. The data
// path itself reports an endpoint down as soon as it refuses a connection; a probe is how it comes
// back. An endpoint that comes up is asked for its models and for its metrics, and the router is
// told the context that it gives the pool's, and the room of its KV cache. One coroutine per
// endpoint, on the I/O threads. Thread-safe.
class HealthChecker {
 public:
  HealthChecker(const config::HealthConfig& config, net::IoThreads& threads);
  // No router is used any more when this returns.
  ~HealthChecker();

  // Probes exactly these endpoints of the pool from now on.
  void SetEndpoints(serving::Pool& pool, const serving::EndpointList& endpoints);
  // Takes effect with the next probe of each endpoint.
  void SetConfig(const config::HealthConfig& config);

 private:
  struct Shared;
  struct ThreadProbes;
  // When an endpoint is probed first, and where in the interval it is from then on (0 … 1).
  struct Rhythm {
    Seconds delay;
    double phase;
  };
  using EndpointPtr = std::shared_ptr<const serving::EndpointInfo>;

  static net::Task<void> Probe(std::shared_ptr<Shared> shared, std::shared_ptr<ThreadProbes> probes,
                               EndpointPtr endpoint, Rhythm rhythm);

  std::shared_ptr<Shared> shared_;
};

}  // namespace headrace::gateway
