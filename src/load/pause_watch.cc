#include "load/pause_watch.h"

#include <algorithm>
#include <utility>

namespace headrace::load {

void PauseWatch::Beat(Seconds now, Seconds slept) {
  const Seconds before = std::exchange(now_, now);
  const Seconds slept_before = std::exchange(slept_, slept);
  if (!std::exchange(begun_, true)) return;
  if (now - before >= kShortest || slept - slept_before >= kShortest) {
    pauses_.push_back({before, now});
  }
}

bool PauseWatch::Covers(Seconds from, Seconds to) const {
  return std::ranges::any_of(
      pauses_, [&](const Pause& pause) { return pause.from < to && from < pause.to; });
}

}  // namespace headrace::load
