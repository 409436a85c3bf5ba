#include "serving/gateway_metrics.h"

#include <algorithm>
#include <set>
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
  for (const fleet::EngineFault fault : kRetriedFaults) {
    labels.retry_causes.push_back(ToString(fault));
  }
  for (int i = 0; i < fleet::kEngineFaults; ++i) {
    labels.ejection_causes.push_back(ToString(static_cast<fleet::EngineFault>(i)));
  }
  return labels;
}

}  // namespace

PoolObserver::PoolSeries::PoolSeries(telemetry::MetricsRegistry& registry, const std::string& pool)
    : metrics(registry, pool, Labels()) {}

std::shared_ptr<telemetry::HistogramMetric> PoolObserver::AddPool(const std::string& pool) {
  const system::MutexLock lock(mutex_);
  std::shared_ptr<PoolSeries>& series = pools_[pool];
  if (series == nullptr) series = std::make_shared<PoolSeries>(registry_, pool);
  return {series, &series->metrics.decision_seconds};
}

std::shared_ptr<PoolObserver::PoolSeries> PoolObserver::SeriesOf(std::string_view pool) {
  const system::MutexLock lock(mutex_);
  const auto found = pools_.find(pool);
  return found == pools_.end() ? nullptr : found->second;
}

// --- Requests

void PoolObserver::OnInvalid(int status) {
  process_.invalid_requests[std::to_string(status)].Add();
}

void PoolObserver::OnFinished(const FinishedRequest& request) {
  const std::shared_ptr<PoolSeries> series = SeriesOf(request.pool);
  if (series == nullptr) return;
  telemetry::ModelMetrics& metrics = series->metrics;
  metrics.CountRequest(request.outcome, request.policy);
  if (request.refused) metrics.refused[ToString(*request.refused)].Add();
  if (request.fallback != scheduler::FallbackCause::kNone)
    metrics.fallback[ToString(request.fallback)].Add();
  for (const FailedTry& failed : request.failed_tries)
    metrics.retries[ToString(failed.fault)].Add();
  if (request.out_of_budget) metrics.retry_budget_exhausted->Add();

  if (request.endpoint == nullptr || request.endpoint->metrics == nullptr) return;
  telemetry::DeploymentMetrics& served = *request.endpoint->metrics;
  const std::string trace_id = request.trace && request.trace->sampled()
                                   ? tracing::ToText(request.trace->context.trace)
                                   : std::string();
  served.queue_seconds->Observe(request.queued, trace_id);
  if (request.CountsForSlo()) {
    (request.MetSlo() ? served.slo_attained : served.slo_missed).Add();
    // One that failed says nothing of the forecast, one that took too long does.
    if (request.outlook && request.outcome != telemetry::Outcome::kFailed &&
        request.outcome != telemetry::Outcome::kEngineError) {
      (request.MetSlo() ? served.miss_probability_attained : served.miss_probability_missed)
          ->Observe(request.outlook->miss, trace_id);
    }
  }
  if (request.outcome != telemetry::Outcome::kCompleted || !request.has_prompt) return;
  const slo::RequestLatency& latency = request.latency;
  served.e2e->Observe(latency.e2e, trace_id);
  if (request.unread) return;
  if (latency.ttft) served.ttft->Observe(*latency.ttft, trace_id);
  served.tpat->Observe(latency.Tpat(), trace_id);
  // A response that came all at once has no time between its tokens.
  const bool in_pieces = latency.ttft && latency.e2e > *latency.ttft;
  if (in_pieces && latency.output_tokens > 1) served.tpot->Observe(*latency.Tpot(), trace_id);
  if (request.outlook) {
    if (in_pieces) {
      served.ttft_ratio->Observe(*latency.ttft / request.PredictedTtft(), trace_id);
    }
    if (request.counted) served.e2e_ratio->Observe(latency.e2e / request.PredictedE2e(), trace_id);
  }
  if (!request.counted) return;
  if (latency.output_tokens > 0 && request.expected_output_tokens > 0) {
    metrics.output_length_ratio->Observe(static_cast<double>(latency.output_tokens) /
                                         request.expected_output_tokens);
  }
  if (latency.prompt_tokens > 0 && request.estimated_prompt_tokens > 0) {
    metrics.prompt_tokens_ratio->Observe(static_cast<double>(latency.prompt_tokens) /
                                         request.estimated_prompt_tokens);
  }
}

