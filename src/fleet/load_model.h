// The seam between "which endpoint" and "how loaded is it": models of what an endpoint carries.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "base/units.h"
#include "fleet/engine_fault.h"
#include "predict/length_distribution.h"
#include "profile/gpu_profile.h"
#include "slo/slo.h"

namespace headrace::fleet {

struct Deployment;
struct Endpoint;

// A share of one endpoint, in billionths. Integers, so that what was added is taken off exactly and
// an idle endpoint's load is zero, not 1e-16.
using Load = std::int64_t;
inline constexpr Load kCapacity = 1'000'000'000;

inline double LoadFraction(Load load) {
  return static_cast<double>(load) / static_cast<double>(kCapacity);
}

// No response is longer.
inline constexpr Tokens kNoLimit = 1 << 22;

// Of a request that another replica of the router has sent.
inline constexpr std::uint64_t kNobodys = ~std::uint64_t{0};

// One request as a load model sees it, on one deployment.
struct Demand {
  Seconds arrived = 0;
  Tokens prompt_tokens = 1;
  Tokens output_tokens = 1;           // Expected.
  std::optional<slo::Target> target;  // nullopt if no latency is set.
  // All of its targets; null if none is set. Read when it starts, not kept.
  const slo::Slo* slo = nullptr;
  // The lengths that its response may have; null if output_tokens is known to be exact.
  std::shared_ptr<const predict::LengthDistribution> lengths;
  Tokens most_tokens = kNoLimit;     // The longest that the response may be.
  bool reports_first_token = false;  // The shell will say when its first token comes.
  int standing = 0;                  // Promises to requests of a higher one count more.
  std::uint64_t tag = 0;             // Names it where it is spoken of; kNobodys: it is not.
  // What the deployment's profile says that it takes of one endpoint (LoadModel::Share); 0 where no
  // profile tells.
  Load share = 0;
};

// How a request that ran has ended.
struct Completion {
  Tokens prompt_tokens = 0;
  // 0: the request failed or was cancelled; nothing is learned from it.
  Tokens output_tokens = 0;
  Seconds e2e = 0;  // From its dispatch to its last token.
  // nullopt: the endpoint did well, or what went wrong is the client's own fault, or it has left.
  std::optional<EngineFault> fault = {};
  // With EngineFault::kBusy: how long the endpoint asks to be left alone; 0: it does not say.
  Seconds retry_after = 0;
};

// What one more request would meet at an endpoint.
struct Fit {
  bool now = false;  // The endpoint takes it now. If not: later, when others have ended.
};

// A model's own name for a request at an endpoint, handed back with every later event. Opaque to
// everybody else; may repeat once its request has ended.
enum class Resident : std::uint64_t {};

// What one endpoint carries. It hears of every request's start there, of its first token and its
// progress where the shell sees them, and of its end, exactly once each. Not thread-safe.
class EndpointLoad {
 public:
  virtual ~EndpointLoad() = default;

  virtual Fit Assess(const Demand& demand, Seconds now) const = 0;

  virtual Resident Start(const Demand& demand, Seconds now) = 0;
  virtual void FirstToken(Resident /*resident*/, Seconds /*now*/) {}
  // `generated`: output tokens so far.
  virtual void Progress(Resident /*resident*/, Tokens /*generated*/, Seconds /*now*/) {}
  virtual void End(Resident resident, const Completion& completion, Seconds now) = 0;
  // So many replicas of the router send alike, and what the others send is not known: every request
  // here stands for so many. 1 at first.
  virtual void SetReplicas(int /*replicas*/) {}

  // How fast the endpoint is, relative to what the profile says.
  virtual void SetWeight(double /*weight*/) {}

  // Its place among the endpoints of its deployment: the least is the least loaded. Status pages
  // show it as the load, kCapacity = full. Exactly 0 when nothing runs there.
  virtual Load Order() const = 0;
};

// A model: makes the state of endpoints, and knows what holds for all of them. Every policy that
// looks at load goes through it.
class LoadModel {
 public:
  virtual ~LoadModel() = default;

  // The state of an endpoint that joins the fleet, idle.
  virtual std::unique_ptr<EndpointLoad> Join(const Deployment& deployment,
                                             const Endpoint& endpoint) const = 0;

  // The share of one endpoint that a request of this size takes while it runs there, 1 … kCapacity.
  // nullopt if the profile does not tell (no matrix, or a hole). 0 if the size's SLO cannot be met
  // there even on an idle endpoint.
  virtual std::optional<Load> Share(const profile::GpuProfile& profile,
                                    profile::ProfileCell cell) const = 0;

  // The highest Order at which an endpoint may still take a request of this share: a quick test
  // before Assess, and where the search for the fullest endpoint with room begins.
  virtual Load HighestOrderWithRoom(Load share) const = 0;
};

}  // namespace headrace::fleet
