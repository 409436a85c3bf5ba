// The signals that ask the program to stop, or to read its configuration again.
#pragma once

#include <optional>

#include "base/units.h"

namespace headrace::system {

// Blocks SIGINT and SIGTERM in the threads that start after it: make it before any of them.
class Termination {
 public:
  // The program answers so many signals itself, the first by draining, say. The next one ends it at
  // once.
  explicit Termination(int answered = 1);

  // True when a signal came; false when `timeout` passed first.
  bool Wait(std::optional<Seconds> timeout = std::nullopt);

 private:
  int left_;  // To be answered.
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