// --- The fleet

std::shared_ptr<telemetry::DeploymentMetrics> PoolObserver::DeploymentSeries(
    const std::string& pool, const std::string& deployment) {
  const system::MutexLock lock(mutex_);
  std::shared_ptr<telemetry::DeploymentMetrics>& series = pools_.at(pool)->deployments[deployment];
  if (series == nullptr) {
    series = std::make_shared<telemetry::DeploymentMetrics>(registry_, pool, deployment, Labels());
  }
  return series;
}

void PoolObserver::SetFleet(const std::string& pool, const discovery::EndpointSnapshot& snapshot) {
  std::set<std::string> deployments;
  std::set<std::pair<std::string, std::string>> endpoints;
  for (const discovery::DiscoveredDeployment& deployment : snapshot) {
    deployments.insert(deployment.name);
    DeploymentSeries(pool, deployment.name);
    for (const discovery::DiscoveredEndpoint& endpoint : deployment.endpoints) {
      endpoints.emplace(deployment.name, endpoint.address);
    }
  }
  const system::MutexLock lock(mutex_);
  PoolSeries& series = *pools_.at(pool);
  std::erase_if(series.deployments,
                [&](const auto& entry) { return !deployments.contains(entry.first); });
  std::erase_if(series.endpoints,
                [&](const auto& entry) { return !endpoints.contains(entry.first); });
  for (const auto& endpoint : endpoints) {
    series.endpoints.try_emplace(endpoint, registry_, pool, endpoint.first, endpoint.second);
  }
}

void PoolObserver::SetSourceUp(const std::string& pool, bool up) {
  const system::MutexLock lock(mutex_);
  const auto found = pools_.find(pool);
  if (found != pools_.end()) found->second->metrics.endpoint_source_up.Set(up ? 1 : 0);
}

void PoolObserver::SetProfile(const std::string& pool, const std::string& deployment,
                              const discovery::ProfileReading& reading, Seconds age,
                              std::size_t faults) {
  const system::MutexLock lock(mutex_);
  const auto& deployments = pools_.at(pool)->deployments;
  const auto series = deployments.find(deployment);
  if (series == deployments.end()) return;  // Not in the fleet.
  telemetry::DeploymentMetrics& metrics = *series->second;
  const bool current = reading.error.empty();
  const std::size_t all_faults = reading.faults.size() + faults + (current ? 0 : 1);
  metrics.SetProfileOrigin(reading.origin);
  metrics.profile_age_seconds.Set(age);
  metrics.profile_faults.Set(static_cast<double>(all_faults));
  metrics.profile_current.Set(current ? 1 : 0);
}

void PoolObserver::Refresh(const Pools& pools, int connections, double dropped) {
  process_.connections.Set(connections);
  {
    const system::MutexLock lock(mutex_);
    process_.access_log_dropped.Add(std::max(0.0, dropped - dropped_));
    dropped_ = std::max(dropped, dropped_);
  }
  const PoolList served = pools.list();
  for (const auto& pool : served) {
    const RouterStatus status = pool->router().Status();
    const system::MutexLock lock(mutex_);
    PoolSeries& series = *pools_.at(pool->name());
    series.metrics.queue_length.Set(static_cast<double>(status.waiting));
    series.metrics.queue_bytes.Set(static_cast<double>(status.queue_bytes));
    for (const auto& deployment : status.deployments) {
      for (const auto& endpoint : deployment.endpoints) {
        const auto gauges = series.endpoints.find({deployment.name, endpoint.address});
        if (endpoint.retired || gauges == series.endpoints.end()) continue;
        gauges->second.load.Set(endpoint.load);
        gauges->second.in_flight.Set(endpoint.in_flight);
        gauges->second.foreign_in_flight.Set(endpoint.foreign_in_flight);
        gauges->second.up.Set(endpoint.up ? 1 : 0);
        gauges->second.drained.Set(endpoint.drained ? 1 : 0);
        gauges->second.ejected.Set(endpoint.ejection.out ? 1 : 0);
      }
    }
  }
  const system::MutexLock lock(mutex_);
  std::erase_if(pools_, [&](const auto& known) {
    const bool serves =
        std::ranges::any_of(served, [&](const auto& pool) { return pool->name() == known.first; });
    return !serves && known.second.use_count() == 1;
  });
}

}  // namespace headrace::serving
