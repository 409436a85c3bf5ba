#include "telemetry/headrace_metrics.h"

#include <charconv>

namespace headrace::telemetry {
namespace {

// Bounds that show P50 and P99 to about a factor of 1.6, and the usual SLOs exactly.
constexpr double kFirstTokenSeconds[] = {0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.4, 0.6,
                                         1,     1.5,  2.5,   4,    6,   10,   15,   30,  60};
constexpr double kPerTokenSeconds[] = {0.001, 0.0025, 0.005, 0.01, 0.015, 0.02, 0.025,
                                       0.03,  0.04,   0.05,  0.06, 0.08,  0.1,  0.15,
                                       0.2,   0.3,    0.5,   1,    2};
constexpr double kWholeSeconds[] = {0.025, 0.05, 0.1, 0.25, 0.5, 1,  1.5, 2.5, 4,
                                    6,     10,   15,  20,   30,  45, 60,  120, 300};
constexpr double kQueueSeconds[] = {0.0001, 0.0005, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1,
                                    0.25,   0.5,    1,     2.5,   5,    10,    30,   60};
constexpr double kReplicaLagSeconds[] = {0.0005, 0.001, 0.0025, 0.005, 0.01,
                                         0.025,  0.05,  0.1,    0.25,  0.5};
constexpr double kDecisionSeconds[] = {250e-9, 500e-9, 1e-6,   2.5e-6, 5e-6, 10e-6,
                                       25e-6,  50e-6,  100e-6, 250e-6, 1e-3, 10e-3};
// Probabilities, in ranges that are held against the share that came true.
constexpr double kProbability[] = {0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 0.8, 1};
constexpr double kRatio[] = {0.1, 0.25, 0.5, 0.7, 0.8, 0.9, 0.95, 1, 1.05, 1.1, 1.2, 1.4, 2, 4, 10};

constexpr std::string_view kVersionLabel[] = {"version"};
constexpr std::string_view kStatusLabel[] = {"status"};
constexpr std::string_view kModelLabels[] = {"model"};
constexpr std::string_view kRequestLabels[] = {"model", "outcome", "policy"};
constexpr std::string_view kReasonLabels[] = {"model", "reason"};
constexpr std::string_view kCauseLabels[] = {"model", "cause"};
constexpr std::string_view kDeploymentLabels[] = {"model", "deployment"};
constexpr std::string_view kReasonLabel[] = {"reason"};
constexpr std::string_view kListenerLabel[] = {"listener"};
constexpr std::string_view kTlsLabels[] = {"listener", "reason"};
constexpr std::string_view kResultLabels[] = {"result"};
constexpr std::string_view kSloLabels[] = {"model", "deployment", "slo"};
constexpr std::string_view kOriginLabels[] = {"model", "deployment", "origin"};
constexpr std::string_view kEjectionLabels[] = {"model", "deployment", "cause"};
constexpr std::string_view kEndpointLabels[] = {"model", "deployment", "endpoint"};

using enum MetricType;

constexpr MetricInfo kInfo{
    "headrace_info", kGauge, kVersionLabel, "Always 1; says which version runs.", {}};
constexpr MetricInfo kConnections{
    "headrace_client_connections", kGauge, {}, "Client connections that are open.", {}};
constexpr MetricInfo kInvalidRequests{
    "headrace_invalid_requests_total",
    kCounter,
    kStatusLabel,
    "Requests that ended before any model was found for them, by HTTP status.",
    {}};

constexpr MetricInfo kConfigReloads{
    "headrace_config_reloads_total",
    kCounter,
    kResultLabels,
    "Times that the configuration file was read while the gateway ran, by result: `ok` or "
    "`failed`.",
    {}};
constexpr MetricInfo kConfigCurrent{
    "headrace_config_current",
    kGauge,
    {},
    "1 if the configuration file, as it was read last, is in force; 0 if it has a fault and the "
    "one before stays.",
    {}};
constexpr MetricInfo kConfigTakenOver{"headrace_config_taken_over_timestamp_seconds",
                                      kGauge,
                                      {},
                                      "When the configuration in force was read (Unix time).",
                                      {}};
constexpr MetricInfo kConfigAwaitingRestart{
    "headrace_config_awaiting_restart",
    kGauge,
    {},
    "Options of the configuration file that keep their old values until a restart.",
    {}};
constexpr MetricInfo kAdminRefused{
    "headrace_admin_refused_total",
    kCounter,
    kReasonLabel,
    "Requests to the admin address that were not served, by reason: no `token`, or a wrong one; a "
    "`host` name or an `origin` that another site's page has sent; a page that is `closed` there.",
    {}};
constexpr MetricInfo kTlsFailed{
    "headrace_tls_failed_handshakes_total",
    kCounter,
    kTlsLabels,
    "TLS handshakes that came to nothing, by listener (`listen`, `admin`) and reason.",
    {}};
constexpr MetricInfo kTlsEnds{"headrace_tls_certificate_not_after_timestamp_seconds",
                              kGauge,
                              kListenerLabel,
                              "When the certificate that a listener shows ends (Unix time); of "
                              "several, the first that does.",
                              {}};
constexpr MetricInfo kAccessLogDropped{
    "headrace_access_log_dropped_total",
    kCounter,
    {},
    "Lines of the access log that were dropped: nobody read them in time, or the disk was full.",
    {}};

constexpr MetricInfo kTraceSpans{
    "headrace_trace_spans_total",
    kCounter,
    kResultLabels,
    "Spans of traced requests, by what became of them: `sent`; `rejected` by the collector; "
    "`failed`, as the collector could not be reached or refused them; `dropped`, as too many "
    "waited for it.",
    {}};

constexpr MetricInfo kRequests{
    "headrace_requests_total",
    kCounter,
    kRequestLabels,
    "Requests that ended, by outcome, and by the policy that served them (`none` if none did). "
    "`client_error` and `engine_error`: the engine responded with an error, by whose fault it is; "
    "`failed`: no response, or one without its end.",
    {}};
constexpr MetricInfo kRefusedRequests{"headrace_refused_total",
                                      kCounter,
                                      kReasonLabels,
                                      "Requests that the scheduler refused, by reason.",
                                      {}};
constexpr MetricInfo kFallback{
    "headrace_fallback_total",
    kCounter,
    kCauseLabels,
    "Requests that were served by the policy's fallback, by what the policy lacked.",
    {}};
constexpr MetricInfo kRetries{
    "headrace_retries_total",
    kCounter,
    kCauseLabels,
    "Times that a request was taken from an endpoint, before its response began, to be sent to "
    "another one, by what the endpoint did: `connect` (no connection), `closed` (no response), "
    "`timeout`, `status` (502 or 504), `busy` (429 or 503), `garbled` (no HTTP). Counted when the "
    "request ends.",
    {}};
constexpr MetricInfo kRetryBudgetExhausted{
    "headrace_retry_budget_exhausted_total",
    kCounter,
    kModelLabels,
    "Requests that failed because the retry budget did not allow another try.",
    {}};
constexpr MetricInfo kQueueLength{
    "headrace_queue_length", kGauge, kModelLabels, "Requests that wait in the queue.", {}};
constexpr MetricInfo kQueueBytes{
    "headrace_queue_bytes", kGauge, kModelLabels, "Bytes of the waiting requests' bodies.", {}};
constexpr MetricInfo kDecision{
    "headrace_decision_seconds", kHistogram, kModelLabels,
    "Time that the scheduler took for one event (an arrival, an end, a wake-up), in seconds.",
    kDecisionSeconds};
constexpr MetricInfo kOutputLengthRatio{
    "headrace_output_length_ratio", kHistogram, kModelLabels,
    "Output tokens that a finished request had, divided by those predicted at its arrival; 1 is a "
    "perfect prediction.",
    kRatio};
constexpr MetricInfo kPromptTokensRatio{"headrace_prompt_tokens_ratio", kHistogram, kModelLabels,
                                        "Prompt tokens that the engine counted, divided by those "
                                        "estimated from the bytes; 1 is a perfect "
                                        "estimate.",
                                        kRatio};

constexpr MetricInfo kTtft{
    "headrace_ttft_seconds", kHistogram, kDeploymentLabels,
    "Time to first token of streams, from the arrival at the gateway, the queue included, in "
    "seconds. Whole answers have none.",
    kFirstTokenSeconds};
constexpr MetricInfo kTpot{"headrace_tpot_seconds", kHistogram, kDeploymentLabels,
                           "Time per output token of streams after the first, in seconds.",
                           kPerTokenSeconds};
constexpr MetricInfo kTpat{"headrace_tpat_seconds", kHistogram, kDeploymentLabels,
                           "Whole time divided by all tokens of prompt and response, in seconds.",
                           kPerTokenSeconds};
constexpr MetricInfo kE2e{
    "headrace_e2e_seconds", kHistogram, kDeploymentLabels,
    "Whole time, from the arrival at the gateway to the last token, in seconds.", kWholeSeconds};
constexpr MetricInfo kQueueTime{
    "headrace_queue_seconds", kHistogram, kDeploymentLabels,
    "Time from the arrival at the gateway to the dispatch to an engine, in seconds.",
    kQueueSeconds};
constexpr MetricInfo kSloAttained{"headrace_slo_attained_total",
                                  kCounter,
                                  kDeploymentLabels,
                                  "Finished requests that met every latency of their SLO.",
                                  {}};
constexpr MetricInfo kSloMissed{"headrace_slo_missed_total",
                                kCounter,
                                kDeploymentLabels,
                                "Finished requests that missed a latency of their SLO.",
                                {}};
constexpr MetricInfo kTtftRatio{
    "headrace_ttft_ratio", kHistogram, kDeploymentLabels,
    "Time to first token of a finished stream, divided by the one predicted when it was sent; 1 is "
    "a perfect prediction. Both count from the arrival. Only of policies that predict it.",
    kRatio};
constexpr MetricInfo kE2eRatio{
    "headrace_e2e_ratio", kHistogram, kDeploymentLabels,
    "Whole time of a finished request, divided by the one predicted when it was sent, for the "
    "number of tokens that the response really had: it judges the predicted step times alone.",
    kRatio};
constexpr MetricInfo kMissProbability{
    "headrace_miss_probability", kHistogram, kSloLabels,
    "Predicted probability that a request misses its SLO, as of when it was sent, by what came "
    "true: `slo` is `attained` or `missed`.",
    kProbability};
constexpr MetricInfo kProfileInfo{
    "headrace_profile_info",
    kGauge,
    kOriginLabels,
    "Always 1; says where the GPU profile comes from: a file, or a key in Redis.",
    {}};
constexpr MetricInfo kProfileAge{"headrace_profile_age_seconds",
                                 kGauge,
                                 kDeploymentLabels,
                                 "Age of the GPU profile in use, in seconds; NaN if there is none.",
                                 {}};
constexpr MetricInfo kProfileFaults{"headrace_profile_faults",
                                    kGauge,
                                    kDeploymentLabels,
                                    "Faults found in the GPU profile; `/status` says which.",
                                    {}};
constexpr MetricInfo kProfileCurrent{
    "headrace_profile_current",
    kGauge,
    kDeploymentLabels,
    "1 if the GPU profile in use is what its source holds now; 0 if the source is unreachable, or "
    "its profile is missing or broken, and an older profile or none is in use.",
    {}};

constexpr MetricInfo kEndpointSourceUp{
    "headrace_endpoint_source_up",
    kGauge,
    kModelLabels,
    "1 if the places that list the model's endpoints (DNS, Kubernetes) can be asked; else 0, and "
    "those that were found last stay.",
    {}};
constexpr MetricInfo kEndpointLoad{
    "headrace_endpoint_load",
    kGauge,
    kEndpointLabels,
    "Share of the endpoint's capacity that is in use, according to the profile; 1 is full.",
    {}};
constexpr MetricInfo kEndpointInFlight{"headrace_endpoint_in_flight",
                                       kGauge,
                                       kEndpointLabels,
                                       "Requests of this gateway that run on the endpoint.",
                                       {}};
constexpr MetricInfo kEndpointForeignInFlight{
    "headrace_endpoint_foreign_in_flight",
    kGauge,
    kEndpointLabels,
    "Requests of other replicas that run on the endpoint, as far as they have told.",
    {}};
constexpr MetricInfo kEndpointUp{
    "headrace_endpoint_up", kGauge, kEndpointLabels, "1 if the endpoint is healthy, else 0.", {}};

constexpr MetricInfo kEndpointDrained{"headrace_endpoint_drained",
                                      kGauge,
                                      kEndpointLabels,
                                      "1 while an operator keeps new requests from the endpoint; "
                                      "else 0.",
                                      {}};
constexpr MetricInfo kEndpointEjected{"headrace_endpoint_ejected",
                                      kGauge,
                                      kEndpointLabels,
                                      "1 while the endpoint gets no requests, or only a probe, "
                                      "because requests failed there; else 0.",
                                      {}};
constexpr MetricInfo kEjections{"headrace_ejections_total",
                                kCounter,
                                kEjectionLabels,
                                "Times that an endpoint was ejected, failed probes included, by "
                                "what it did last: `connect` (no "
                                "connection), `closed` (no response), `timeout`, `status` (5xx), "
                                "`busy` (429 or 503), `cut` (the "
                                "response broke off), `error_in_body`, `garbled` (no HTTP).",
                                {}};

constexpr MetricInfo kReplicasConnected{
    "headrace_replicas_connected",
    kGauge,
    {},
    "1 while replicas can tell each other what they do; 0 while Redis is away, and each goes on "
    "alone with its part of the engines' capacity. Only where `replicas.share` is set.",
    {}};
constexpr MetricInfo kReplicaLag{
    "headrace_replica_lag_seconds",
    kHistogram,
    {},
    "Time that a batch of this replica's news takes through Redis and back to itself, once a "
    "second for each model, in seconds.",
    kReplicaLagSeconds};
constexpr MetricInfo kReplicas{
    "headrace_replicas",
    kGauge,
    kModelLabels,
    "Replicas that serve the model, this one included; while Redis is away, as last known.",
    {}};
constexpr MetricInfo kReplicaBatchesMissed{
    "headrace_replica_batches_missed_total",
    kCounter,
    kModelLabels,
    "Batches of other replicas' news that never came, or too late; what they missed is put right "
    "within a second.",
    {}};

constexpr const MetricInfo* kAll[] = {
    &kInfo,
    &kConnections,
    &kInvalidRequests,
    &kConfigReloads,
    &kConfigCurrent,
    &kConfigTakenOver,
    &kConfigAwaitingRestart,
    &kAdminRefused,
    &kTlsFailed,
    &kTlsEnds,
    &kAccessLogDropped,
    &kTraceSpans,
    &kRequests,
    &kRefusedRequests,
    &kFallback,
    &kRetries,
    &kRetryBudgetExhausted,
    &kTtft,
    &kTpot,
    &kTpat,
    &kE2e,
    &kSloAttained,
    &kSloMissed,
    &kQueueTime,
    &kQueueLength,
    &kQueueBytes,
    &kDecision,
    &kOutputLengthRatio,
    &kPromptTokensRatio,
    &kTtftRatio,
    &kE2eRatio,
    &kMissProbability,
    &kProfileInfo,
    &kProfileAge,
    &kProfileFaults,
    &kProfileCurrent,
    &kEndpointSourceUp,
    &kEndpointLoad,
    &kEndpointInFlight,
    &kEndpointForeignInFlight,
    &kEndpointUp,
    &kEndpointDrained,
    &kEndpointEjected,
    &kEjections,
    &kReplicasConnected,
    &kReplicas,
    &kReplicaLag,
    &kReplicaBatchesMissed,
};

constexpr Outcome kAllOutcomes[kOutcomes] = {
    Outcome::kCompleted, Outcome::kClientError, Outcome::kEngineError, Outcome::kRefused,
    Outcome::kCancelled, Outcome::kTimedOut,    Outcome::kFailed};

std::string_view TypeName(MetricType type) {
  switch (type) {
    case kCounter:
      return "counter";
    case kGauge:
      return "gauge";
    case kHistogram:
      return "histogram";
  }
  return "";
}

std::string NumberText(double number) {
  std::array<char, 32> buffer;
  const auto [end, error] = std::to_chars(buffer.data(), buffer.data() + buffer.size(), number);
  return error == std::errc{} ? std::string(buffer.data(), end) : "";
}

}  // namespace

std::string_view ToString(Outcome outcome) {
  switch (outcome) {
    case Outcome::kCompleted:
      return "completed";
    case Outcome::kClientError:
      return "client_error";
    case Outcome::kEngineError:
      return "engine_error";
    case Outcome::kRefused:
      return "refused";
    case Outcome::kCancelled:
      return "cancelled";
    case Outcome::kTimedOut:
      return "timed_out";
    case Outcome::kFailed:
      return "failed";
  }
  return "failed";
}

GatewayMetrics::GatewayMetrics(MetricsRegistry& registry, std::string_view version)
    : info(registry.MakeGauge(kInfo, {version})),
      connections(registry.MakeGauge(kConnections, {})),
      access_log_dropped(registry.MakeCounter(kAccessLogDropped, {})),
      invalid_requests(registry, kInvalidRequests, {},
                       {"400", "401", "403", "404", "405", "413", "429", "431"}) {
  info.Set(1);
}

TracingMetrics::TracingMetrics(MetricsRegistry& registry)
    : spans(registry, kTraceSpans, {}, {"sent", "rejected", "failed", "dropped"}) {}

ConfigMetrics::ConfigMetrics(MetricsRegistry& registry)
    : reloads(registry, kConfigReloads, {}, {"ok", "failed"}),
      current(registry.MakeGauge(kConfigCurrent, {})),
      taken_over_seconds(registry.MakeGauge(kConfigTakenOver, {})),
      awaiting_restart(registry.MakeGauge(kConfigAwaitingRestart, {})) {}

CounterSet AdminRefusals(MetricsRegistry& registry) {
  return CounterSet(registry, kAdminRefused, {}, {"token", "host", "origin", "closed"});
}

TlsMetrics::TlsMetrics(MetricsRegistry& registry, std::string_view listener,
                       const std::vector<std::string_view>& faults)
    : failed(registry, kTlsFailed, {listener}, faults),
      ends(registry.MakeGauge(kTlsEnds, {listener})) {}

ModelMetrics::ModelMetrics(MetricsRegistry& registry, std::string_view model,
                           const MetricLabels& labels)
    : refused(registry, kRefusedRequests, {model}, labels.refusal_reasons),
      fallback(registry, kFallback, {model}, labels.fallback_causes),
      retries(registry, kRetries, {model}, labels.retry_causes),
      retry_budget_exhausted(registry, kRetryBudgetExhausted, {model}),
      queue_length(registry.MakeGauge(kQueueLength, {model})),
      queue_bytes(registry.MakeGauge(kQueueBytes, {model})),
      endpoint_source_up(registry.MakeGauge(kEndpointSourceUp, {model})),
      decision_seconds(registry.MakeHistogram(kDecision, {model})),
      output_length_ratio(registry, kOutputLengthRatio, {model}),
      prompt_tokens_ratio(registry, kPromptTokensRatio, {model}) {
  std::vector<std::string_view> policies = labels.policies;
  policies.emplace_back("none");
  for (const Outcome outcome : kAllOutcomes) {
    requests[static_cast<std::size_t>(outcome)] =
        CounterSet(registry, kRequests, {model, ToString(outcome)}, policies);
  }
}

void ModelMetrics::CountRequest(Outcome outcome, std::string_view policy) {
  requests[static_cast<std::size_t>(outcome)][policy.empty() ? "none" : policy].Add();
}

DeploymentMetrics::DeploymentMetrics(MetricsRegistry& registry, std::string_view model,
                                     std::string_view deployment, const MetricLabels& labels)
    : ttft(registry, kTtft, {model, deployment}),
      tpot(registry, kTpot, {model, deployment}),
      tpat(registry, kTpat, {model, deployment}),
      e2e(registry, kE2e, {model, deployment}),
      queue_seconds(registry, kQueueTime, {model, deployment}),
      slo_attained(registry.MakeCounter(kSloAttained, {model, deployment})),
      slo_missed(registry.MakeCounter(kSloMissed, {model, deployment})),
      ttft_ratio(registry, kTtftRatio, {model, deployment}),
      e2e_ratio(registry, kE2eRatio, {model, deployment}),
      miss_probability_attained(registry, kMissProbability, {model, deployment, "attained"}),
      miss_probability_missed(registry, kMissProbability, {model, deployment, "missed"}),
      profile_age_seconds(registry.MakeGauge(kProfileAge, {model, deployment})),
      profile_faults(registry.MakeGauge(kProfileFaults, {model, deployment})),
      profile_current(registry.MakeGauge(kProfileCurrent, {model, deployment})),
      ejections(registry, kEjections, {model, deployment}, labels.ejection_causes),
      registry_(registry),
      model_(model),
      deployment_(deployment) {}

void DeploymentMetrics::SetProfileOrigin(std::string_view origin) {
  if (origin_ == origin) return;
  origin_ = origin;
  profile_info = registry_.MakeGauge(kProfileInfo, {model_, deployment_, origin_});
  profile_info.Set(1);
}

EndpointMetrics::EndpointMetrics(MetricsRegistry& registry, std::string_view model,
                                 std::string_view deployment, std::string_view endpoint)
    : load(registry.MakeGauge(kEndpointLoad, {model, deployment, endpoint})),
      in_flight(registry.MakeGauge(kEndpointInFlight, {model, deployment, endpoint})),
      foreign_in_flight(
          registry.MakeGauge(kEndpointForeignInFlight, {model, deployment, endpoint})),
      up(registry.MakeGauge(kEndpointUp, {model, deployment, endpoint})),
      drained(registry.MakeGauge(kEndpointDrained, {model, deployment, endpoint})),
      ejected(registry.MakeGauge(kEndpointEjected, {model, deployment, endpoint})) {}

ReplicaMetrics::ReplicaMetrics(MetricsRegistry& registry)
    : connected(registry.MakeGauge(kReplicasConnected, {})),
      lag_seconds(registry.MakeHistogram(kReplicaLag, {})) {}

ReplicaPoolMetrics::ReplicaPoolMetrics(MetricsRegistry& registry, std::string_view model)
    : replicas(registry.MakeGauge(kReplicas, {model})),
      missed(registry.MakeCounter(kReplicaBatchesMissed, {model})) {
  replicas.Set(1);
}

std::span<const MetricInfo* const> HeadraceMetrics() { return kAll; }

std::string MetricsReferenceMarkdown() {
  std::string out =
      R"(<!-- Generated (`make docs`). Do not edit. -->
# Metrics

`GET /metrics` on the admin address returns Prometheus' text format, or OpenMetrics
(`application/openmetrics-text`, version 1.0.0) for those who ask for it, as Prometheus does. Only
there are exemplars: for each bucket of the latency histograms, the trace of the last traced request
in it. The bounds of buckets are numbers with a point there, as the format wants it: `le="1.0"`.

A series appears when it first counts: a reason that never occurred, or a histogram without an
observation, has none. Gauges, `headrace_slo_attained_total` and `headrace_slo_missed_total` are
there from the start, so that their rates are right from the first request on. In sums with others,
write `or vector(0)`. All counters start at 0 with the process. The series of an endpoint are
removed with the endpoint.

The share of requests that met their SLO in the last five minutes, by GPU type:

```
sum by (deployment) (rate(headrace_slo_attained_total[5m]))
  / sum by (deployment) (rate(headrace_slo_attained_total[5m]) + rate(headrace_slo_missed_total[5m]))
```

Whether predictions hold: of the requests that were said to miss their SLO with a probability
between 20 and 50 %, the share that did in the last hour; and all misses beside those expected.

```
(  sum(rate(headrace_miss_probability_bucket{slo="missed", le="0.5"}[1h]))
 - sum(rate(headrace_miss_probability_bucket{slo="missed", le="0.2"}[1h])))
/ (sum(rate(headrace_miss_probability_bucket{le="0.5"}[1h]))
 - sum(rate(headrace_miss_probability_bucket{le="0.2"}[1h])))

sum(increase(headrace_miss_probability_count{slo="missed"}[1h]))
sum(increase(headrace_miss_probability_sum[1h]))
```

`outcome` is one of)";
  for (const Outcome outcome : kAllOutcomes) {
    out += (outcome == kAllOutcomes[0] ? " `" : ", `") + std::string(ToString(outcome)) + "`";
  }
  out += ".\n\n| metric | type | labels | meaning |\n|---|---|---|---|\n";
  for (const MetricInfo* info : kAll) {
    out += "| `" + std::string(info->name) + "` | " + std::string(TypeName(info->type)) + " | ";
    for (const std::string_view label : info->labels) {
      out += (label == info->labels.front() ? "" : ", ") + std::string(label);
    }
    out += " | " + std::string(info->help) + " |\n";
  }
  out += "\n## Buckets\n\n| histogram | upper bounds |\n|---|---|\n";
  for (const MetricInfo* info : kAll) {
    if (info->type != kHistogram) continue;
    out += "| `" + std::string(info->name) + "` |";
    for (const double bound : info->buckets) out += " " + NumberText(bound);
    out += " |\n";
  }
  return out;
}

}  // namespace headrace::telemetry
