// Files, beside the configuration, that are read again while the gateway runs.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "config/config.h"

namespace headrace::gateway {

struct FollowedStatus {
  std::string option;  // That names the file: `listen.certificate`.
  std::string file;
  Seconds ends = 0;   // When what it holds ends (Unix time); 0: never.
  std::string fault;  // Why the file, as it is now, is not in force; empty if it is.
};

// One who takes something from files. Thread-safe.
class FollowedFiles {
 public:
  virtual ~FollowedFiles() = default;
  // Reads them, and takes a change over; one with a fault changes nothing. `now` is any monotonic
  // clock's. Blocks.
  virtual void Refresh(Seconds now) = 0;
  // Reads what this configuration, the next in force, has instead of them; the result takes it
  // over. Errors: what cannot be read or has a fault; then nothing has changed. Blocks.
  virtual Result<std::function<void()>> Prepare(const config::Config& /*config*/) {
    return [] {};
  }
  virtual std::vector<FollowedStatus> Statuses() const = 0;
};

}  // namespace headrace::gateway
