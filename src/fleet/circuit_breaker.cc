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

constexpr Seconds kHalfWindow = RecentEnds::kWindow / 2;

Seconds RestAfter(int failures) {
  return std::min(kLongestRest, kFirstRest * std::pow(kRestGrowth, std::min(failures - 1, 10)));
}

}  // namespace

std::int64_t RecentEnds::HalfAt(Seconds now) {
  const auto number = static_cast<std::int64_t>(now / kHalfWindow);
  // The quotient may have been rounded up.
  return static_cast<double>(number) * kHalfWindow > now ? number - 1 : number;
}

void RecentEnds::Add(const RecentEnds& other) {
  Add(other.halves_[1]);
  Add(other.halves_[0]);
}

void RecentEnds::Add(const Half& half) {
  if (half.number > halves_[0].number) {
    halves_[1] = halves_[0];
    halves_[0] = half;
    until_ = static_cast<double>(half.number + 1) * kHalfWindow;
    return;
  }
  for (Half& own : halves_) {
    if (own.number != half.number) continue;
    own.count.all += half.count.all;
    own.count.failed += half.count.failed;
  }
}

void RecentEnds::Remove(const RecentEnds& other) {
  for (Half& half : halves_) {
    for (const Half& removed : other.halves_) {
      if (half.number != removed.number) continue;
      half.count.all -= removed.count.all;
      half.count.failed -= removed.count.failed;
    }
  }
}

RecentEnds::Count RecentEnds::At(Seconds now) const {
  Count sum;
  for (const Half& half : halves_) {
    if (half.number < HalfAt(now) - 1) continue;
    sum.all += half.count.all;
    sum.failed += half.count.failed;
  }
  return sum;
}

void CircuitBreaker::FirstToken(Era era, Seconds now) {
  if (era == era_ && state_ == State::kProbing) Readmit(now);
}

bool CircuitBreaker::Succeeded(Era era, Seconds now) {
  if (!End(era)) return false;
  recent_.Add(false, now);
  failures_ = 0;
  busy_ = 0;
  if (state_ == State::kProbing) Readmit(now);
  if (state_ == State::kResting && now >= asked_until_) EndRest(now);
  return true;
}

void CircuitBreaker::Failed(Era era, EngineFault fault, bool spare, bool outlier,
                            const EjectionOptions& options, Seconds now) {
  if (!End(era)) return;
  const bool busy = fault == EngineFault::kBusy;
  last_fault_ = fault;
  if (!busy) recent_.Add(true, now);
  const int in_a_row = busy ? ++busy_ : ++failures_;
  const bool slow_start = state_ == State::kSlowStart || slow_start_waits_;
  const bool failed_trial = state_ == State::kProbing || (slow_start && !busy);
  if (failed_trial || in_a_row >= options.failures || (outlier && !busy)) {
    if (spare) Eject(fault, options, now);
  } else if (spare && (state_ != State::kSlowStart || now < asked_until_)) {
    slow_start_waits_ = slow_start;
    Enter(State::kResting, std::max(now + RestAfter(in_a_row), asked_until_));
  }
}

void CircuitBreaker::Left(Era era) { End(era); }

void CircuitBreaker::Advance(Seconds now) {
  if (now < until_) return;
  switch (state_) {
    case State::kResting:
      EndRest(now);
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
  slow_start_waits_ = false;
}

void CircuitBreaker::Eject(EngineFault fault, const EjectionOptions& options, Seconds now) {
  // Once it has served for as long as it was away, all is forgotten.
  const bool on_trial =
      state_ == State::kProbing || state_ == State::kSlowStart || slow_start_waits_;
  const bool again = ejections_ > 0 && (on_trial || now - readmitted_ < backoff_);
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
  BeginSlowStart(now);
}

void CircuitBreaker::BeginSlowStart(Seconds now) {
  slow_start_waits_ = false;
  limit_ = kFirstLimit;
  Enter(State::kSlowStart, now + kLimitStep);
}

void CircuitBreaker::EndRest(Seconds now) {
  if (slow_start_waits_) {
    BeginSlowStart(now);
  } else {
    Enter(State::kClosed, kNever);
  }
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
