// Files, beside the configuration, that are read again while the gateway runs.
#pragma once

#include <string>

#include "base/units.h"

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
  virtual FollowedStatus status() const = 0;
};

}  // namespace headrace::gateway
