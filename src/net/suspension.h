// How coroutines of this room sleep.
#pragma once

#include <coroutine>
#include <utility>

namespace headrace::net {

// Holds one sleeping coroutine until it is resumed. On one thread.
class Suspension {
 public:
  Suspension() = default;
  ~Suspension() {
    if (sleeper_ != nullptr) sleeper_->suspension_ = nullptr;
  }
  Suspension(const Suspension&) = delete;
  Suspension& operator=(const Suspension&) = delete;

  // `co_await` it to sleep. It lives in the sleeping coroutine, and may be destroyed with it.
  class Sleeper {
   public:
    explicit Sleeper(Suspension& suspension) : suspension_(&suspension) {}
    ~Sleeper() {
      if (suspension_ != nullptr && suspension_->sleeper_ == this) suspension_->sleeper_ = nullptr;
    }
    Sleeper(const Sleeper&) = delete;
    Sleeper& operator=(const Sleeper&) = delete;

    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> coroutine) noexcept {
      coroutine_ = coroutine;
      suspension_->sleeper_ = this;
    }
    void await_resume() const noexcept {}

   private:
    friend class Suspension;
    Suspension* suspension_;
    std::coroutine_handle<> coroutine_;
  };

  bool waiting() const { return sleeper_ != nullptr; }
  Sleeper Wait() { return Sleeper(*this); }
  // Resumes the coroutine, inside this call, until it sleeps again; the caller's object may be gone
  // then. No effect when no coroutine sleeps.
  void Resume() {
    if (sleeper_ != nullptr) std::exchange(sleeper_, nullptr)->coroutine_.resume();
  }

 private:
  Sleeper* sleeper_ = nullptr;
};

}  // namespace headrace::net
