// Profiles and events for the scheduler's tests and benchmarks.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "scheduler/scheduler.h"

namespace headrace {

// A profile with one input and one output bucket: every request looks alike.
inline GpuProfile FlatProfile(std::string deployment, double tput, Seconds e2e, Slo slo) {
  GpuProfile profile;
  profile.deployment = std::move(deployment);
  profile.outputs = BucketAxis({128});
  profile.inputs = BucketAxis({128});
  profile.tput = BucketMatrix(1, 1, tput);
  profile.e2e = BucketMatrix(1, 1, e2e);
  profile.ttft = BucketMatrix(1, 1, e2e / 10);
  profile.slo = slo;
  return profile;
}

inline Slo E2eSlo(Seconds e2e) {
  Slo slo;
  slo.e2e = e2e;
  return slo;
}

// A scheduler with a clock that the test turns, and short names for what the shell would do.
struct SchedulerHarness {
  explicit SchedulerHarness(std::string_view policy = "slo", SchedulerOptions base = {},
                            std::uint64_t seed = 1)
      : scheduler((base.policy = FindPolicy(policy), base), std::make_unique<LittlesLawLoad>(),
                  seed) {}

  void Fleet(std::vector<DeploymentSpec> specs) { scheduler.UpdateFleet(specs, now, decisions); }
  void Profile(const GpuProfile& profile) {
    scheduler.SetProfile(profile.deployment, std::make_shared<GpuProfile>(profile), now, decisions);
  }
  // Arrives, and returns the decision about the request itself, if there was one at once.
  std::optional<Decision> Arrive(Tokens prompt = 128, std::optional<Slo> slo = std::nullopt,
                                 std::optional<Tokens> output = 128) {
    Arrival arrival;
    arrival.prompt_tokens = prompt;
    arrival.output_tokens = output;
    arrival.slo = slo;
    return Arrive(arrival);
  }
  std::optional<Decision> Arrive(const Arrival& arrival) {
    decisions.clear();
    last = scheduler.Arrive(arrival, now, decisions);
    for (const Decision& decision : decisions) {
      if (decision.id == last) return decision;
    }
    return std::nullopt;
  }
  // Ends a running request normally and returns what that set free.
  Decisions Complete(RequestId id, Tokens prompt = 128, Tokens output = 128) {
    decisions.clear();
    scheduler.Complete(id, {prompt, output, 1.0}, now, decisions);
    return decisions;
  }
  Decisions Tick() {
    decisions.clear();
    scheduler.Tick(now, decisions);
    return decisions;
  }
  Load TotalLoad() const {
    Load total = 0;
    for (const Endpoint& endpoint : scheduler.fleet().endpoints()) total += endpoint.load;
    return total;
  }

  Seconds now = 100;
  Decisions decisions;
  RequestId last = 0;
  Scheduler scheduler;
};

}  // namespace headrace
