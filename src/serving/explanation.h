// Why a request went where it went, as people read it.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "scheduler/events.h"
#include "scheduler/explanation.h"

namespace headrace::serving {

struct FinishedRequest;

// What a fleet's ids stood for at one time.
struct FleetNames {
  struct Endpoint {
    fleet::DeploymentId deployment = 0;
    std::string address;
  };
  std::vector<std::string> deployments;
  std::vector<Endpoint> endpoints;
};

// What a scheduler considered, with the names of that time. Both null if nothing was considered.
struct Considered {
  std::shared_ptr<const scheduler::Explanation> facts;
  std::shared_ptr<const FleetNames> names;
  std::vector<std::string> harmed;  // Ids of the requests in facts->harms.
};

// A number of an explanation: "ttft_ms=797.967".
struct NamedNumber {
  std::string_view name;
  std::string text;
};
// What was expected of a request that arrived then: `ttft_ms`, `tpot_ms`, `e2e_ms`, `miss`, and
// `harm` where it was worked out. The same names and digits wherever a prediction is shown.
std::vector<NamedNumber> NumbersOf(const fleet::Outlook& outlook, Seconds arrived);
// The same of an endpoint that was considered, with its `cost` before, if that was worked out.
std::vector<NamedNumber> NumbersOf(const routing::Option& option, Seconds arrived);

// The header that explains a request's way to its client:
// "queued_ms=0.094; ttft_ms=212.412; tpot_ms=21.334; …", then ", deployment=a10; cost=0.0120; …"
// for each endpoint that was considered. Clients are told no addresses and no ids of others.
std::string ExplanationHeader(const FinishedRequest& request);

// What one sentence about a decision is made from.
struct ChoiceFacts {
  std::string_view policy;  // The one that chose.
  bool moved = false;       // The transport has taken it elsewhere by itself.
  scheduler::FallbackCause fallback = scheduler::FallbackCause::kNone;
  fleet::EndpointId endpoint = 0;  // The one that was chosen.
  Seconds sent = 0;                // When, on the scheduler's clock.
  scheduler::Hold hold = scheduler::Hold::kNone;
  double held_cost = 0;
  Seconds queued = 0;
};

// "Least expected broken promises: 0.010 here, 0.340 at the next best, a10 10.0.0.3:8000."
std::string DescribeChoice(const ChoiceFacts& facts, const Considered& considered);

}  // namespace headrace::serving
