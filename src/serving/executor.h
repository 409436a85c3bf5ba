// The thread that a request lives on, without its event loop.
#pragma once

#include <functional>
#include <memory>

#include "base/units.h"

namespace headrace::serving {

// Rings once, at the time that was set last or up to some 20 ms later, never before it. Set and
// destroyed on its executor's thread (destroyed also after that thread has ended).
class Alarm {
 public:
  virtual ~Alarm() = default;
  // kNever: it does not ring.
  virtual void Set(Seconds time) = 0;
};

// One thread with an event loop. A shell provides one for each thread that it serves requests on.
class Executor {
 public:
  virtual ~Executor() = default;

  // The monotonic clock. Any thread.
  virtual Seconds Now() const = 0;
  // Runs `work` on this thread, soon and in the order of the calls, never from within Post. Any
  // thread.
  virtual void Post(std::function<void()> work) = 0;
  // An alarm that calls `ring` on this thread. From this thread.
  virtual std::unique_ptr<Alarm> MakeAlarm(std::function<void()> ring) = 0;
};

}  // namespace headrace::serving
