// A scenario as it is written, before the files, GPUs and policies that it names have been looked
// up.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "config/config.h"
#include "config/option_group.h"
#include "scenario/scenario.h"

namespace headrace::scenario {

struct ClassText {
  enum class Arrivals { kPoisson, kGamma, kWeibull, kTrace };
  enum class Start { kFirst, kRandom };
  std::string name;
  Arrivals arrivals = Arrivals::kPoisson;
  std::optional<double> rate;
  std::optional<double> share;
  double cv = 1;
  std::string trace;
  double speed = 1;
  std::optional<Seconds> time_unit;
  Start start = Start::kFirst;
  std::string lengths;
  std::optional<workload::TokenDistribution> prompt;
  std::optional<workload::TokenDistribution> output;
  double cached_prompt = 0;
  std::string tenant;
  int priority = 0;
  std::optional<slo::Slo> slo;
  std::vector<workload::RateChange> rate_changes;
};

// How a deployment's engines differ from those that its profile was measured on.
struct RealEngineText {
  double slowdown = 1;
  std::optional<int> max_num_seqs;
  std::optional<int> max_num_batched_tokens;
  double kv_share = 1;
};

struct FleetText {
  std::string name;
  std::string gpu;
  std::string engine;
  int endpoints = 1;
  int max_model_len = 0;
  std::optional<double> price_per_hour;
  double slowdown = 1;
  std::optional<int> max_num_seqs;
  std::optional<int> max_num_batched_tokens;
  double kv_share = 1;
  std::optional<RealEngineText> real;
  std::string profile = "measured";
  std::string profile_of;
  double profile_error = 1;
  double profile_rate_error = 1;
  int max_in_flight = 512;
};

struct VariantText {
  enum class Length { kMean, kQuantile, kSample, kRedrawn, kExact };
  std::string name;
  std::string policy;
  Length length = Length::kQuantile;
  double quantile = 0.9;
  bool per_request_slo = true;
  bool deadline_wakeups = true;
};

struct EndpointFaultText {
  Seconds at = 0;
  sim::EndpointFault::Kind kind = sim::EndpointFault::Kind::kSpeed;
  std::string deployment;
  int endpoint = 0;
  double factor = 1;
};

// Schedulers that serve the fleet together.
struct ReplicasText {
  int count = 1;
  Seconds lag = 0.02;
};

struct ScenarioText {
  std::string name;
  std::string about;
  std::string model;
  std::string gpus;
  int max_model_len = 0;
  std::optional<slo::Slo> slo;
  std::optional<double> rate;
  Seconds warm_up = 60;
  Seconds duration = 600;
  Seconds drain = 300;
  Seconds queue_timeout = 300;
  std::size_t queue_length = 10'000;
  Seconds state_lag = 0;
  ReplicasText replicas;
  std::vector<double> rates;
  int seeds = 5;
  std::vector<std::string> policies;
  std::vector<FleetText> fleet;
  std::vector<ClassText> workload;
  std::vector<config::TenantConfig> tenants;
  std::vector<VariantText> variants;
  std::vector<EndpointFaultText> faults;
};

// What the list of faults was called once; it is still read.
inline constexpr const char* kFormerFaults = "disturbances";

config::OptionGroup<ScenarioText> ScenarioSchema();

}  // namespace headrace::scenario
