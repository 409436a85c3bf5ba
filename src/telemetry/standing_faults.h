// A fault that stands is said once, not at every look.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>

#include "base/units.h"
#include "telemetry/log.h"

namespace headrace::telemetry {

// Remembers what was said about each cause (`profile llama2-7b-a10`, `endpoint 10.0.0.7:8000`), so
// that the log says a standing fault once, says it again when its message changes, and says when it
// is over. One cause gets at most one line per `interval`, however fast it comes, goes or changes;
// what was held back is counted in the next line (`held_back=3`). Thread-safe.
class StandingFaults {
 public:
  static constexpr Seconds kInterval = 10;

  explicit StandingFaults(const Log& log, Seconds interval = kInterval)
      : log_(log), interval_(interval) {}

  // The fault is seen. `now` is any monotonic clock's. A message that was held back is written by
  // the first call after the interval, so call this at every look.
  void Raise(LogLevel level, std::string_view cause, std::string_view message, Seconds now);
  // It is not, or no longer: `message` is said (as information) when the fault was said before.
  void Clear(std::string_view cause, std::string_view message, Seconds now);

  // How many causes stand.
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
           Cause& cause);
  static void HoldBack(std::string_view message, Cause& cause);
  void Forget(Seconds now);

  const Log& log_;
  const Seconds interval_;
  mutable std::mutex mutex_;
  std::map<std::string, Cause, std::less<>> causes_;
};

}  // namespace headrace::telemetry
