// The stand-alone gateway: how its parts are connected.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/result.h"
#include "config/config.h"
#include "gateway/configured_endpoints.h"
#include "gateway/followed_files.h"
#include "gateway/health_checker.h"
#include "gateway/io_executor.h"
#include "gateway/kubernetes_models.h"
#include "gateway/listener_tls.h"
#include "gateway/proxy.h"
#include "gateway/settled.h"
#include "gateway/trace_exporter.h"
#include "net/http_server.h"
#include "net/io_threads.h"
#include "serving/access_log.h"
#include "serving/client_keys.h"
#include "serving/fleet_feed.h"
#include "serving/gateway_metrics.h"
#include "serving/profile_feed.h"
#include "serving/replica_feed.h"
#include "serving/request_history.h"
#include "serving/request_recorder.h"
#include "serving/request_trace_feed.h"
#include "serving/served_request.h"
#include "serving/timeline.h"
#include "system/mutex.h"
#include "telemetry/log.h"
#include "telemetry/metrics.h"

namespace headrace::gateway {

telemetry::LogLevel LogLevelOf(config::LogConfig::Level level);

// Serves the configured models from Start until Stop. Thread-safe.
class Gateway {
 public:
  // Errors: an address that cannot be listened on or resolved, a file of an endpoint (a key, a
  // certificate) or the access log that cannot be opened. `log` and `registry` must outlive it.
  static Result<std::unique_ptr<Gateway>> Start(const config::Config& config, telemetry::Log& log,
                                                telemetry::MetricsRegistry& registry);
  // As Start, with these endpoints instead of the configured ones.
  static Result<std::unique_ptr<Gateway>> Start(const config::Config& config,
                                                EndpointSources sources, telemetry::Log& log,
                                                telemetry::MetricsRegistry& registry);
  ~Gateway();

  // Takes over what differs from the configuration in force and may change while the gateway runs
  // (docs/configuration.md, "live"). Returns the paths of the other options that differ: they keep
  // their values until a restart. A model that is gone gets no new requests; those that it has are
  // served. An error: a file that cannot be opened, or a policy that does not exist; then nothing
  // has changed.
  Result<std::vector<std::string>> Apply(const config::Config& config);

  // Not ready from now on, for those who choose where requests go; requests are served as before.
  // Clients are asked to connect anew (`Connection: close`).
  void BeginDrain();
  bool draining() const { return draining_; }
  // Keeps new requests from the endpoints of this address, in one model or (null) in all, or lets
  // them go there again. How many requests run there; nullopt if there is no such endpoint.
  std::optional<int> SetDrained(const std::string* model, std::string_view address, bool drained);
  // Refuses new connections and lets requests in flight finish within the configured drain time;
  // then their clients are cut off. A second call does nothing.
  void Stop();

  // Of the own listener; never set where there is none.
  system::SocketAddress address() const {
    return server_ ? server_->address() : system::SocketAddress();
  }
  // What another shell serves the same pools with, until Stop.
  const serving::ServingContext& serving() const { return context_; }
  // What is in force.
  std::shared_ptr<const config::Config> config() const;
  // The same with the models and deployments that Kubernetes has.
  std::shared_ptr<const config::Config> served() const;
  // One for each model that is served, in its order.
  const serving::Pools& pools() const { return pools_; }
  std::vector<serving::ProfileStatus> Profiles() const;
  // Reads the file of API keys again, the certificates, and what else is followed. A change is
  // taken over once it was the same twice. What cannot be read or has a fault stays as it is, and
  // is logged. Blocks.
  void RefreshFiles();
  // These are read again, too.
  void Follow(std::shared_ptr<FollowedFiles> files);
  // What became of each.
  std::vector<FollowedStatus> Files() const;
  telemetry::StandingFaults& faults() { return faults_; }
  // The access log's file may have been moved away.
  void ReopenLogs() { access_log_.Reopen(); }
  serving::RequestRecorder& recorder() { return recorder_; }
  const serving::RequestHistory& history() const { return history_; }
  const serving::Timeline& timeline() const { return timeline_; }
  // nullopt: nothing is shared with other replicas.
  std::optional<serving::ReplicaStatus> Replicas() const { return replicas_.Status(); }
  // Brings the gauges of the registry up to date.
  void RefreshMetrics() {
    metrics_.Refresh(pools_, server_ ? server_->connections() : 0, access_log_.dropped());
  }
  // At least one pool has an endpoint that is up, or lets requests wait for the first one; and the
  // gateway does not drain.
  bool Ready() const;

