// What a thread waits for: its sockets, the time, and work from other threads. Own code over epoll,
// because a library that registers a socket anew for every wait costs a system call for each
// (docs/decisions/0009).
#pragma once

#include <sys/epoll.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <vector>

#include "base/units.h"
#include "system/mutex.h"

namespace headrace::net {

// Hears of one descriptor.
class Watcher {
 public:
  // What has happened since the last call (EPOLLIN, EPOLLOUT …). Each change is told once, whether
  // it is made use of or not. It may end this object.
  virtual void OnEvents(std::uint32_t events) = 0;
  // After EventLoop::CallSoon. It may end this object.
  virtual void OnTurn() = 0;

 protected:
  ~Watcher() = default;

 private:
  friend class EventLoop;
  bool called_soon_ = false;
};

// Run runs on one thread. Stop, Post and Watch may be called from any thread, everything else from
// that one.
class EventLoop {
 public:
  EventLoop();
  ~EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  // Until Stop.
  void Run();
  void Stop();
  // Runs `work` soon and in order. It must not throw.
  void Post(std::function<void()> work);
  // Runs `work` at that time (MonotonicNow), never early.
  void At(Seconds time, std::function<void()> work);

  // Tells `watcher` what happens to the descriptor, from now until Forget. False if the system has
  // no room.
  bool Watch(int descriptor, Watcher& watcher);
  // Calls OnTurn once, after all else that is ready has had its turn.
  void CallSoon(Watcher& watcher);
  // Neither is called any more. The descriptor is to be closed next.
  void Forget(Watcher& watcher);

  // Destroys the work that never ran, once Run has returned.
  void Discard();

 private:
  static constexpr int kMostEvents = 128;  // Per system call.

  void RunPosted();
  void RunTurns();
  void RunTimers();
  void SetTimer();

  int poll_ = -1;
  int wake_ = -1;   // An eventfd: other threads have posted.
  int timer_ = -1;  // A timerfd, set to the first of timers_.
  std::atomic<bool> stopped_ = false;
  std::atomic<bool> asleep_ = false;  // It waits, or will next; who takes that back wakes it.

  system::Mutex mutex_;
  std::vector<std::function<void()>> posted_ HEADRACE_GUARDED_BY(mutex_);
  std::vector<std::function<void()>> running_;  // Taken from posted_.

  std::multimap<Seconds, std::function<void()>> timers_;
  Seconds timer_set_for_ = kNever;

  std::vector<Watcher*> soon_;  // With null for those that were forgotten.
  std::vector<Watcher*> turns_;
  std::array<epoll_event, kMostEvents> events_;
  int events_left_ = 0;  // Those at the end of this batch.
  int events_end_ = 0;
};

}  // namespace headrace::net
