// A fault that persists is logged once, not at every check.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "base/units.h"
#include "system/mutex.h"
#include "telemetry/log.h"

namespace headrace::telemetry {

// Remembers what was logged about each cause (`profile llama2-7b-a10`, `endpoint 10.0.0.7:8000`). A
// persisting fault is logged once, again when its message changes, and when it is over. One cause
// gets at most one line per `interval`, however often it comes, goes or changes; the next line
// counts what was held back (`held_back=3`). Thread-safe.
class StandingFaults {
 public:
  static constexpr Seconds kInterval = 10;

  explicit StandingFaults(const Log& log, Seconds interval = kInterval)
      : log_(log), interval_(interval) {}

  // The fault was seen. `now` is any monotonic clock's. The first call after the interval writes a
  // message that was held back, so call this at every check.
  void Raise(LogLevel level, std::string_view cause, std::string_view message, Seconds now);
  // The fault is not there, or no longer: `message` is logged (as information) if the fault was.
  void Clear(std::string_view cause, std::string_view message, Seconds now);

  // How many causes persist.
  std::size_t standing() const;

 private:
  struct Cause {
    bool standing = false;
    std::string said;  // The last line's message.
    Seconds said_at = 0;
    std::string held;  // The last message that was held back since.
    std::int64_t held_back = 0;
  };

  void Say(LogLevel level, std::string_view name, std::string_view message, Seconds now,
           Cause& cause) HEADRACE_REQUIRES(mutex_);
  static void HoldBack(std::string_view message, Cause& cause);
  void Forget(Seconds now) HEADRACE_REQUIRES(mutex_);

  const Log& log_;
  const Seconds interval_;
  mutable system::Mutex mutex_;
  std::map<std::string, Cause, std::less<>> causes_ HEADRACE_GUARDED_BY(mutex_);
};

}  // namespace headrace::telemetry
