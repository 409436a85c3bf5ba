// The GPUs that serve one pool, and what each of them carries right now.
#pragma once

#include <cmath>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/indexed_heap.h"
#include "base/units.h"
#include "fleet/circuit_breaker.h"
#include "fleet/endpoint_order.h"
#include "fleet/engine_fault.h"
#include "fleet/journal.h"
#include "fleet/load_model.h"
#include "fleet/step_forecast.h"
#include "profile/gpu_profile.h"

namespace headrace::fleet {

using DeploymentId = std::uint32_t;

// One engine, as it is declared.
struct EndpointSpec {
  EndpointSpec(std::string its_address) : address(std::move(its_address)) {}
  EndpointSpec(const char* its_address) : address(its_address) {}

  std::string address;    // Its name within the deployment.
  std::string instance;   // What runs there; another one is another endpoint.
  int max_in_flight = 0;  // 0: the deployment's.
  double weight = 1;      // Its speed, relative to the others'; > 0.
  bool up = true;         // Of a new one: whether it can be reached.
};

// What an operator declares: replicas of one pool on one GPU type.
struct DeploymentSpec {
  std::string name;
  // The limit of requests in flight at one endpoint, for any load and policy; ≥ 1.
  int max_in_flight = 512;
  std::vector<EndpointSpec> endpoints;
  // Most tokens of a request's prompt and response together; 0: what the endpoints say.
  Tokens max_model_len = 0;
  Tokens kv_tokens = 0;  // That one endpoint's KV cache holds; 0: what the endpoints say.
};

// Names an endpoint for as long as it is in the fleet: its id may be given to another one then.
struct EndpointHandle {
  EndpointId id = 0;
  std::uint32_t generation = 0;
  bool operator==(const EndpointHandle&) const = default;
};

struct Endpoint {
  std::string address;
  std::string instance;
  EndpointKey key = 0;
  DeploymentId deployment = 0;
  std::uint32_t generation = 0;  // How many had its id before.
  int max_in_flight = 0;
  double weight = 1;
  bool up = true;        // Healthy, as far as the shell knows.
  bool retired = false;  // No longer in the fleet; takes nothing new, may still finish what it has.
  bool hidden = false;   // Not to be chosen for the request at hand.
  int in_flight = 0;     // Requests of this router.
  int foreign_in_flight = 0;  // Requests of other replicas, as far as known.
  // Prompt tokens sent there, by all replicas, whose first token has not come.
  std::int64_t prefilling = 0;
  Tokens max_model_len = 0;                // What it said itself; 0: nothing yet.
  Tokens kv_tokens = 0;                    // The same.
  std::unique_ptr<EndpointLoad> load;      // Never null.
  std::unique_ptr<StepForecast> forecast;  // Never null.
  // Decayed mean of E2E seconds per output token over the last finished requests; 0 = none yet.
  double normalized_latency = 0;
  CircuitBreaker breaker;
  bool out = false;  // Up, but its breaker keeps requests away.

  int all_in_flight() const { return in_flight + foreign_in_flight; }
  // What it would have in flight with one more request, in thousandths, if its weight were 1.
  std::int64_t WeightedInFlight() const {
    constexpr std::int64_t kThousand = 1000;
    if (weight == 1) return (all_in_flight() + 1) * kThousand;
    return std::llround((all_in_flight() + 1) * kThousand / weight);
  }
};

struct Deployment {
  std::string name;
  int max_in_flight = 0;
  bool retired = false;
  std::uint64_t left = 0;                              // Retired: by which Update.
  std::shared_ptr<const profile::GpuProfile> profile;  // Null: none, or none that can be used.
  int up = 0;                                          // Endpoints that are up, …
  int out = 0;                                         // … and those of them that are out.
  Tokens declared_max_model_len = 0;                   // 0: not declared.
  // In force: what was declared, else the smallest that its endpoints said; 0: not known.
  Tokens max_model_len = 0;

  Tokens declared_kv_tokens = 0;  // The same; what is in force is in `engine`.

