// What no router can beat: interference between requests included.
#pragma once

#include <cstdint>

#include "scenario/scenario.h"

namespace headrace::scenario {

// Most of the requests of a run that any router can serve within their SLOs, as a share of those
// that count.
struct ModeBound {
  double known = 1;  // With the length of every response known.
  // With lengths known only as a distribution per class and prompt, and at one pace for the whole
  // life of a response. An estimate: a router that speeds a response up as it grows long may do
  // better.
  double blind = 1;
};

// The bound of one run's actual requests: a linear program in which every engine's time is divided
// over modes, which are steps of about the same duration. docs/bounds.md has the rows and why none
// of them takes away what a router could do.
ModeBound ComputeModeBound(const Scenario& scenario, double rate, std::uint64_t seed);

}  // namespace headrace::scenario
