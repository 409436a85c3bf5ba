#include "scheduler/precedence.h"

#include <algorithm>

namespace headrace::scheduler {

void Precedence::Set(std::span<const WaitingHead> heads) {
  firsts_.clear();
  for (const WaitingHead& head : heads) {
    const auto known = std::ranges::find_if(firsts_, [&](const WaitingHead& first) {
      return first.kind == head.kind && first.standing == head.standing;
    });
    if (known == firsts_.end()) {
      firsts_.push_back(head);
    } else {
      known->arrived = std::min(known->arrived, head.arrived);
    }
  }
}

bool Precedence::IsAfterAnother(const WaitingHead& own) const {
  return std::ranges::any_of(firsts_, [&](const WaitingHead& first) {
    if (first.kind != own.kind) return false;
    if (first.standing != own.standing) return first.standing > own.standing;
    return first.arrived < own.arrived - kSameAge;
  });
}

}  // namespace headrace::scheduler