  // Whether a request of so many tokens, prompt and response together, fits into the context.
  bool Fits(Tokens context) const { return max_model_len == 0 || context <= max_model_len; }

  std::shared_ptr<EngineBelief> engine;  // What is known of its engines. Never null.
  StepBelief steps_by_profile;           // What its profile says of their steps; else the prior.

  // The most that is known of its engines' steps.
  const StepBelief& Steps() const {
    return engine->steps.samples() > 0 ? engine->steps.belief() : steps_by_profile;
  }
};

// A request's names at its endpoint.
struct Residence {
  Resident load{};
  std::optional<Resident> forecast;  // nullopt if forecasts were not kept when it started.
  CircuitBreaker::Era era = 0;
  std::uint64_t serial = 0;  // In the journal; kNobodys: of another replica.

  bool foreign() const { return serial == kNobodys; }
};

// An endpoint's breaker is in another state.
struct BreakerChange {
  EndpointId endpoint = 0;
  CircuitBreaker::State from{};
  CircuitBreaker::State to{};
};

// One pool's deployments and endpoints. Ids are dense and do not change while a thing is in use; an
// endpoint's id is given out again once it is retired and empty. A deployment that is retired keeps
// what was learned of it, in case it comes back (scaled down to nothing, rolled back); of more than
// kMostRemembered of these, the one that left first gives its id to a new one.
//
// An endpoint is *available* when it is up, not retired, not hidden, below max_in_flight, and its
// breaker admits a request: only those are in the orders that policies choose from. All orders are
// those of one deployment, so that a policy looks only at deployments where a request fits. Orders
// that no policy has asked for cost nothing. Not thread-safe.
class Fleet {
 public:
  static constexpr std::size_t kMostRemembered = 64;

  explicit Fleet(std::unique_ptr<LoadModel> model, const HeadroomConstants& constants = {})
      : model_(std::move(model)), constants_(constants) {}

  // Replaces the declared fleet by a new snapshot. Deployments are matched by name, endpoints by
  // deployment, address and instance. What stays keeps its load, what is new starts up and idle,
  // what is gone is retired: it finishes what it has.
  void Update(std::span<const DeploymentSpec> deployments);
  // Null takes the profile away. Returns false if there is no such deployment.
  bool SetProfile(const std::string& deployment,
                  std::shared_ptr<const profile::GpuProfile> profile);
  // Health, as the shell sees it. Unknown or retired endpoints are ignored.
  void SetUp(EndpointId endpoint, bool up);
  // Takes an endpoint out of every order while one request is decided that must not go there.
  void SetHidden(EndpointId endpoint, bool hidden);
  // The same of all but these, until ShowAll: O(deployments + n log n) for n of them, whatever the
  // size of the fleet. Meanwhile the orders stay as they are.
  void ShowOnly(std::span<const EndpointId> endpoints);
  void ShowAll();
  // What the endpoint says its context is; 0 takes it back. Returns whether that changes what fits
  // its deployment. Unknown or retired endpoints are ignored.
  bool SetMaxModelLen(EndpointId endpoint, Tokens max_model_len);
  // How many tokens the endpoint says that its KV cache holds; 0 takes it back. Returns whether
  // that changes what is believed of its deployment. Unknown or retired endpoints are ignored.
  bool SetKvTokens(EndpointId endpoint, Tokens kv_tokens);

  // From now on the endpoints' forecasts hear of what happens. Until then they cost nothing; what
  // started earlier stays unknown to them.
  void KeepForecasts() { keeps_forecasts_ = true; }
  bool keeps_forecasts() const { return keeps_forecasts_; }

