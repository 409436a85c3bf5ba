// Why a request was refused, as a sentence for its client.
#pragma once

#include <string>
#include <vector>

#include "base/units.h"
#include "scheduler/assessment.h"
#include "scheduler/events.h"

namespace headrace::serving {

// What a scheduler knows about a refusal: a copy, so that the sentence is built without its lock.
struct RefusalFacts {
  struct DeploymentFacts {
    std::string name;
    bool up = false;
    Tokens max_model_len = 0;  // 0: not known.
    scheduler::Verdict verdict;
  };
  // Which endpoints the request's transport offers.
  enum class Limit {
    kNone,     // All.
    kSome,     // Some of the fleet.
    kNowhere,  // None that is in the fleet.
  };
  scheduler::RefusalReason reason = scheduler::RefusalReason::kNoEndpoint;
  Limit limit = Limit::kNone;
  Tokens prompt_tokens = 0;
  bool at_least = false;     // It has at least so many; else about so many.
  Tokens output_tokens = 0;  // Expected.
  Tokens context = 0;        // What it needs of an engine's context; 0: not known.
  Seconds queued = 0;
  int drained = 0;                                // Endpoints that are up otherwise.
  std::size_t waiting = 0;                        // Requests in the queue.
  Seconds queue_timeout = 0;                      // The longest wait that the pool allows.
  scheduler::Hold hold = scheduler::Hold::kNone;  // Why it waited.
  double held_cost = 0;                           // Decision::held_cost.
  std::vector<DeploymentFacts> deployments;       // Not for the reasons about the queue.
};

// One or two sentences. `pool` is the name that clients know.
std::string DescribeRefusal(const std::string& pool, const RefusalFacts& facts);

}  // namespace headrace::serving
