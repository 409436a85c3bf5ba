#include "net/waker.h"

#include <utility>

#include "net/suspension.h"
#include "net/timing_wheel.h"

namespace headrace::net {

struct Waker::State : std::enable_shared_from_this<State> {
  explicit State(IoThread& io)
      : thread(io), deadline(io.deadlines(), [this] {
          timed_out = true;
          suspension.Resume();
        }) {}

  IoThread& thread;
  Suspension suspension;
  Deadline deadline;
  bool woken = false;
  bool timed_out = false;
};

Waker::Waker(IoThread& thread) : state_(std::make_shared<State>(thread)) {}
Waker::~Waker() = default;

void Waker::Wake() {
  State& state = *state_;
  if (state.woken) return;
  state.woken = true;
  if (!state.suspension.waiting()) return;
  // Through the queue: the caller must not find itself inside what it woke.
  state.thread.Post([weak = state.weak_from_this()] {
    if (const auto alive = weak.lock()) alive->suspension.Resume();
  });
}

Task<bool> Waker::Wait(Seconds deadline) {
  State& state = *state_;
  state.timed_out = false;
  state.deadline.Set(deadline);
  // A wake-up that was under way when the last wait timed out may arrive now, for nothing.
  while (!state.woken && !state.timed_out) co_await state.suspension.Wait();
  state.deadline.Clear();
  co_return std::exchange(state.woken, false);
}

}  // namespace headrace::net