  // A request runs at an endpoint: it starts there, its tokens come (where the shell sees them), it
  // ends, exactly once.
  // So many prompt tokens that were started there are prefilled, or never will be: once for each
  // request, at its first token or at its end.
  void Prefilled(EndpointId endpoint, Tokens prompt_tokens) {
    endpoints_[endpoint].prefilling -= prompt_tokens;
  }
  Residence Start(EndpointId endpoint, const Demand& demand, Seconds now);
  void FirstToken(EndpointId endpoint, const Residence& residence, Seconds now);
  void Progress(EndpointId endpoint, const Residence& residence, Tokens generated, Seconds now);
  // `judged`: the endpoint served it or failed; else it says nothing about the endpoint.
  void End(EndpointId endpoint, const Residence& residence, const Completion& completion,
           Seconds now, bool judged = true);
  // A request that another replica of the router has sent there: it counts and teaches as one of
  // this router's does, but says nothing of the endpoint's health. First token, progress and end
  // are reported like those of any other.
  Residence StartForeign(EndpointId endpoint, const Demand& demand, Seconds now);
  // So many replicas share the fleet's capacity, and what the others send is not known: each takes
  // its part of it. 1 while they are known.
  void SetReplicas(int replicas);

  // From now on what happens to this router's requests is written down, to be told to others.
  void KeepJournal(bool keep);
  // What was written down since this was last called.
  Journal TakeJournal() { return std::exchange(journal_, {}); }

  // Endpoints that fail are ejected (circuit_breaker.h), but never so many that no more than
  // max_share of those that are up are out, and none whose context no other one has: a bad engine
  // is better than none. Where that no longer holds, because others have gone, those that are due
  // first come back.
  void SetEjection(const EjectionOptions& options);
  const EjectionOptions& ejection() const { return ejection_; }
  // Time has passed: endpoints come back. Returns whether that gave way to requests.
  bool Advance(Seconds now);
  // When Advance is next due; kNever if nothing waits for it.
  Seconds NextReturn() const { return returns_.empty() ? kNever : returns_.top_key(); }
  // Endpoints that are up and out.
  int out() const { return out_; }
  // Of all endpoints.
  const RecentEnds& recent() const { return recent_; }
  // What breakers did since this was last called.
  std::vector<BreakerChange> TakeBreakerChanges() { return std::exchange(breaker_changes_, {}); }

  const LoadModel& model() const { return *model_; }
  const HeadroomConstants& constants() const { return constants_; }
  std::span<const Deployment> deployments() const { return deployments_; }
  std::span<const Endpoint> endpoints() const { return endpoints_; }
  const Endpoint& endpoint(EndpointId id) const { return endpoints_[id]; }
  const Deployment& deployment_of(EndpointId id) const {
    return deployments_[endpoints_[id].deployment];
  }
  EndpointHandle HandleOf(EndpointId id) const { return {id, endpoints_[id].generation}; }
  // Whether that endpoint is in the fleet, up or not.
  bool Has(EndpointHandle handle) const {
    return handle.id < endpoints_.size() && !endpoints_[handle.id].retired &&
           endpoints_[handle.id].generation == handle.generation;
  }
  std::optional<EndpointId> FindEndpoint(const std::string& deployment,
                                         const std::string& address) const;
  std::optional<EndpointId> FindEndpoint(EndpointKey key) const {
    const auto found = by_key_.find(key);
    return found == by_key_.end() ? std::nullopt : std::optional(found->second);
  }
  // The largest weight of all endpoints.
  double largest_weight() const { return largest_weight_; }
  // Endpoints that are up, full or not.
  int up() const { return up_; }
  // Requests of this router that run; of all replicas, as far as known.
  int in_flight() const { return in_flight_; }
  int all_in_flight() const { return in_flight_ + foreign_in_flight_; }

  // The longest context of all deployments, up or not; the largest number if one is not known.
  Tokens LongestContext() const;

  // Available endpoints of all deployments.
  std::size_t available() const { return shown().available; }
  bool IsAvailable(EndpointId id) const {
    return id < endpoints_.size() && shown().places[id] != kNotAvailable;
  }
  // A deployment's available endpoints, in no particular order.
  std::span<const EndpointId> Available(DeploymentId deployment) const {
    return shown().choices[deployment].available;
  }
  // The same, by the load model's order.
  const EndpointOrder& ByLoad(DeploymentId deployment) const {
    return shown().choices[deployment].by_load;
  }
  // The same, by requests in flight (WeightedInFlight).
  const EndpointOrder& ByInFlight(DeploymentId deployment) const;
  // The same, by normalised latency · (requests in flight + 1), as in Finagle's peak-EWMA balancer:
  // one slow response is forgotten as the others fill up. An endpoint that nothing has ended at yet
  // counts as fast as the mean of all, so that it is neither flooded nor avoided.
  const EndpointOrder& ByLatency(DeploymentId deployment) const;

