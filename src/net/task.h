// Coroutines of this program.
#pragma once

#include <coroutine>
#include <cstddef>
#include <exception>
#include <optional>
#include <utility>

#include "net/frame_memory.h"

namespace headrace::net {

template <typename T>
class Task;

namespace task {

// The part that does not hang on the result.
class Promise {
 public:
  std::suspend_always initial_suspend() noexcept { return {}; }
  auto final_suspend() noexcept { return ToCaller{}; }
  void unhandled_exception() noexcept { error_ = std::current_exception(); }

  void SetCaller(std::coroutine_handle<> caller) { caller_ = caller; }

  static void* operator new(std::size_t size) { return TakeFrame(size); }
  static void operator delete(void* frame, std::size_t size) noexcept { GiveFrame(frame, size); }

 protected:
  void Rethrow() const {
    if (error_) std::rethrow_exception(error_);
  }

 private:
  // Its end resumes the caller, without a deeper stack.
  struct ToCaller {
    bool await_ready() noexcept { return false; }
    template <typename P>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<P> ended) noexcept {
      return ended.promise().caller_;
    }
    void await_resume() noexcept {}
  };

  std::coroutine_handle<> caller_;
  std::exception_ptr error_;
};

template <typename T>
class ValuePromise : public Promise {
 public:
  Task<T> get_return_object();
  template <typename U>
  void return_value(U&& value) {
    value_.emplace(std::forward<U>(value));
  }
  T Take() {
    Rethrow();
    return *std::move(value_);
  }

 private:
  std::optional<T> value_;
};

template <>
class ValuePromise<void> : public Promise {
 public:
  Task<void> get_return_object();
  void return_void() {}
  void Take() const { Rethrow(); }
};

}  // namespace task

// What a coroutine of this program returns. It starts when it is awaited (`co_await F()`), gives
// its result or its exception to its caller, and runs on its caller's thread, so that what it
// shares with its connection needs no lock. Destroying one that sleeps destroys what it holds.
template <typename T>
class [[nodiscard]] Task {
 public:
  using promise_type = task::ValuePromise<T>;

  Task(Task&& other) noexcept : coroutine_(std::exchange(other.coroutine_, nullptr)) {}
  ~Task() {
    if (coroutine_) coroutine_.destroy();
  }
  Task(const Task&) = delete;
  Task& operator=(const Task&) = delete;
  Task& operator=(Task&&) = delete;

  bool await_ready() const noexcept { return false; }
  std::coroutine_handle<> await_suspend(std::coroutine_handle<> caller) noexcept {
    coroutine_.promise().SetCaller(caller);
    return coroutine_;
  }
  T await_resume() { return coroutine_.promise().Take(); }

 private:
  friend promise_type;
  explicit Task(std::coroutine_handle<promise_type> coroutine) : coroutine_(coroutine) {}

  std::coroutine_handle<promise_type> coroutine_;
};

namespace task {

template <typename T>
Task<T> ValuePromise<T>::get_return_object() {
  return Task<T>(std::coroutine_handle<ValuePromise>::from_promise(*this));
}

inline Task<void> ValuePromise<void>::get_return_object() {
  return Task<void>(std::coroutine_handle<ValuePromise>::from_promise(*this));
}

}  // namespace task
}  // namespace headrace::net
