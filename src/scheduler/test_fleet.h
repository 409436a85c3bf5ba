// Profiles and events for the scheduler's tests and benchmarks.
#pragma once

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fleet/littles_law.h"
#include "scheduler/scheduler.h"

namespace headrace::scheduler {

// A profile with one input and one output bucket: every request looks alike.
inline profile::GpuProfile FlatProfile(std::string deployment, double tput, Seconds e2e,
                                       slo::Slo slo) {
  profile::GpuProfile profile;
  profile.deployment = std::move(deployment);
  profile.outputs = profile::BucketAxis({128});
  profile.inputs = profile::BucketAxis({128});
  profile.tput = profile::BucketMatrix(1, 1, tput);
  profile.e2e = profile::BucketMatrix(1, 1, e2e);
  profile.ttft = profile::BucketMatrix(1, 1, e2e / 10);
  profile.slo = slo;
  return profile;
}

inline slo::Slo E2eSlo(Seconds e2e) {
  slo::Slo slo;
  slo.e2e = e2e;
  return slo;
}

// For suites of tests that run with every policy: their names, …
inline std::vector<std::string_view> PolicyNames() {
  std::vector<std::string_view> names;
  for (const routing::PolicyInfo& policy : routing::Policies()) names.push_back(policy.name);
  return names;
}
// … and those names as a test's name may have them.
inline std::string TestNameOf(std::string_view policy) {
  std::string name(policy);
  std::ranges::replace(name, '-', '_');
  return name;
}

// A scheduler with a clock that the test turns, and short names for what the shell would do.
struct SchedulerHarness {
  explicit SchedulerHarness(std::string_view policy = "slo", SchedulerOptions base = {},
                            std::uint64_t seed = 1)
      : scheduler((base.policy = routing::FindPolicy(policy), base),
                  std::make_unique<fleet::LittlesLaw>(), seed) {}

  void Fleet(std::vector<fleet::DeploymentSpec> specs) {
    scheduler.UpdateFleet(specs, now, decisions);
  }
  void Profile(const profile::GpuProfile& profile) {
    scheduler.SetProfile(profile.deployment, std::make_shared<profile::GpuProfile>(profile), now,
                         decisions);
  }
  // Arrives, and returns the decision about the request itself, if there was one at once.
  std::optional<Decision> Arrive(Tokens prompt = 128, std::optional<slo::Slo> slo = std::nullopt,
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
  fleet::Load TotalLoad() const {
    fleet::Load total = 0;
    for (const fleet::Endpoint& endpoint : scheduler.fleet().endpoints()) {
      total += endpoint.load->Order();
    }
    return total;
  }

  Seconds now = 100;
  Decisions decisions;
  RequestId last = 0;
  Scheduler scheduler;
};

}  // namespace headrace::scheduler
