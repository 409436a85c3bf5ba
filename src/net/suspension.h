// How coroutines of this room sleep.
#pragma once

#include <boost/asio/use_awaitable.hpp>
#include <optional>

#include "net/io_threads.h"

namespace headrace::net {

// Holds one sleeping coroutine until it is resumed. On one thread. A coroutine that sleeps when its
// thread ends is destroyed with it.
class Suspension {
 public:
  explicit Suspension(IoThread& thread) : thread_(thread) {}
  ~Suspension();
  Suspension(const Suspension&) = delete;
  Suspension& operator=(const Suspension&) = delete;

  bool waiting() const { return handler_.has_value(); }
  Task<void> Wait();
  // Resumes the coroutine, inside this call, until it sleeps again; the caller's object may be gone
  // then. No effect when no coroutine sleeps.
  void Resume();

 private:
  friend class IoThread;
  using Token = boost::asio::use_awaitable_t<boost::asio::io_context::executor_type>;
  using Handler = boost::asio::async_result<Token, void()>::handler_type;

  std::optional<Handler> Take();

  IoThread& thread_;
  std::optional<Handler> handler_;
  Suspension* next_ = nullptr;  // The thread's sleepers.
  Suspension* previous_ = nullptr;
};

}  // namespace headrace::net
