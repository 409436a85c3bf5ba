// The operator's listener: metrics, status, health.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "admin/admin_access.h"
#include "base/result.h"
#include "base/units.h"
#include "gateway/config_follower.h"
#include "gateway/gateway.h"
#include "net/http_server.h"
#include "net/router.h"
#include "telemetry/metrics.h"

namespace headrace::admin {

// What the pages can do beside showing.
struct Controls {
  gateway::ConfigFollower* config = nullptr;  // Null: no file is followed.
  std::function<void()> drain = {};           // Begins to drain, then ends the program; empty: no.
};

// GET / (the status page), /live (what it shows, as server-sent events: `status` as /status, and
// `timeline` as /timeline), /metrics (Prometheus text), /status and /timeline (JSON), /healthz (the
// process lives), /readyz (some model can be served), /explain?last=20 (the requests that ended
// last) and /explain/{request-id} (why one of them went where it went),
// /debug/record?model=NAME&duration=1m (one line of JSON per request that arrives meanwhile, as it
// ends: serving/request_recorder.h). POST /-/reload (the configuration file, now),
// /-/drain (the gateway, as SIGTERM does), /-/drain?endpoint=ADDRESS[&model=NAME] and /-/resume
// (one endpoint gets no new requests, or gets them again). On its own thread, so that a busy
// gateway can still be inspected. Who is served: admin_access.h.
class AdminServer {
 public:
  // Errors: an address that cannot be listened on, or that others reach and that asks for nothing;
  // a file that has a fault. `gateway` and `registry` must outlive it.
  static Result<std::unique_ptr<AdminServer>> Start(const config::AdminConfig& config,
                                                    gateway::Gateway& gateway,
                                                    telemetry::MetricsRegistry& registry,
                                                    Controls controls = {});
  ~AdminServer();

  const system::SocketAddress& address() const { return server_->address(); }

 private:
  AdminServer(gateway::Gateway& gateway, const telemetry::MetricsRegistry& registry,
              Controls controls);
  net::Task<void> Serve(net::HttpExchange& exchange);
  std::vector<net::Route> Routes();
  net::Task<void> RespondRouteError(net::HttpExchange& exchange, net::ResponseHead head,
                                    std::string message);
  net::Task<void> ExplainLatest(net::HttpExchange& exchange);
  net::Task<void> Explain(net::HttpExchange& exchange, std::string_view id);
  net::Task<void> Record(net::HttpExchange& exchange);
  net::Task<void> Metrics(net::HttpExchange& exchange);
  net::Task<void> Live(net::HttpExchange& exchange);
  std::shared_ptr<const std::string> LiveEvents(bool with_timeline);
  std::string Status() const;
  std::string TimelineNow() const;
  net::Task<void> Reload(net::HttpExchange& exchange);
  // Of the gateway, or of one endpoint.
  net::Task<void> Drain(net::HttpExchange& exchange);
  net::Task<void> DrainEndpoint(net::HttpExchange& exchange, bool drained);

  gateway::Gateway& gateway_;
  const telemetry::MetricsRegistry& registry_;
  const Controls controls_;
  std::shared_ptr<AdminAccess> access_;
  // What /live sends, without the timeline and with it: made once for all who look. Used on the
  // server's thread.
  struct Events {
    Seconds made = -kNever;
    std::shared_ptr<const std::string> text;
  };
  std::array<Events, 2> live_;
  net::Router router_;
  net::IoThreads threads_;
  std::unique_ptr<net::HttpServer> server_;
};

}  // namespace headrace::admin
