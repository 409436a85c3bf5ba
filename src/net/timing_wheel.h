// A hashed timing wheel (Varghese & Lauck, 1987): deadlines that are cheap to move, for timeouts
// that are almost never reached: moving one later is one store (docs/decisions/0006).
#pragma once

#include <array>
#include <cstdint>
#include <functional>

#include "base/units.h"
#include "net/event_loop.h"

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

  explicit TimingWheel(EventLoop& loop) : loop_(loop) {}
  TimingWheel(const TimingWheel&) = delete;
  TimingWheel& operator=(const TimingWheel&) = delete;

 private:
  friend class Deadline;
  static constexpr std::uint64_t kSlots = 1024;
  static constexpr std::uint64_t kNoStep = ~std::uint64_t{0};

  void Link(Deadline& deadline, std::uint64_t step);
  void Unlink(Deadline& deadline);
  void Arm(std::uint64_t step);
  void Advance();

  EventLoop& loop_;
  std::array<Deadline*, kSlots> slots_ = {};
  std::size_t linked_ = 0;
  std::uint64_t done_ = 0;         // All steps up to this one have been checked.
  std::uint64_t armed_ = kNoStep;  // The step at which Advance is called.
};

}  // namespace headrace::net
