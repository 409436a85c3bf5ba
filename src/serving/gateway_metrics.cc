#include "serving/gateway_metrics.h"

#include <utility>

namespace headrace::serving {
namespace {

telemetry::MetricLabels Labels() {
  telemetry::MetricLabels labels;
  for (const routing::PolicyInfo& policy : routing::Policies())
    labels.policies.push_back(policy.name);
  for (int i = 0; i < scheduler::kRefusalReasons; ++i) {
    labels.refusal_reasons.push_back(ToString(static_cast<scheduler::RefusalReason>(i)));
  }
  for (int i = 1; i < scheduler::kFallbackCauses; ++i) {
    labels.fallback_causes.push_back(ToString(static_cast<scheduler::FallbackCause>(i)));
  }
  return labels;
}

}  // namespace

ModelObserver::Model::Model(telemetry::MetricsRegistry& registry, const config::ModelConfig& config)
    : metrics(registry, config.name, Labels()) {
  for (const config::DeploymentConfig& deployment : config.deployments) {
    deployments.try_emplace(deployment.name, registry, config.name, deployment.name);
    for (const std::string& endpoint : deployment.endpoints) {
      endpoints.try_emplace({deployment.name, endpoint}, registry, config.name, deployment.name,
                            endpoint);
    }
  }
}

telemetry::HistogramMetric& ModelObserver::AddModel(const config::ModelConfig& model) {
  return models_.try_emplace(model.name, registry_, model).first->second.metrics.decision_seconds;
}

void ModelObserver::OnInvalid(int status) {
  process_.invalid_requests[std::to_string(status)].Add();
}

void ModelObserver::OnFinished(const FinishedRequest& request) {
  const auto model = models_.find(request.model);
  if (model == models_.end()) return;
  telemetry::ModelMetrics& metrics = model->second.metrics;
  metrics.CountRequest(request.outcome, request.policy);
  if (request.refused) metrics.rejected[ToString(*request.refused)].Add();
  if (request.fallback != scheduler::FallbackCause::kNone)
    metrics.fallback[ToString(request.fallback)].Add();

  const auto deployment = model->second.deployments.find(request.deployment);
  if (deployment == model->second.deployments.end()) return;
  telemetry::DeploymentMetrics& served = deployment->second;
  served.queue_seconds.Observe(request.queued);
  if (request.CountsForSlo()) (request.MetSlo() ? served.slo_attained : served.slo_missed).Add();
  if (request.outcome != telemetry::Outcome::kCompleted || request.error_status) return;
  const slo::RequestLatency& latency = request.latency;
  served.ttft.Observe(latency.ttft);
  served.e2e.Observe(latency.e2e);
  served.tpat.Observe(latency.Tpat());
  // An answer that came all at once has no time between its tokens.
  if (latency.output_tokens > 1 && latency.e2e > latency.ttft) {
    served.tpot.Observe(latency.Tpot());
  }
  if (!request.counted) return;
  if (latency.output_tokens > 0 && request.expected_output_tokens > 0) {
    metrics.output_length_ratio.Observe(static_cast<double>(latency.output_tokens) /
                                        request.expected_output_tokens);
  }
  if (latency.prompt_tokens > 0 && request.estimated_prompt_tokens > 0) {
    metrics.prompt_tokens_ratio.Observe(static_cast<double>(latency.prompt_tokens) /
                                        request.estimated_prompt_tokens);
  }
}

void ModelObserver::Refresh(const std::vector<std::unique_ptr<ServedModel>>& models,
                            int connections) {
  process_.connections.Set(connections);
  for (const auto& served : models) {
    const auto model = models_.find(served->name);
    if (model == models_.end()) continue;
    const RouterStatus status = served->router.Status();
    model->second.metrics.queue_length.Set(static_cast<double>(status.waiting));
    model->second.metrics.queue_bytes.Set(static_cast<double>(status.queue_bytes));
    for (const auto& deployment : status.deployments) {
      for (const auto& endpoint : deployment.endpoints) {
        const auto gauges = model->second.endpoints.find({deployment.name, endpoint.address});
        if (gauges == model->second.endpoints.end()) continue;
        gauges->second.load.Set(endpoint.load);
        gauges->second.in_flight.Set(endpoint.in_flight);
        gauges->second.up.Set(endpoint.up ? 1 : 0);
      }
    }
  }
}

void ModelObserver::SetProfile(const std::string& model, const std::string& deployment,
                               const discovery::ProfileReading& reading, Seconds age,
                               std::size_t faults) {
  const auto known = models_.find(model);
  if (known == models_.end()) return;
  const auto metrics = known->second.deployments.find(deployment);
  if (metrics == known->second.deployments.end()) return;
  const bool current = reading.error.empty();
  const std::size_t all_faults = reading.faults.size() + faults + (current ? 0 : 1);
  metrics->second.SetProfileOrigin(reading.origin);
  metrics->second.profile_age_seconds.Set(age);
  metrics->second.profile_faults.Set(static_cast<double>(all_faults));
  metrics->second.profile_current.Set(current ? 1 : 0);
}

}  // namespace headrace::serving
