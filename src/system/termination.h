// The signals that ask the program to stop, or to read its configuration again.
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

// As if SIGTERM had come.
void Terminate();

// The same of a program that reads its configuration again at SIGHUP.
class ServerSignals {
 public:
  enum class Signal { kTerminate, kReload };
  ServerSignals();

  // The next one. After kTerminate there is none.
  Signal Wait();
};

}  // namespace headrace::system
