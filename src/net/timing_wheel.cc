#include "net/timing_wheel.h"

#include <algorithm>

#include "system/clock.h"

namespace headrace::net {
namespace {

// The first step that ends after `at`: a check at that step is never early.
std::uint64_t StepAfter(Seconds at) {
  return static_cast<std::uint64_t>(std::max(at, 0.0) / TimingWheel::kStep) + 1;
}

}  // namespace

Deadline::~Deadline() {
  if (linked_) wheel_.Unlink(*this);
}

void Deadline::Set(Seconds at) {
  at_ = at;
  if (at == kNever) return;
  const std::uint64_t step = StepAfter(at);
  if (linked_) {
    if (step_ <= step) return;
    wheel_.Unlink(*this);
  }
  wheel_.Link(*this, step);
}

void TimingWheel::Link(Deadline& deadline, std::uint64_t step) {
  if (linked_ == 0) done_ = std::max(done_, StepAfter(system::MonotonicNow()) - 1);
  step = std::clamp(step, done_ + 1, done_ + kSlots - 1);
  Deadline*& slot = slots_[step % kSlots];
  deadline.step_ = step;
  deadline.linked_ = true;
  deadline.previous_ = nullptr;
  deadline.next_ = slot;
  if (slot != nullptr) slot->previous_ = &deadline;
  slot = &deadline;
  ++linked_;
  Arm(step);
}

void TimingWheel::Unlink(Deadline& deadline) {
  if (deadline.next_ != nullptr) deadline.next_->previous_ = deadline.previous_;
  if (deadline.previous_ != nullptr) {
    deadline.previous_->next_ = deadline.next_;
  } else {
    slots_[deadline.step_ % kSlots] = deadline.next_;
  }
  deadline.linked_ = false;
  --linked_;
}

void TimingWheel::Arm(std::uint64_t step) {
  if (step >= armed_) return;
  armed_ = step;
  loop_.At(static_cast<double>(step) * kStep, [this, step] {
    if (step == armed_) Advance();  // Else an earlier one has.
  });
}

void TimingWheel::Advance() {
  armed_ = kNoStep;
  const Seconds now = system::MonotonicNow();
  const std::uint64_t last = StepAfter(now) - 1;
  while (done_ < last && linked_ > 0) {
    ++done_;
    // Callbacks may link, unlink and destroy any deadline; none is linked at done_ any more.
    while (Deadline* deadline = slots_[done_ % kSlots]) {
      Unlink(*deadline);
      if (deadline->at_ == kNever) continue;
      if (deadline->at_ > now) {
        Link(*deadline, StepAfter(deadline->at_));
        continue;
      }
      deadline->at_ = kNever;
      const std::function<void()> reached = deadline->reached_;  // It may destroy its deadline.
      reached();
    }
  }
  if (linked_ == 0) return;
  std::uint64_t next = done_ + 1;
  while (slots_[next % kSlots] == nullptr) ++next;
  Arm(next);
}

}  // namespace headrace::net
