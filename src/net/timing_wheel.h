// A hashed timing wheel (Varghese & Lauck, 1987): deadlines that are cheap to move, for timeouts
// that are almost never reached. Own code, because moving one of Asio's timers cancels and queues
// an operation on every read, and moving a deadline here is one store (docs/decisions/0006).
#pragma once

#include <array>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <functional>
#include <optional>

#include "base/units.h"

namespace headrace::net {

class TimingWheel;

// Calls back on the wheel's thread when its time has come: never early, at most two steps late. May
// be destroyed, set and cleared from within any deadline's callback. Used on the wheel's thread
// (it may be destroyed after that thread has ended).
class Deadline {
 public:
  Deadline(TimingWheel& wheel, std::function<void()> reached)
      : wheel_(wheel), reached_(std::move(reached)) {}
  ~Deadline();
  Deadline(const Deadline&) = delete;
  Deadline& operator=(const Deadline&) = delete;

  // At kNever it is not called. Setting it later than it was is only a store.
  void Set(Seconds at);
  void Clear() { at_ = kNever; }

 private:
  friend class TimingWheel;

  TimingWheel& wheel_;
  std::function<void()> reached_;
  Seconds at_ = kNever;
  std::uint64_t step_ = 0;  // The wheel's step that checks it; ≤ that of at_.
  bool linked_ = false;
  Deadline* next_ = nullptr;  // Neighbours in its slot.
  Deadline* previous_ = nullptr;
};

// A ring of slots, one for each step of time. A deadline is in the slot of the time at which it is
// checked. If it has been moved since, it then goes to its new slot. So a connection touches the
// wheel once in a few seconds, however often it sets its deadline.
class TimingWheel {
 public:
  static constexpr Seconds kStep = 10 * kMillisecond;

  explicit TimingWheel(boost::asio::io_context& context);
  ~TimingWheel();

  // Releases the event loop, which may then be destroyed before the wheel.
  void Detach() { timer_.reset(); }

 private:
  friend class Deadline;
  static constexpr std::uint64_t kSlots = 1024;
  static constexpr std::uint64_t kNoStep = ~std::uint64_t{0};

  void Link(Deadline& deadline, std::uint64_t step);
  void Unlink(Deadline& deadline);
  void Arm(std::uint64_t step);
  void Advance();

  using Timer =
      boost::asio::basic_waitable_timer<std::chrono::steady_clock,
                                        boost::asio::wait_traits<std::chrono::steady_clock>,
                                        boost::asio::io_context::executor_type>;

  std::optional<Timer> timer_;
  std::array<Deadline*, kSlots> slots_ = {};
  std::size_t linked_ = 0;
  std::uint64_t done_ = 0;         // All steps up to this one have been checked.
  std::uint64_t armed_ = kNoStep;  // The step that the timer wakes at.
};

}  // namespace headrace::net
