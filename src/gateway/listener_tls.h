// TLS of a listener, by files that may change while it runs, or be others.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "config/config.h"
#include "gateway/followed_files.h"
#include "gateway/settled.h"
#include "net/tls_server.h"
#include "system/mutex.h"
#include "telemetry/headrace_metrics.h"
#include "telemetry/standing_faults.h"

namespace headrace::gateway {

// A listener has one certificate, further ones for other names, and maybe a CA for clients. Each is
// read and taken over by itself: one with a fault stays as it was, and the others change.
// Connections that come afterwards have what is new.
class ListenerTls final : public FollowedFiles {
 public:
  // Null for a listener without a certificate. `name`: the listener's option. Errors: a file that
  // cannot be read, a pair that is none. `faults` and `registry` must outlive it.
  static Result<std::shared_ptr<ListenerTls>> Load(const std::string& name,
                                                   const config::ListenerConfig& config,
                                                   telemetry::StandingFaults& faults,
                                                   telemetry::MetricsRegistry& registry);
  // Whether the files of all listeners can be used as they are now.
  static Result<void> CheckFiles(const config::Config& config);

  net::ByteStreamFactory Streams() { return server_->Streams(); }
  void Refresh(Seconds now) override;
  // Files that the listener has already are not read for this.
  Result<std::function<void()>> Prepare(const config::Config& config) override;
  std::vector<FollowedStatus> Statuses() const override;

 private:
  using Texts = std::vector<std::string>;
  // What changes as a whole: a certificate with its key, or the CAs.
  struct Part {
    enum class Kind { kOwn, kOther, kClientCa };
    Kind kind = Kind::kOwn;
    std::string option;  // `listen.certificate`.
    std::vector<std::string> files;
    Texts texts = {};  // What is in force, by file.
    Settled<Texts> reading{Texts()};
    std::string fault = {};  // Why what was read last is not.

    bool IsSame(const Part& other) const { return option == other.option && files == other.files; }
    // For sentences: its option and files.
    std::string Called() const;
  };
  struct Whole {
    std::vector<Part> parts;  // The own one first.
    std::shared_ptr<const net::TlsContext> context;
  };

  ListenerTls(std::string name, Whole whole, telemetry::StandingFaults& faults,
              telemetry::MetricsRegistry& registry);
  // Nothing is read for it.
  static std::vector<Part> PartsOf(const std::string& name, const config::ListenerConfig& config);
  static Result<Texts> ReadFiles(const Part& part);
  static Result<std::shared_ptr<const net::TlsContext>> MakeContext(const std::vector<Part>& parts);
  // What is in `known` already stays as it is.
  static Result<Whole> Read(const std::vector<Part>& wanted, const std::vector<Part>& known);
  // These texts for that part; nothing changes if they do not fit.
  static Result<void> Take(std::size_t part, Texts texts, Whole& whole);
  void Show() HEADRACE_REQUIRES(mutex_);

  const std::string name_;
  telemetry::StandingFaults& faults_;
  telemetry::TlsMetrics metrics_;
  mutable system::Mutex mutex_;
  Whole whole_ HEADRACE_GUARDED_BY(mutex_);
  std::shared_ptr<net::TlsServer> server_;
};

}  // namespace headrace::gateway
