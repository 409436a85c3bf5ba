// TLS of a listener, by files that may change while it runs.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "config/config.h"
#include "gateway/followed_files.h"
#include "gateway/settled.h"
#include "net/tls_server.h"
#include "system/mutex.h"
#include "telemetry/headrace_metrics.h"
#include "telemetry/standing_faults.h"

namespace headrace::gateway {

// Connections that come after a change of its files have the new certificate.
class ListenerTls final : public FollowedFiles {
 public:
  // Null for a listener without a certificate. `name`: the listener's option. Errors: a file that
  // cannot be read, a pair that is none. `faults` and `registry` must outlive it.
  static Result<std::shared_ptr<ListenerTls>> Load(const std::string& name,
                                                   const config::ListenerConfig& config,
                                                   telemetry::StandingFaults& faults,
                                                   telemetry::MetricsRegistry& registry);

  net::ByteStreamFactory Streams() { return server_->Streams(); }
  void Refresh(Seconds now) override;
  FollowedStatus status() const override;

 private:
  ListenerTls(const std::string& name, const config::ListenerConfig& config,
              net::TlsContext::Options options, std::shared_ptr<const net::TlsContext> context,
              telemetry::StandingFaults& faults, telemetry::MetricsRegistry& registry);

  const std::string name_;
  const config::ListenerConfig config_;
  telemetry::StandingFaults& faults_;
  telemetry::TlsMetrics metrics_;
  mutable system::Mutex mutex_;
  Settled<net::TlsContext::Options> files_ HEADRACE_GUARDED_BY(mutex_);
  std::string fault_ HEADRACE_GUARDED_BY(mutex_);
  std::shared_ptr<net::TlsServer> server_;
};

// Whether the files of all listeners can be used as they are now.
Result<void> CheckListeners(const config::Config& config);

}  // namespace headrace::gateway
