#include "fleet/circuit_breaker.h"

#include <algorithm>
#include <cmath>

namespace headrace::fleet {
namespace {

// The first rest, and how much longer each that follows is.
constexpr Seconds kFirstRest = 0.1;
constexpr double kRestGrowth = 4;
constexpr Seconds kLongestRest = 10;

// An endpoint that is full is tried again so much sooner than one that is broken.
constexpr double kBusyShare = 0.1;

// Requests at a time in slow start: at first, and at the end of its last step.
constexpr int kFirstLimit = 2;
constexpr int kLastLimit = 256;
constexpr Seconds kLimitStep = CircuitBreaker::kSlowStart / 8;  // 2, 4, …, 256.

constexpr Seconds kHalfWindow = CircuitBreaker::kWindow / 2;

Seconds RestAfter(int failures) {
  return std::min(kLongestRest, kFirstRest * std::pow(kRestGrowth, std::min(failures - 1, 10)));
}

std::int64_t HalfAt(Seconds now) { return static_cast<std::int64_t>(now / kHalfWindow); }

}  // namespace

CircuitBreaker::Ends CircuitBreaker::Recent(Seconds now) const {
  Ends sum;
  for (const HalfWindow& half : recent_) {
    if (half.number < HalfAt(now) - 1) continue;
    sum.all += half.ends.all;
    sum.failed += half.ends.failed;
  }
  return sum;
}

void CircuitBreaker::FirstToken(Era era, Seconds now) {
  if (era == era_ && state_ == State::kProbing) Readmit(now);
}

void CircuitBreaker::Succeeded(Era era, Seconds now) {
  if (!End(era)) return;
  Count(false, now);
  failures_ = 0;
  busy_ = 0;
  if (state_ == State::kProbing) Readmit(now);
  if (state_ == State::kResting && now >= asked_until_) Enter(State::kClosed, kNever);
}

void CircuitBreaker::Failed(Era era, EngineFault fault, bool spare, bool outlier,
                            const EjectionOptions& options, Seconds now) {
  if (!End(era)) return;
  const bool busy = fault == EngineFault::kBusy;
  last_fault_ = fault;
  if (!busy) Count(true, now);
  const int in_a_row = busy ? ++busy_ : ++failures_;
  const bool failed_trial = state_ == State::kProbing || (state_ == State::kSlowStart && !busy);
  if (failed_trial || in_a_row >= options.failures || (outlier && !busy)) {
    if (spare) Eject(fault, options, now);
  } else if (spare && (state_ != State::kSlowStart || now < asked_until_)) {
    Enter(State::kResting, std::max(now + RestAfter(in_a_row), asked_until_));
  }
}

void CircuitBreaker::Left(Era era) { End(era); }

void CircuitBreaker::Advance(Seconds now) {
  if (now < until_) return;
  switch (state_) {
    case State::kResting:
      Enter(State::kClosed, kNever);
      break;
    case State::kEjected:
      BeginEra();
      Enter(State::kProbing, kNever);
      break;
    case State::kSlowStart:
      if (limit_ < kLastLimit) {
        limit_ *= 2;
        until_ += kLimitStep;
      } else {
        Enter(State::kClosed, kNever);
      }
      break;
    case State::kClosed:
    case State::kProbing:
      break;
  }
}

void CircuitBreaker::Restarted() {
  if (state_ != State::kEjected) return;
  BeginEra();
  Enter(State::kProbing, kNever);
}

void CircuitBreaker::Release() {
  BeginEra();
  Enter(State::kClosed, kNever);
}

bool CircuitBreaker::End(Era era) {
  if (era != era_) return false;
  --running_;
  return true;
}

void CircuitBreaker::Enter(State state, Seconds until) {
  state_ = state;
  until_ = until;
}

void CircuitBreaker::BeginEra() {
  ++era_;
  running_ = 0;
}

void CircuitBreaker::Eject(EngineFault fault, const EjectionOptions& options, Seconds now) {
  // Once it has served for as long as it was away, all is forgotten.
  const bool again = ejections_ > 0 && (state_ == State::kProbing || state_ == State::kSlowStart ||
                                        now - readmitted_ < backoff_);
  ejections_ = again ? ejections_ + 1 : 1;
  const Seconds full =
      std::min(options.max_backoff, options.backoff * std::pow(2, std::min(ejections_ - 1, 30)));
  backoff_ = fault == EngineFault::kBusy ? full * kBusyShare : full;
  recent_ = {};
  BeginEra();
  Enter(State::kEjected, std::max(now + backoff_, asked_until_));
}

void CircuitBreaker::Readmit(Seconds now) {
  readmitted_ = now;
  failures_ = 0;
  busy_ = 0;
  limit_ = kFirstLimit;
  Enter(State::kSlowStart, now + kLimitStep);
}

void CircuitBreaker::Count(bool failed, Seconds now) {
  const std::int64_t number = HalfAt(now);
  if (recent_[0].number != number) {
    recent_[1] = recent_[0];
    recent_[0] = {.number = number};
  }
  recent_[0].ends.all += 1;
  recent_[0].ends.failed += failed ? 1 : 0;
}

std::string_view ToString(CircuitBreaker::State state) {
  switch (state) {
    case CircuitBreaker::State::kClosed:
      return "closed";
    case CircuitBreaker::State::kResting:
      return "resting";
    case CircuitBreaker::State::kEjected:
      return "ejected";
    case CircuitBreaker::State::kProbing:
      return "probing";
    case CircuitBreaker::State::kSlowStart:
      return "slow_start";
  }
  return "?";
}

}  // namespace headrace::fleet
