#include <algorithm>
#include <array>
#include <charconv>

#include "base/text.h"
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

// Prefix caches are not known here; LMetric at least weighs the prompts that are to be read.
// Tenants' shares, and prompts kept apart from chat, are slo-headroom's.
constexpr std::array<ForeignPolicy, 12> kForeignPolicies{{
    {"least-busy-time", "least-latency"},
    {"load-balance", "least-latency"},
    {"least-kv-cache", "lmetric"},
    {"least-gpu-cache", "lmetric"},
    {"least-utilization", "least-request"},
    {"throughput", "lmetric"},
    {"prefix-cache", "lmetric"},
    {"prefix-cache-preble", "lmetric"},
    {"lora-affinity", "least-request"},
    {"session-affinity", "least-request"},
    {"vtc-basic", "slo-headroom"},
    {"pd", "slo-headroom"},
}};

const PolicyInfo* NearestToName(std::string_view name) {
  if (const PolicyInfo* own = FindPolicy(name)) return own;
  for (const ForeignPolicy& foreign : kForeignPolicies) {
    if (foreign.name == name) return FindPolicy(foreign.nearest);
  }
  return nullptr;
}

}  // namespace

std::span<const ForeignPolicy> ForeignPolicies() { return kForeignPolicies; }

const PolicyInfo* NearestPolicy(std::string_view strategy) {
  const PolicyInfo* nearest = nullptr;
  double heaviest = 0;
  for (;;) {
    const std::size_t comma = std::min(strategy.find(','), strategy.size());
    const std::string_view item = strategy.substr(0, comma);
    const std::size_t colon = std::min(item.find(':'), item.size());
    const PolicyInfo* policy = NearestToName(Trimmed(item.substr(0, colon)));
    if (policy == nullptr) return nullptr;
    double weight = 1;
    if (colon < item.size()) {
      const std::string_view text = Trimmed(item.substr(colon + 1));
      const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), weight);
      if (error != std::errc() || end != text.data() + text.size()) return nullptr;
    }
    if (weight > heaviest) {
      nearest = policy;
      heaviest = weight;
    }
    if (comma == strategy.size()) return nearest;
    strategy.remove_prefix(comma + 1);
  }
}

std::span<const PolicyInfo> Policies() { return kPolicies; }

const PolicyInfo* FindPolicy(std::string_view name) {
  for (const PolicyInfo& policy : kPolicies) {
    if (policy.name == name) return &policy;
  }
  return nullptr;
}

}  // namespace headrace::routing
