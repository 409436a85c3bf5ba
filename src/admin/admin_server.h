// The operator's listener: metrics, status, health.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "gateway/gateway.h"
#include "net/http_server.h"
#include "net/router.h"
#include "telemetry/metrics.h"

namespace headrace::admin {

// GET /metrics (Prometheus text), /status (JSON), /healthz (the process lives), /readyz (some model
// can be served), /explain/{request-id} (why one of the last requests went where it went),
// /debug/record?model=NAME&duration=1m (one line of JSON per request that arrives
// meanwhile, as it ends: serving/request_recorder.h). On its own thread, so that a busy gateway can
// still be inspected.
class AdminServer {
 public:
  // Errors: an address that cannot be listened on. `gateway` and `registry` must outlive it.
  static Result<std::unique_ptr<AdminServer>> Start(const std::string& listen,
                                                    gateway::Gateway& gateway,
                                                    const telemetry::MetricsRegistry& registry);
  ~AdminServer();

  const system::SocketAddress& address() const { return server_->address(); }

 private:
  AdminServer(gateway::Gateway& gateway, const telemetry::MetricsRegistry& registry);
  std::vector<net::Route> Routes();
  net::Task<void> RespondRouteError(net::HttpExchange& exchange, net::ResponseHead head,
                                    std::string message);
  net::Task<void> Explain(net::HttpExchange& exchange, std::string_view id);
  net::Task<void> Record(net::HttpExchange& exchange);

  gateway::Gateway& gateway_;
  const telemetry::MetricsRegistry& registry_;
  net::Router router_;
  net::IoThreads threads_;
  std::unique_ptr<net::HttpServer> server_;
};

}  // namespace headrace::admin
