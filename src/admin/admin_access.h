// Who may see the admin pages, and who may change the gateway by them.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "access/api_key.h"
#include "base/result.h"
#include "config/config.h"
#include "gateway/followed_files.h"
#include "gateway/settled.h"
#include "net/http_server.h"
#include "system/mutex.h"
#include "telemetry/headrace_metrics.h"
#include "telemetry/standing_faults.h"

namespace headrace::admin {

// Clients' certificates are TLS's; here are tokens, and what protects an operator's own browser: a
// page of another site must neither change anything nor, by a name of its own that leads to this
// machine (DNS rebinding), read anything.
class AdminAccess final : public gateway::FollowedFiles {
 public:
  // Errors: an address that needs a token and has none, a file of tokens that has a fault. `faults`
  // and `registry` must outlive it.
  static Result<std::shared_ptr<AdminAccess>> Load(const config::AdminConfig& config,
                                                   telemetry::StandingFaults& faults,
                                                   telemetry::MetricsRegistry& registry);

  // Whether the file of tokens can be used as it is now.
  static Result<void> CheckFile(const config::AdminConfig& config);

  struct Refusal {
    int status = 403;
    std::string sentence;
  };
  // Why the request is not served; nullopt if it is.
  std::optional<Refusal> Refuses(const net::HttpExchange& exchange);

  // Of the file of tokens, if there is one.
  void Refresh(Seconds now) override;
  std::vector<gateway::FollowedStatus> Statuses() const override;

 private:
  using Hashes = std::vector<access::KeyHash>;

  AdminAccess(const config::AdminConfig& config, Hashes tokens, telemetry::StandingFaults& faults,
              telemetry::MetricsRegistry& registry);
  static Result<Hashes> ReadTokens(const std::string& file);
  bool HasToken(const net::HttpExchange& exchange) const;
  bool IsOurName(std::string_view host) const;
  Refusal Refuse(std::string_view reason, int status, std::string sentence);

  const config::AdminConfig config_;
  const bool local_;  // Reached from this machine alone.
  telemetry::StandingFaults& faults_;
  telemetry::CounterSet refused_;
  mutable system::Mutex mutex_;
  gateway::Settled<Hashes> file_ HEADRACE_GUARDED_BY(mutex_);
  Hashes tokens_ HEADRACE_GUARDED_BY(mutex_);
  std::string fault_ HEADRACE_GUARDED_BY(mutex_);
};

}  // namespace headrace::admin
