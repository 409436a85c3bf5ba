// The signals that ask the program to stop, or to read its configuration again.
#pragma once

#include <atomic>
#include <optional>
#include <thread>

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

// While it lives, the first SIGINT or SIGTERM is only noted, for a computation that looks now and
// then; a second one ends the program. Make it before any thread.
class Interruption {
 public:
  Interruption();
  const std::atomic<bool>& came() const { return came_; }

 private:
  Termination termination_;
  std::atomic<bool> came_{false};
  std::jthread thread_;
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
