#include "scheduler/precedence.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace headrace::scheduler {
namespace {

bool SameQueue(const WaitingHead& one, const WaitingHead& other) {
  return one.kind == other.kind && one.standing == other.standing;
}

}  // namespace

void Precedence::Set(std::span<const WaitingHead> heads, Seconds now) {
  const std::vector<First> before = std::exchange(firsts_, {});
  for (const WaitingHead& head : heads) {
    const auto known = std::ranges::find_if(
        firsts_, [&](const First& first) { return SameQueue(first.head, head); });
    if (known == firsts_.end()) {
      firsts_.push_back({.head = head});
    } else {
      known->head.arrived = std::min(known->head.arrived, head.arrived);
    }
  }
  for (First& first : firsts_) {
    first.since = now;
    first.stood = first.head.arrived;
    for (const First& old : before) {
      // When it came is only known as well as how long the news took.
      if (SameQueue(first.head, old.head) && std::abs(first.head.arrived - old.stood) < kSameAge) {
        first.since = old.since;
        first.stood = old.stood;
      }
    }
  }
}

bool Precedence::IsAfterAnother(const WaitingHead& own, Seconds now) const {
  return std::ranges::any_of(firsts_, [&](const First& first) {
    if (first.head.kind != own.kind || now - first.since > kLongest) return false;
    if (first.head.standing != own.standing) return first.head.standing > own.standing;
    return first.head.arrived < own.arrived - kSameAge;
  });
}

}  // namespace headrace::scheduler
