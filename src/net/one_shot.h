// One value that another thread hands to a waiting coroutine.
#pragma once

#include <memory>
#include <optional>
#include <utility>

#include "net/io_threads.h"

namespace headrace {

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

// A value that is set once, from any thread, and awaited on `thread`. The first Set wins; later
// ones are dropped. Copies of the setting half (`Setter`) may outlive the waiter.
template <typename T>
class OneShot {
  struct State {
    explicit State(IoThread& io_thread) : thread(io_thread), waker(io_thread) {}
    IoThread& thread;
    Waker waker;
    std::optional<T> value;
  };

 public:
  class Setter {
   public:
    // Any thread. The value arrives through the thread's queue.
    void Set(T value) const {
      state_->thread.Post([state = state_, value = std::move(value)]() mutable {
        if (state->value) return;
        state->value = std::move(value);
        state->waker.Wake();
      });
    }
    // The waiting coroutine's own thread only: there at once.
    void SetHere(T value) const {
      if (state_->value) return;
      state_->value = std::move(value);
      state_->waker.Wake();
    }

   private:
    friend class OneShot;
    explicit Setter(std::shared_ptr<State> state) : state_(std::move(state)) {}
    std::shared_ptr<State> state_;
  };

  // On `thread`.
  explicit OneShot(IoThread& thread) : state_(std::make_shared<State>(thread)) {}

  Setter setter() const { return Setter(state_); }
  // The value, or nothing when `deadline` passed first. May be called again after a deadline. Take
  // the value once.
  Task<std::optional<T>> Wait(Seconds deadline) {
    if (!state_->value) co_await state_->waker.Wait(deadline);
    co_return std::exchange(state_->value, std::nullopt);
  }

 private:
  std::shared_ptr<State> state_;
};

}  // namespace headrace
