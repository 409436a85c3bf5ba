// The threads that connections live on.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "base/units.h"
#include "net/event_loop.h"
#include "net/task.h"

namespace headrace::net {

class TimingWheel;

// One thread with its own event loop. Post and Spawn may be called from any thread, everything else
// from this one.
class IoThread {
 public:
  explicit IoThread(int index);
  ~IoThread();
  IoThread(const IoThread&) = delete;
  IoThread& operator=(const IoThread&) = delete;

  // 0 … threads − 1: the place of this thread's share in per-thread tables.
  int index() const { return index_; }
  // Runs `work` on this thread, soon and in order. It must not throw.
  void Post(std::function<void()> work);
  // The same, and waits for it; not from an I/O thread. This is how per-thread objects are ended.
  void Run(std::function<void()> work);
  // Starts a coroutine on this thread, soon. An exception that leaves it ends the program. One that
  // still sleeps when the thread ends is destroyed.
  void Spawn(std::function<Task<void>()> body);
  // Suspends the calling coroutine until all else that is ready has had its turn.
  Task<void> Yield();
  // Runs work that takes milliseconds on a thread that serves no connection, and suspends the
  // calling coroutine meanwhile. It must not throw, and must stay until it has run.
  Task<void> RunAside(const std::function<void()>& work);
  // The same, not waited for.
  void PostAside(std::function<void()> work);
  // Suspends the calling coroutine; exact to the timer (no rounding to the wheel's step).
  Task<void> SleepUntil(Seconds deadline);

  EventLoop& loop() { return loop_; }
  // Cheap deadlines for timeouts that are almost never reached (net/timing_wheel.h).
  TimingWheel& deadlines() { return *deadlines_; }

 private:
  friend class IoThreads;
  struct Spawned;  // The type of the outermost coroutines.
  struct SpawnedPromise;

  static Spawned RunSpawned(IoThread& thread, std::function<Task<void>()> body);

  int index_;
  EventLoop loop_;
  std::unique_ptr<TimingWheel> deadlines_;
  IoThread* aside_ = nullptr;          // Of all threads, where work runs aside.
  SpawnedPromise* spawned_ = nullptr;  // The coroutines of this thread, while they run or sleep.
};

// A fixed number of event loops, each on its own thread, and one more thread for what would keep a
// loop from its connections. Servers and clients are made for them and must be stopped and gone
// before they are.
class IoThreads {
 public:
  // Starts `count` (≥ 1) threads.
  explicit IoThreads(int count);
  // Ends the loops, with what still waits in them, and joins the threads.
  ~IoThreads();

  int size() const { return static_cast<int>(threads_.size()); }
  IoThread& operator[](int index) { return *threads_[static_cast<std::size_t>(index)]; }

 private:
  struct Runner;
  IoThread aside_{-1};  // Outlives the others: what ends with them may have work for it.
  std::vector<std::unique_ptr<IoThread>> threads_;
  std::vector<std::unique_ptr<Runner>> runners_;
};

}  // namespace headrace::net