 private:
  Gateway(const config::Config& config, telemetry::Log& log, telemetry::MetricsRegistry& registry);
  // Without sources: those of the configuration.
  static Result<std::unique_ptr<Gateway>> Start(const config::Config& config,
                                                std::optional<EndpointSources> sources,
                                                telemetry::Log& log,
                                                telemetry::MetricsRegistry& registry);
  // Without an address: with no listener of its own.
  Result<void> StartParts(std::optional<EndpointSources> sources,
                          const std::optional<system::SocketAddress>& address);
  net::HttpServerOptions ServerOptions(const config::Config& config);
  std::vector<std::shared_ptr<FollowedFiles>> AllFollowed() const;
  void RefreshKeys();
  void SayKeysFault(const std::string& fault);
  // Takes over what Kubernetes has now, if that is other models than before.
  void Rediscover();
  void FollowModels();
  // Serves these from now on. Nothing fails.
  void TakeOver(const config::Config& served, EndpointSources sources)
      HEADRACE_REQUIRES(apply_mutex_);
  void SetServed(config::Config served);
  std::shared_ptr<serving::Pool> MakePool(const config::ModelConfig& model)
      HEADRACE_REQUIRES(apply_mutex_);
  // The pools of the configuration, with its options: those that serve its models already, and new
  // ones.
  serving::PoolList PoolsOf(const config::Config& config) HEADRACE_REQUIRES(apply_mutex_);
  void FollowProfiles(const config::Config& config, const serving::PoolList& pools)
      HEADRACE_REQUIRES(apply_mutex_);

  system::Mutex apply_mutex_;  // One change at a time.
  std::size_t pools_made_ HEADRACE_GUARDED_BY(apply_mutex_) = 0;
  Settled<std::optional<access::KeyFile>> key_file_ HEADRACE_GUARDED_BY(apply_mutex_);
  mutable system::Mutex mutex_;  // Held for as long as a pointer is copied or exchanged.
  std::shared_ptr<const config::Config> config_ HEADRACE_GUARDED_BY(mutex_);
  std::shared_ptr<const config::Config> served_ HEADRACE_GUARDED_BY(mutex_);
  KubernetesModels kubernetes_ HEADRACE_GUARDED_BY(apply_mutex_);
  std::atomic<bool> draining_ = false;
  telemetry::Log& log_;
  telemetry::MetricsRegistry& registry_;
  telemetry::StandingFaults faults_;
  serving::PoolObserver metrics_;
  serving::RequestRecorder recorder_;
  serving::RequestHistory history_;
  serving::Timeline timeline_;
  serving::AccessLog access_log_;
  TraceExporter traces_;
  // In the order in which they may be used: each part uses those above it. The executors outlive
  // the threads, which may still run what was posted through them.
  std::vector<std::unique_ptr<IoExecutor>> executors_;  // By thread.
  net::IoThreads threads_;
  serving::Pools pools_;
  std::unique_ptr<HealthChecker> health_;
  std::unique_ptr<serving::FleetFeed> fleets_;
  std::shared_ptr<serving::ProfileFeed> profiles_ HEADRACE_GUARDED_BY(mutex_);
  serving::RequestTraceFeed request_trace_;
  serving::ClientKeys keys_;
  serving::ReplicaFeed replicas_;
  serving::ResponseOwners responses_;
  serving::ServingContext context_;
  std::string keys_fault_ HEADRACE_GUARDED_BY(mutex_);
  std::vector<std::shared_ptr<FollowedFiles>> followed_ HEADRACE_GUARDED_BY(mutex_);
  std::shared_ptr<ListenerTls> tls_;  // Null without.
  std::unique_ptr<Proxy> proxy_;      // Null without a listener, as the server.
  std::unique_ptr<net::HttpServer> server_;
  system::ConditionVariable stop_;  // With mutex_.
  bool stopping_ HEADRACE_GUARDED_BY(mutex_) = false;
  std::thread models_thread_;
};

}  // namespace headrace::gateway
