// Waiting to be told to stop.
#pragma once

#include <optional>

#include "base/units.h"

namespace headrace::cli {

// Takes SIGINT and SIGTERM away from the threads that are started after it; make one before any. A
// second signal, while the program drains, ends it at once.
class Termination {
 public:
  Termination();

  // True when one of them came, false when `patience` seconds passed first.
  bool Wait(std::optional<Seconds> patience = std::nullopt);
};

}  // namespace headrace::cli