 private:
  // A deployment's available endpoints, as policies choose from them.
  struct Choices {
    std::vector<EndpointId> available;
    EndpointOrder by_load;
    EndpointOrder by_in_flight;  // Kept up to date once a policy has asked for it, …
    EndpointOrder by_latency;    // … and so is this.
    bool tracks_in_flight = false;
    bool tracks_latency = false;
  };
  struct View {
    std::vector<Choices> choices;       // By deployment.
    std::vector<std::uint32_t> places;  // By endpoint: its place in Choices::available.
    std::size_t available = 0;
  };

  View& shown() const { return shows_few_ ? few_ : all_; }
  bool Available(const Endpoint& endpoint) const;
  // Brings every tracked order up to date with the endpoint's state.
  void Refresh(EndpointId id);
  void SetAvailable(View& view, EndpointId id, bool available);
  DeploymentId NewDeployment(const std::string& name, std::span<const DeploymentSpec> declared);
  // Takes the first id at or above `from` that is free.
  EndpointId NewEndpoint(DeploymentId deployment, const EndpointSpec& spec, EndpointId from);
  Residence Begin(EndpointId endpoint, const Demand& demand, Seconds now);
  void Declare(EndpointId id, const EndpointSpec& spec);
  void Mark(EndpointId id, bool up);
  void Retire(EndpointId id);
  // What its endpoints say comes in force where it declares nothing: the smallest.
  void RefreshLimits(DeploymentId id);
  EndpointOrder::Key LatencyKey(const Endpoint& endpoint) const;
  void ObserveLatency(Endpoint& endpoint, double seconds_per_token);

  // fleet_ejection.cc. `event(breaker)` changes the endpoint's breaker.
  template <typename Event>
  void ChangeBreaker(EndpointId id, const Event& event) {
    CircuitBreaker& breaker = endpoints_[id].breaker;
    const CircuitBreaker::State before = breaker.state();
    event(breaker);
    BreakerChanged(id, before);
  }
  void BreakerChanged(EndpointId id, CircuitBreaker::State before);
  void Judge(EndpointId id, const Residence& residence, const Completion& completion, Seconds now);
  int MostOut() const;
  bool CanSpare(EndpointId id) const;
  bool IsOutlier(EndpointId id, Seconds now) const;
  // Brings endpoints back if too many are out.
  void ReleaseExcess();

  static constexpr std::uint32_t kNotAvailable = ~std::uint32_t{0};

  std::unique_ptr<LoadModel> model_;
  HeadroomConstants constants_;
  std::vector<Deployment> deployments_;
  std::vector<Endpoint> endpoints_;
  std::vector<std::uint64_t> last_used_;  // By endpoint: when it last got a request.
  mutable View all_;
  mutable View few_;  // Of ShowOnly.
  bool shows_few_ = false;
  std::uint64_t uses_ = 0;
  bool keeps_forecasts_ = false;
  int replicas_ = 1;
  std::unordered_map<EndpointKey, EndpointId> by_key_;  // Of endpoints that are not retired.
  std::uint64_t updates_ = 0;
  bool keeps_journal_ = false;
  std::uint64_t serials_ = 0;
  Journal journal_;
  double mean_latency_ = 0;  // As Endpoint::normalized_latency, of all endpoints together.
  double largest_weight_ = 1;
  int up_ = 0;
  int in_flight_ = 0;
  int foreign_in_flight_ = 0;
  EjectionOptions ejection_;
  int out_ = 0;
  RecentEnds recent_;
  IndexedHeap<Seconds> returns_;  // By endpoint: when its breaker has something to do.
  std::vector<BreakerChange> breaker_changes_;
};

}  // namespace headrace::fleet
