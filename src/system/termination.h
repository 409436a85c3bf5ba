// The signals that ask the program to stop.
#pragma once

#include <optional>

#include "base/units.h"

namespace headrace::system {

// Blocks SIGINT and SIGTERM in the threads that start after it: make it before any of them. A
// second signal, while the program drains, ends it at once.
class Termination {
 public:
  Termination();

  // True when a signal came; false when `timeout` passed first.
  bool Wait(std::optional<Seconds> timeout = std::nullopt);
};

}  // namespace headrace::system
