#include <array>

#include "routing/policies.h"
#include "routing/policy.h"

namespace headrace::routing {
namespace {

constexpr std::array<PolicyInfo, 13> kPolicies{{
    {"slo-headroom", "where it is predicted to break the fewest promises; waits while that helps",
     PolicyNeeds::kForecast, "least-request", MakeSloHeadroom},
    {"slo", "slo-least-load-pulling under its short name", PolicyNeeds::kSlo, "least-request",
     MakeSloLeastLoadPulling},
    {"slo-least-load-pulling",
     "most urgent first; least loaded endpoint of the most relaxed GPU type that has room",
     PolicyNeeds::kSlo, "least-request", MakeSloLeastLoadPulling},
    {"slo-least-load", "as slo, but sent at once whether there is room or not", PolicyNeeds::kSlo,
     "least-request", MakeSloLeastLoad},
    {"slo-pack-load", "as slo, but onto the most loaded endpoint that still has room",
     PolicyNeeds::kSlo, "least-request", MakeSloPackLoad},
    {"least-load", "least loaded endpoint by profile, whether there is room or not",
     PolicyNeeds::kLoad, "random", MakeLeastLoad},
    {"pack-load", "most loaded endpoint by profile that still has room", PolicyNeeds::kLoad,
     "random", MakePackLoad},
    {"least-request", "fewest requests in flight", PolicyNeeds::kNothing, "random",
     MakeLeastRequest},
    {"lmetric", "least product of prompt tokens to prefill and requests, with this one",
     PolicyNeeds::kNothing, "random", MakeLMetric},
    {"least-latency", "lowest observed seconds per token x (requests in flight + 1)",
     PolicyNeeds::kNothing, "random", MakeLeastLatency},
    {"power-of-two", "of two endpoints drawn at random, the one with fewer requests in flight",
     PolicyNeeds::kNothing, "random", MakePowerOfTwo},
    {"round-robin", "each endpoint in turn", PolicyNeeds::kNothing, "random", MakeRoundRobin},
    {"random", "any endpoint", PolicyNeeds::kNothing, "random", MakeRandom},
}};

}  // namespace

std::span<const PolicyInfo> Policies() { return kPolicies; }

const PolicyInfo* FindPolicy(std::string_view name) {
  for (const PolicyInfo& policy : kPolicies) {
    if (policy.name == name) return &policy;
  }
  return nullptr;
}

}  // namespace headrace::routing
