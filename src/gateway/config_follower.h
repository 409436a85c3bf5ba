// Keeps a running gateway as its configuration file says.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "config/config.h"
#include "gateway/gateway.h"
#include "gateway/settled.h"
#include "system/mutex.h"
#include "telemetry/headrace_metrics.h"
#include "telemetry/log.h"
#include "telemetry/metrics.h"

namespace headrace::gateway {

// What became of the file, for status pages.
struct ConfigFileStatus {
  std::string file;
  Seconds taken_over = 0;  // When what is in force was read (Unix time).
  // Why the file, as it was read last, is not in force: one fault per line; empty if it is.
  std::string error;
  std::vector<std::string> changed;           // Options, by the last reading that was taken over.
  std::vector<std::string> awaiting_restart;  // Those that keep their values until then.
};

// Reads the file when it is told to, and by itself when its text has changed: every two seconds the
// text is compared with the last one, and it is taken over once it has stayed the same for that
// long, so that a file that is being written is not. Reading it also finds what a notification of
// the kernel misses: a mounted ConfigMap, a symbolic link that leads elsewhere, a network file
// system. A file that is missing or has a fault changes nothing; that is logged, counted and shown.
// A pipe cannot be read twice and is not followed. The other files of the gateway are read as
// often. Thread-safe.
class ConfigFollower {
 public:
  // Reads and checks a text; the error has one fault per line.
  using Parse = std::function<Result<config::Config>(std::string_view text)>;
  static constexpr Seconds kInterval = 2;

  // `text` is what the gateway was started with. What is passed in must outlive it. `interval`: for
  // tests.
  ConfigFollower(std::string file, std::string text, Parse parse, Gateway& gateway,
                 const telemetry::Log& log, telemetry::MetricsRegistry& registry,
                 Seconds interval = kInterval);
  ~ConfigFollower();

  // Reads the file and takes it over. Blocks while it is read, checked and applied.
  ConfigFileStatus Reload();
  ConfigFileStatus status() const;

 private:
  using Reading = Result<std::string>;

  void Run();
  void TakeOver(const Reading& reading) HEADRACE_REQUIRES(reload_mutex_);
  void Fail(const std::string& error);
  void Succeed(const std::vector<std::string>& changed, const std::vector<std::string>& waiting);

  const std::string file_;
  const Parse parse_;
  Gateway& gateway_;
  const telemetry::Log& log_;
  telemetry::ConfigMetrics metrics_;
  const Seconds interval_;
  system::Mutex reload_mutex_;  // One reading at a time.
  Settled<std::string> text_ HEADRACE_GUARDED_BY(reload_mutex_);
  mutable system::Mutex mutex_;
  system::ConditionVariable stop_;
  bool stopping_ HEADRACE_GUARDED_BY(mutex_) = false;
  ConfigFileStatus status_ HEADRACE_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace headrace::gateway
