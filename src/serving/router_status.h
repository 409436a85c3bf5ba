// What a status page shows of a pool's router.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/units.h"
#include "fleet/engine_fault.h"
#include "fleet/step_learner.h"
#include "profile/gpu_profile.h"

namespace headrace::serving {

// A copy, as of one moment.
struct RouterStatus {
  // What a deployment's engines were learned to be.
  struct EngineStatus {
    fleet::StepBelief steps;
    std::int64_t samples = 0;
  };
  struct ForecastStatus {
    double scale = 1;  // How much slower than its deployment's engines it is believed to be.
    int residents = 0;
    std::size_t prompts_in_line = 0;
    Seconds backlog = 0;  // Until they are prefilled.
  };
  struct EjectionStatus {
    std::string_view state;
    bool out = false;  // It gets no requests, or only a probe.
    int failures = 0;  // In a row.
    std::optional<fleet::EngineFault> last_fault = {};
    std::optional<Seconds> returns_in = {};  // If time alone brings it back, or its probe.
  };
  struct EndpointStatus {
    std::string address;
    bool up = false;  // As far as is known; it may be drained all the same.
    bool drained = false;
    bool retired = false;
    int in_flight = 0;
    int foreign_in_flight = 0;  // Of other replicas.
    double load = 0;            // 1 = full.
    double normalized_latency = 0;
    EjectionStatus ejection = {};
    std::string fault = {};  // Why it is down; empty if it is up, or that is not known.
    std::optional<ForecastStatus> forecast = {};  // Where forecasts are kept.
  };
  enum class StreamOptions { kAsked, kOff, kRefused };  // Of requests, by configuration, learned.
  struct DeploymentStatus {
    std::string name;
    bool retired = false;      // Shown until its last request has ended.
    Tokens max_model_len = 0;  // 0: not known.
    Tokens kv_tokens = 0;      // The same.
    StreamOptions stream_options = StreamOptions::kAsked;
    std::shared_ptr<const profile::GpuProfile> profile;
    std::optional<EngineStatus> engine = {};  // Where forecasts are kept.
    std::vector<EndpointStatus> endpoints = {};
  };
  struct SubQueueStatus {
    Tokens prompt_tokens = 0;  // The bucket's centre; both 0 for requests without an SLO.
    Tokens output_tokens = 0;
    std::size_t length = 0;
    bool late = false;  // They can no longer meet their SLO, and wait until nobody is harmed.
  };
  std::vector<DeploymentStatus> deployments;
  std::vector<SubQueueStatus> sub_queues;
  std::size_t waiting = 0;
  std::size_t queue_bytes = 0;
  std::size_t running = 0;
  std::int64_t learned_lengths = 0;
  std::size_t tenants = 0;  // That have an account of their own.
  // Parts of the GPU time of late; of SchedulerOptions::tenant_weights, in their order.
  std::vector<double> tenant_shares;
};

}  // namespace headrace::serving
