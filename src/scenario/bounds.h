// What a fleet can carry at any latency.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "scenario/scenario.h"

namespace headrace::scenario {

// A linear program over rates x[kind of request, deployment], with true lengths, of the fluid
// (long-run) limit. Requests are grouped by class and size (an eighth of a power of two either way)
// and each group counts with the cheapest of its members. Per deployment of n engines, with s steps
// per second in total, and p, o a request's prompt (in b·p, only its part that no prefix cache
// holds) and output tokens, and the coefficients of step::TimeModel:
//   time:  overhead·s + longer(a·s, Σ x·(b·p + c·o)) + Σ x·(overhead_per_sequence·o +
//          d·(o·p + o²/2) + e·p²/2) ≤ n                   an engine-second holds no more
//   KV:    Σ x·(o·p + o²/2) ≤ s · KV room                  a step holds no more tokens
//   batch: Σ x·o ≤ s · max_num_seqs                        a step decodes no more requests
//   space: Σ x·(overhead + a)·(o·p + o²/2) ≤ n · KV room   each of the o steps takes so long
// and a request goes only where it fits. SLOs, waiting, interference and chance are left out. What
// can be served in time is in mode_bound.h.
struct FluidBound {
  // The largest factor on all rates at which everything that an engine can hold can be served, at
  // any latency. Below 1 no router keeps the queues from growing. Infinite if nothing arrives.
  double capacity = 0;
  // The share of the requests that an engine can hold. The others, whose prompt fits into no
  // context, are no load: they are refused.
  double held = 1;
};

// Of the requests of seed 1 (the first 20,000, or those that arrive within the run).
FluidBound ComputeFluidBound(const Scenario& scenario, double rate);

// One sentence per rate that the fleet cannot carry; empty if there is none.
std::string DescribeInstability(const Scenario& scenario, const std::vector<FluidBound>& bounds);

}  // namespace headrace::scenario
