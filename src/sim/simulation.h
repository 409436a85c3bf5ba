// One run of the production scheduler against emulated engines, in virtual time.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/units.h"
#include "engine/engine_model.h"
#include "profile/gpu_profile.h"
#include "scheduler/events.h"
#include "sim/forecast_record.h"
#include "workload/statistics.h"
#include "workload/workload.h"

namespace headrace::sim {

// Replicas of one engine on one GPU type.
struct SimDeployment {
  std::string name;
  engine::EngineConfig engine;  // Must pass CheckEngineConfig.
  int endpoints = 1;
  double price_per_hour = 0;  // Of one endpoint.
  std::shared_ptr<const profile::GpuProfile>
      profile;              // What the scheduler believes; null: nothing.
  int max_in_flight = 512;  // The scheduler's limit per endpoint.
};

// What happens to one endpoint (`endpoint` counts from 0 within its deployment).
struct EndpointFault {
  enum class Kind {
    kSpeed,    // From now on its steps take `factor` times as long as the engine model says.
    kLost,     // Its requests are lost: retried if they had no token yet, otherwise failed.
    kFailing,  // What is sent there fails at once, though it looks healthy.
    kReturn,   // All is well again. If it was lost, it is idle.
  };
  Seconds at = 0;
  Kind kind = Kind::kSpeed;
  std::size_t deployment = 0;
  int endpoint = 0;
  double factor = 1;
};

struct SimulationSpec {
  std::vector<SimDeployment> fleet;
  const workload::Workload* workload = nullptr;  // Must pass CheckWorkload and outlive the run.
  scheduler::SchedulerOptions scheduler;
  scheduler::Experiment experiment;
  double rate_scale = 1;
  std::uint64_t seed = 1;
  // Requests that arrive from warm_up to warm_up + duration count. Arrivals go on after that until
  // all of these have ended, for `drain` at most; what has not finished by then has timed out.
  Seconds warm_up = 60;
  Seconds duration = 600;
  Seconds drain = 300;
  std::vector<EndpointFault> faults;
  Seconds state_lag = 0;  // The scheduler hears of a response's end so much later.
  // So many schedulers serve the fleet: each request comes to any of them, and what one does the
  // others hear `replica_lag` later. (Not for the clairvoyant.)
  int replicas = 1;
  Seconds replica_lag = 0;

  // What the scheduler is told and when: for experiments that show what each of these is worth.
  bool exact_lengths = false;    // It knows the length of each response.
  bool per_request_slo = true;   // It knows each class's own SLO; else only its options' one.
  bool deadline_wakeups = true;  // It is woken when a deadline comes; else only by other events.
  bool first_tokens = true;      // It hears of first tokens; else only of ends.
  bool kv_room = true;           // It knows how much the engines' KV caches hold.
  std::optional<std::size_t> only_deployment;  // The others take nothing.
  // Responses are cut where prompt and response would exceed it; 0: the longest context of the
  // fleet. A part of a fleet is given that of the whole, so that the work is the same.
  Tokens context = 0;
  // Not the scheduler decides, but a baseline that knows the future (clairvoyant.h): the better run
  // of two.
  bool clairvoyant = false;
};

struct DeploymentResult {
  std::string name;
  int endpoints = 0;
  double utilization = 0;  // Share of the counted time in which its engines had work.
  double cost = 0;         // Of the counted time, in the unit of price_per_hour.
  std::uint64_t preemptions = 0;
  std::vector<std::uint64_t> sent;  // Counted requests, by class.
};

// What happened in one of kTimelineSteps equal parts of the counted time.
struct TimelineStep {
  std::vector<std::uint64_t> offered;   // By class; of the requests that arrived in it, …
  std::vector<std::uint64_t> attained;  // … those that met their SLO.
  std::vector<double> in_flight;        // By deployment: requests per endpoint, at its end.
  double waiting = 0;                   // In the scheduler's queue, at its end.
};
inline constexpr std::size_t kTimelineSteps = 60;

struct SimulationResult {
  workload::RunStatistics statistics{std::vector<std::string>{}};
  std::vector<DeploymentResult> deployments;
  std::vector<TimelineStep> timeline;
  // By class: counted requests that fit into no engine's context. They are among the refused.
  std::vector<std::uint64_t> too_long;
  // By class: counted requests whose response is cut at the context.
  std::vector<std::uint64_t> cut;
  ForecastRecord forecasts;     // Of a policy that forecasts.
  std::uint64_t simulated = 0;  // Requests, those outside of the counted time included.
  double cost = 0;
};

// How one counted request ended.
struct RequestRecord {
  enum class End { kCompleted, kRefused, kTooLong, kTimedOut, kFailed };
  Seconds arrived = 0;
  std::uint32_t class_index = 0;
  Tokens prompt_tokens = 0;
  Tokens output_tokens = 0;
  End end = End::kCompleted;
  bool attained = false;
  std::optional<std::uint32_t> deployment;  // Where it went, and which of its endpoints.
  int endpoint = 0;
  Seconds queued = 0;  // Times of steps that it did not reach are 0.
  Seconds ttft = 0;
  Seconds e2e = 0;
  std::optional<Prediction> predicted;  // When it was sent; nullopt if its policy predicts nothing.
};
std::string_view ToString(RequestRecord::End end);

// Gets more than the totals of a run. Called from inside Simulate.
class SimulationObserver {
 public:
  virtual ~SimulationObserver() = default;
  virtual void OnEnd(const RequestRecord&) {}
  // Now and then: the share of the run that is done.
  virtual void OnProgress(double) {}
};

// A response is cut where prompt and response would exceed the longest context of the fleet, as
// vLLM cuts it, so that every policy gets the same work. A request goes only where prompt and
// response fit; one that fits on no engine is refused at once. Same spec, same result. Memory is
// flat in the number of requests.
SimulationResult Simulate(const SimulationSpec& spec, SimulationObserver* observer = nullptr);

}  // namespace headrace::sim
