// What Headrace measures of itself. The names, labels and meanings are declared once, in
// headrace_metrics.cc, from which docs/metrics.md is generated.
#pragma once

#include <array>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "telemetry/metrics.h"

namespace headrace::telemetry {

// How a request ended, as the client saw it.
enum class Outcome {
  kCompleted,    // An engine responded in full, and with no error.
  kClientError,  // The engine says that the request itself is wrong: 4xx, but not 408 or 429.
  kEngineError,  // The engine responded with another error, as a status or inside the response.
  kRefused,      // Refused by the scheduler; see headrace_refused_total for why.
  kCancelled,    // The client went away.
  kTimedOut,     // It ran into one of the configured timeouts.
  kFailed,       // No response, or one without its end, and no other engine could take the request.
};
inline constexpr int kOutcomes = 7;
std::string_view ToString(Outcome outcome);

// Values that labels can have, known when the program starts.
struct MetricLabels {
  std::vector<std::string_view> policies;
  std::vector<std::string_view> refusal_reasons;
  std::vector<std::string_view> fallback_causes;
  std::vector<std::string_view> retry_causes;
  std::vector<std::string_view> ejection_causes;
};

// The process as a whole.
struct GatewayMetrics {
  GatewayMetrics(MetricsRegistry& registry, std::string_view version);

  Gauge info;
  Gauge connections;
  Counter access_log_dropped;
  // By status: requests that ended before any model was found for them.
  CounterSet invalid_requests;
};

// What becomes of the spans of sampled requests.
struct TracingMetrics {
  explicit TracingMetrics(MetricsRegistry& registry);

  CounterSet spans;  // By result.
};

// The configuration file of a gateway.
struct ConfigMetrics {
  explicit ConfigMetrics(MetricsRegistry& registry);

  CounterSet reloads;  // By result.
  Gauge current;
  Gauge taken_over_seconds;
  Gauge awaiting_restart;
};

// A listener with TLS.
struct TlsMetrics {
  TlsMetrics(MetricsRegistry& registry, std::string_view listener,
             const std::vector<std::string_view>& faults);

  CounterSet failed;  // By fault: handshakes.
  Gauge ends;
};

// Requests to the admin pages that were not served, by reason.
CounterSet AdminRefusals(MetricsRegistry& registry);

// One model.
struct ModelMetrics {
  ModelMetrics(MetricsRegistry& registry, std::string_view model, const MetricLabels& labels);

  // A request has ended; `policy` is the one that served it, empty if none did.
  void CountRequest(Outcome outcome, std::string_view policy);

  std::array<CounterSet, kOutcomes> requests;  // By Outcome, then by policy.
  CounterSet refused;                          // By refusal reason.
  CounterSet fallback;                         // By fallback cause.
  CounterSet retries;                          // By what the endpoint did.
  Lazy<Counter> retry_budget_exhausted;
  Gauge queue_length;
  Gauge queue_bytes;
  Gauge endpoint_source_up;
  HistogramMetric decision_seconds;
  Lazy<HistogramMetric> output_length_ratio;
  Lazy<HistogramMetric> prompt_tokens_ratio;
};

// One deployment of a model.
struct DeploymentMetrics {
  DeploymentMetrics(MetricsRegistry& registry, std::string_view model, std::string_view deployment,
                    const MetricLabels& labels);

  Lazy<HistogramMetric> ttft;
  Lazy<HistogramMetric> tpot;
  Lazy<HistogramMetric> tpat;
  Lazy<HistogramMetric> e2e;
  Lazy<HistogramMetric> queue_seconds;
  Counter slo_attained;
  Counter slo_missed;
  Lazy<HistogramMetric> ttft_ratio;
  Lazy<HistogramMetric> e2e_ratio;
  Lazy<HistogramMetric> miss_probability_attained;
  Lazy<HistogramMetric> miss_probability_missed;
  Gauge profile_info;
  Gauge profile_age_seconds;
  Gauge profile_faults;
  Gauge profile_current;
  CounterSet ejections;  // By cause.

  // Where its profile comes from: a label of profile_info.
  void SetProfileOrigin(std::string_view origin);

 private:
  MetricsRegistry& registry_;
  std::string model_;
  std::string deployment_;
  std::string origin_;
};

// One endpoint of a deployment. Destroyed when the endpoint leaves the fleet: its series go with
// it.
struct EndpointMetrics {
  EndpointMetrics(MetricsRegistry& registry, std::string_view model, std::string_view deployment,
                  std::string_view endpoint);

  Gauge load;
  Gauge in_flight;
  Gauge foreign_in_flight;
  Gauge up;
  Gauge drained;
  Gauge ejected;
};

// What a process shares with its replicas, while it does.
struct ReplicaMetrics {
  explicit ReplicaMetrics(MetricsRegistry& registry);

  Gauge connected;
  HistogramMetric lag_seconds;
};

// Of one model.
struct ReplicaPoolMetrics {
  ReplicaPoolMetrics(MetricsRegistry& registry, std::string_view model);

  Gauge replicas;
  Counter missed;
};

// All declarations, in the order of the documentation.
std::span<const MetricInfo* const> HeadraceMetrics();

// docs/metrics.md.
std::string MetricsReferenceMarkdown();

}  // namespace headrace::telemetry
