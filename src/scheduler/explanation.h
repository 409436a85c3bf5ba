// Why a decision fell as it did, for those who ask.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "fleet/fleet.h"
#include "routing/policy.h"

namespace headrace::scheduler {

// How much of the reasons for its dispatch a request wants to be kept.
enum class Detail : std::uint8_t {
  kNone,
  kConsidered,  // What was considered: a copy of what the policy looked at anyway.
  kHarmed,  // Also who would have been harmed, at each endpoint: as dear as the decision itself.
};

// Why a request waited; of several, the last.
enum class Hold : std::uint8_t {
  kNone,     // It was sent at once.
  kTurn,     // Others were before it.
  kDown,     // No endpoint was up where it fits.
  kNoRoom,   // No endpoint had room for it.
  kPromise,  // It would have broken promises everywhere, and waiting cost nothing yet.
  kLate,     // It could no longer meet its SLO, and waited for an endpoint with time to spare.
  kGaveUp,   // The same, because it would hardly have met it and others still could.
};
std::string_view ToString(Hold hold);

// What was considered when a request was sent.
struct Explanation {
  // Of a policy that reads profiles: a deployment, and how loaded it was.
  struct Deployment {
    routing::Candidate candidate;
    fleet::Load least_load = 0;  // Of its endpoints that were available.
  };
  struct Harm {
    fleet::EndpointId endpoint = 0;  // If the request went there, …
    fleet::Harmed harmed;            // … this one was harmed.
  };

  std::vector<routing::Option> options;  // Of a policy that forecasts: endpoints.
  std::vector<Deployment> deployments;   // The most relaxed first.
  std::vector<Harm> harms;               // With Detail::kHarmed.
};

}  // namespace headrace::scheduler
