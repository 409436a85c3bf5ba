// How a coroutine waits for something that happens on its thread.
#pragma once

#include <memory>

#include "net/io_threads.h"

namespace headrace::net {

// Lets one coroutine of a thread sleep until it is woken or a deadline passes. All calls on that
// thread. Must outlive the wait.
class Waker {
 public:
  explicit Waker(IoThread& thread);
  ~Waker();
  Waker(const Waker&) = delete;
  Waker& operator=(const Waker&) = delete;

  // Ends the wait in progress, or the next one at once. Waking twice is waking once.
  void Wake();
  // True when woken, false when `deadline` (MonotonicNow) passed; never early, at most ~20 ms late.
  // One wait at a time.
  Task<bool> Wait(Seconds deadline);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace headrace::net
