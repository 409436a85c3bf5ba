// Whether this machine, or this program, stood still.
#pragma once

#include <vector>

#include "base/units.h"

namespace headrace::load {

// Is told the time at least every kBeat, and with each event. A longer silence, or a machine that
// slept, is a pause: what was measured over it says nothing of the server.
class PauseWatch {
 public:
  static constexpr Seconds kBeat = 0.1;
  static constexpr Seconds kShortest = 2;

  // The monotonic clock, and how long the machine has slept since it was started.
  void Beat(Seconds now, Seconds slept);
  // Whether a pause lies within.
  bool Covers(Seconds from, Seconds to) const;
  bool any() const { return !pauses_.empty(); }

 private:
  struct Pause {
    Seconds from = 0;
    Seconds to = 0;
  };
  bool begun_ = false;
  Seconds now_ = 0;
  Seconds slept_ = 0;
  std::vector<Pause> pauses_;
};

}  // namespace headrace::load
