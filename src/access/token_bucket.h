// A rate that may be exceeded for a moment.
#pragma once

#include <algorithm>

#include "base/units.h"

namespace headrace::access {

// Holds what a minute brings at most, and fills evenly. What was taken may turn out to be more than
// there was: then it is in debt, and gives nothing until that is paid.
class TokenBucket {
 public:
  explicit TokenBucket(double per_minute) : per_minute_(per_minute), level_(per_minute) {}

  double per_minute() const { return per_minute_; }
  // What it holds; below 0: its debt.
  double Level(Seconds now) const {
    const Seconds passed = std::max(0.0, now - at_);
    return std::min(per_minute_, level_ + passed * per_minute_ / kMinute);
  }
  // No more than a full bucket is ever waited for.
  bool Has(double amount, Seconds now) const { return Level(now) >= std::min(amount, per_minute_); }
  // How long until it has so much; until it is full, for an amount that it never holds.
  Seconds Until(double amount, Seconds now) const {
    const double missing = std::min(amount, per_minute_) - Level(now);
    return std::max(0.0, missing) * kMinute / per_minute_;
  }
  // Below 0: gives back.
  void Take(double amount, Seconds now) {
    level_ = std::min(per_minute_, Level(now) - amount);
    at_ = std::max(at_, now);
  }
  // What it holds of the new rate is the share that it held of the old one.
  void SetRate(double per_minute, Seconds now) {
    if (per_minute == per_minute_) return;
    level_ = Level(now) / per_minute_ * per_minute;
    at_ = std::max(at_, now);
    per_minute_ = per_minute;
  }

 private:
  static constexpr Seconds kMinute = 60;

  double per_minute_;
  double level_;
  Seconds at_ = 0;  // When it held that.
};

}  // namespace headrace::access
