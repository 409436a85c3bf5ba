// Locks that the compiler checks: what is guarded by a mutex cannot be touched without it.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>

#include "base/units.h"

// Clang's thread safety analysis (-Wthread-safety, an error here); nothing for other compilers.
// https://clang.llvm.org/docs/ThreadSafetyAnalysis.html
#if defined(__clang__)
#define HEADRACE_THREAD_ATTRIBUTE(attribute) __attribute__((attribute))
#else
#define HEADRACE_THREAD_ATTRIBUTE(attribute)
#endif
// Of a member: read and written only while `mutex` is held.
#define HEADRACE_GUARDED_BY(mutex) HEADRACE_THREAD_ATTRIBUTE(guarded_by(mutex))
// Of a function: called only while `mutex` is held, or only while it is not.
#define HEADRACE_REQUIRES(mutex) HEADRACE_THREAD_ATTRIBUTE(requires_capability(mutex))
#define HEADRACE_EXCLUDES(mutex) HEADRACE_THREAD_ATTRIBUTE(locks_excluded(mutex))

namespace headrace::system {

// std::mutex with annotations. Lock it with a MutexLock.
class HEADRACE_THREAD_ATTRIBUTE(capability("mutex")) Mutex {
 public:
  // What our locks protect takes about a microsecond: to sleep at once, and be woken, costs more
  // than to look again for so long.
  void Lock() HEADRACE_THREAD_ATTRIBUTE(acquire_capability()) {
    for (int i = 0; i < kLooks; ++i) {
      if (mutex_.try_lock()) return;
      Pause();
    }
    mutex_.lock();
  }
  void Unlock() HEADRACE_THREAD_ATTRIBUTE(release_capability()) { mutex_.unlock(); }

 private:
  friend class ConditionVariable;
  static constexpr int kLooks = 50;

  static void Pause() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
  }

  std::mutex mutex_;
};

// Holds a mutex for as long as it lives.
class HEADRACE_THREAD_ATTRIBUTE(scoped_lockable) MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) HEADRACE_THREAD_ATTRIBUTE(acquire_capability(mutex))
      : mutex_(mutex) {
    mutex_.Lock();
  }
  ~MutexLock() HEADRACE_THREAD_ATTRIBUTE(release_capability()) { mutex_.Unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

// Waits may end early, for no reason: test the condition in a loop.
class ConditionVariable {
 public:
  void Wait(Mutex& mutex) HEADRACE_REQUIRES(mutex) {
    std::unique_lock lock(mutex.mutex_, std::adopt_lock);
    condition_.wait(lock);
    lock.release();
  }
  // False when `patience` seconds passed first.
  bool WaitFor(Mutex& mutex, Seconds patience) HEADRACE_REQUIRES(mutex) {
    std::unique_lock lock(mutex.mutex_, std::adopt_lock);
    const auto status = condition_.wait_for(lock, std::chrono::duration<double>(patience));
    lock.release();
    return status == std::cv_status::no_timeout;
  }
  void NotifyAll() { condition_.notify_all(); }

 private:
  std::condition_variable condition_;
};

}  // namespace headrace::system
