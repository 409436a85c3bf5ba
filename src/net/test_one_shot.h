// For tests: one value that another thread hands to a waiting coroutine.
#pragma once

#include <memory>
#include <optional>
#include <utility>

#include "net/waker.h"

namespace headrace::net {

// A value that is set once, from any thread, and awaited on `thread`, where this object lives. The
// first Set wins; later ones are dropped. Setters may be copied, outlive the waiter, and end on any
// thread; they must not be used after the I/O threads have ended.
template <typename T>
class OneShot {
  struct State {
    explicit State(IoThread& io) : thread(io) {}
    IoThread& thread;
    // Both belong to the thread.
    std::optional<T> value;
    Waker* waker = nullptr;  // Null once the waiter has gone.
  };

 public:
  class Setter {
   public:
    // Any thread. The value arrives through the thread's queue.
    void Set(T value) const {
      state_->thread.Post([setter = *this, value = std::move(value)]() mutable {
        setter.SetHere(std::move(value));
      });
    }
    // The waiting coroutine's own thread only.
    void SetHere(T value) const {
      if (state_->value || state_->waker == nullptr) return;
      state_->value = std::move(value);
      state_->waker->Wake();
    }

   private:
    friend class OneShot;
    explicit Setter(std::shared_ptr<State> state) : state_(std::move(state)) {}
    std::shared_ptr<State> state_;
  };

  explicit OneShot(IoThread& thread) : waker_(thread), state_(std::make_shared<State>(thread)) {
    state_->waker = &waker_;
  }
  ~OneShot() { state_->waker = nullptr; }
  OneShot(const OneShot&) = delete;
  OneShot& operator=(const OneShot&) = delete;

  Setter setter() const { return Setter(state_); }
  // The value, or nullopt if `deadline` passed first. May be called again after a deadline. The
  // value is handed out once.
  Task<std::optional<T>> Wait(Seconds deadline) {
    if (!state_->value) co_await waker_.Wait(deadline);
    co_return std::exchange(state_->value, std::nullopt);
  }

 private:
  Waker waker_;
  std::shared_ptr<State> state_;
};

}  // namespace headrace::net
