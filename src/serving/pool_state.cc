#include "serving/pool_state.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>

namespace headrace::serving {
namespace {

RouterStatus::EjectionStatus EjectionStatusOf(const fleet::CircuitBreaker& breaker, Seconds now) {
  RouterStatus::EjectionStatus status{.state = ToString(breaker.state()),
                                      .out = breaker.IsOut(),
                                      .failures = breaker.failures(),
                                      .last_fault = breaker.last_fault()};
  if (breaker.IsOut() && breaker.until() != kNever) {
    status.returns_in = std::max(0.0, breaker.until() - now);
  }
  return status;
}

// A sub-queue of requests that can no longer be in time.
bool IsLate(scheduler::WaitQueue::Key size) {
  using scheduler::WaitQueue;
  const WaitQueue::Key first = WaitQueue::LimitedTo(0);
  return size == WaitQueue::kLate || (size >= first && (size - first) % 2 == 1);
}

}  // namespace

// --- The fleet

void PoolState::SetEndpoints(std::span<const EndpointInfo> endpoints,
                             std::span<const std::string> closed) {
  const fleet::Fleet& fleet = scheduler.fleet();
  std::map<std::pair<std::string_view, std::string_view>, fleet::EndpointId> ids;
  for (fleet::EndpointId id = 0; id < fleet.endpoints().size(); ++id) {
    const fleet::Endpoint& endpoint = fleet.endpoint(id);
    if (!endpoint.retired) ids[{fleet.deployment_of(id).name, endpoint.address}] = id;
  }
  FleetNames all;
  for (const fleet::Deployment& deployment : fleet.deployments()) {
    all.deployments.push_back(deployment.name);
  }
  for (const fleet::Endpoint& endpoint : fleet.endpoints()) {
    all.endpoints.push_back({endpoint.deployment, endpoint.address});
  }
  names = std::make_shared<const FleetNames>(std::move(all));
  EndpointList before(fleet.endpoints().size());
  std::ranges::move(infos, before.begin());
  infos.assign(before.size(), nullptr);
  why_down.resize(before.size());
  why_closed.assign(before.size(), "");
  for (std::size_t i = 0; i < endpoints.size(); ++i) {
    EndpointInfo info = endpoints[i];
    const fleet::EndpointId id = ids.at({info.deployment, info.address});
    info.id = id;
    why_closed[id] = closed[i];
    std::shared_ptr<const EndpointInfo>& known = before[id];
    // Of one that has left, whose id is given to another: nothing is known of that one.
    if (known != nullptr &&
        (known->address != info.address || known->deployment != info.deployment ||
         known->instance != info.instance)) {
      known = nullptr;
    }
    // What was reached once is not lost because it cannot be looked up now, nor the way there.
    if (known != nullptr && known->socket && !info.socket) {
      info.socket = known->socket;
      if (info.access == nullptr) info.access = known->access;
      info.fault.clear();
    }
    const bool stays = known != nullptr && *known == info;
    if (known == nullptr || !info.socket) why_down[id] = info.fault;
    infos[id] = stays ? std::move(known) : std::make_shared<const EndpointInfo>(std::move(info));
  }
  by_address.clear();
  for (const auto& info : infos) {
    if (info == nullptr) continue;
    std::set<std::string> addresses{info->address};
    if (info->socket) {
      addresses.insert(info->socket->ToString());
      const auto parts = system::ParseHostPort(info->socket->ToString());
      if (parts) addresses.insert(parts->host);
    }
    for (const std::string& address : addresses) by_address.emplace(address, info->id);
  }
}

void PoolState::ForgetDrains(std::span<const EndpointInfo> endpoints) {
  std::erase_if(drained, [&](const std::string& address) {
    const auto there = std::ranges::find(endpoints, address, &EndpointInfo::address);
    return there == endpoints.end() || std::ranges::any_of(infos, [&](const auto& info) {
             return info != nullptr && info->address == address &&
                    info->instance != there->instance;
           });
  });
}

std::vector<fleet::EndpointHandle> PoolState::Find(std::span<const std::string> addresses) const {
  std::vector<fleet::EndpointId> ids;
  for (const std::string& address : addresses) {
    const auto [first, last] = by_address.equal_range(address);
    for (auto found = first; found != last; ++found) ids.push_back(found->second);
  }
  std::ranges::sort(ids);
  const auto repeated = std::ranges::unique(ids);
  ids.erase(repeated.begin(), repeated.end());
  std::vector<fleet::EndpointHandle> handles;
  handles.reserve(ids.size());
  for (const fleet::EndpointId id : ids) handles.push_back(scheduler.fleet().HandleOf(id));
  return handles;
}

// --- What others see

RouterStatus PoolState::Status(Seconds now) const {
  RouterStatus status;
  const fleet::Fleet& fleet = scheduler.fleet();
  for (const fleet::Deployment& deployment : fleet.deployments()) {
    status.deployments.push_back({.name = deployment.name,
                                  .retired = deployment.retired,
                                  .max_model_len = deployment.max_model_len,
                                  .kv_tokens = static_cast<Tokens>(deployment.engine->kv_tokens),
                                  .profile = deployment.profile});
    using StreamOptions = RouterStatus::StreamOptions;
    const auto asked = stream_options.find(deployment.name);
    status.deployments.back().stream_options = asked == stream_options.end() ? StreamOptions::kOff
                                               : *asked->second              ? StreamOptions::kAsked
                                                                : StreamOptions::kRefused;
    if (!fleet.keeps_forecasts()) continue;
    status.deployments.back().engine = {deployment.engine->steps.belief(),
                                        deployment.engine->steps.samples()};
  }
  for (const fleet::Endpoint& endpoint : fleet.endpoints()) {
    if (endpoint.retired && endpoint.in_flight == 0) continue;
    const auto id = static_cast<fleet::EndpointId>(&endpoint - fleet.endpoints().data());
    status.deployments[endpoint.deployment].endpoints.push_back(
        {.address = endpoint.address,
         .up = endpoint.retired ? endpoint.up : why_down[id].empty(),
         .drained = !endpoint.retired && IsDrained(*infos[id]),
         .retired = endpoint.retired,
         .in_flight = endpoint.in_flight,
         .foreign_in_flight = endpoint.foreign_in_flight,
         .load = fleet::LoadFraction(endpoint.load->Order()),
         .normalized_latency = endpoint.normalized_latency,
         .ejection = EjectionStatusOf(endpoint.breaker, now)});
    if (!endpoint.retired) {
      status.deployments[endpoint.deployment].endpoints.back().fault =
          why_down[id].empty() ? why_closed[id] : why_down[id];
    }
    if (!fleet.keeps_forecasts()) continue;
    const fleet::StepForecast& forecast = *endpoint.forecast;
    status.deployments[endpoint.deployment].endpoints.back().forecast = {
        forecast.scale(), forecast.residents(), forecast.prompts_in_line(), forecast.Backlog()};
  }
  std::erase_if(status.deployments, [&](const RouterStatus::DeploymentStatus& deployment) {
    return deployment.retired && deployment.endpoints.empty();
  });
  std::map<scheduler::WaitQueue::Key, std::size_t> lengths;
  std::size_t late = 0;
  for (const scheduler::WaitQueue::SubQueue& queue : scheduler.queue().SubQueues()) {
    const scheduler::WaitQueue::Key size = scheduler::WaitQueue::SizeOf(queue.key);
    if (IsLate(size)) {
      late += queue.length;
    } else {
      lengths[std::min(size, scheduler::WaitQueue::kUnranked)] += queue.length;
    }
  }
  for (const auto& [size, length] : lengths) {
    const bool ranked = size != scheduler::WaitQueue::kUnranked;
    const auto input = static_cast<int>(size % kLog2Buckets);
    const auto output = static_cast<int>(size / kLog2Buckets);
    status.sub_queues.push_back(
        {ranked ? Log2BucketCentre(input) : 0, ranked ? Log2BucketCentre(output) : 0, length});
  }
  if (late > 0) status.sub_queues.push_back({.length = late, .late = true});
  status.waiting = scheduler.waiting();
  status.queue_bytes = scheduler.queue_bytes();
  status.running = scheduler.running();
  status.learned_lengths = scheduler.length_predictor().samples();
  status.tenants = scheduler.tenant_shares().tenants() - 1;  // Without those that nobody names.
  for (const scheduler::TenantWeight& named : scheduler.options().tenant_weights) {
    status.tenant_shares.push_back(scheduler.tenant_shares().Share(named.tenant));
  }
  return status;
}

RefusalFacts PoolState::WhyRefused(const scheduler::Decision& decision,
                                   const scheduler::Arrival& arrival) const {
  RefusalFacts facts{.reason = *decision.refused,
                     .prompt_tokens = arrival.prompt_tokens,
                     .output_tokens = decision.length.tokens,
                     .context = arrival.context,
                     .queued = decision.queued,
                     .hold = decision.hold,
                     .held_cost = decision.held_cost};
  facts.waiting = scheduler.waiting();
  facts.queue_timeout = scheduler.options().queue_timeout;
  if (facts.reason == scheduler::RefusalReason::kQueueFull ||
      facts.reason == scheduler::RefusalReason::kQueueTimeout) {
    return facts;
  }
  for (const auto& info : infos) {
    if (info == nullptr || !IsDrained(*info)) continue;
    facts.drained += why_down[info->id].empty() ? 1 : 0;
  }
  const auto deployments = scheduler.fleet().deployments();
  const auto verdicts = scheduler.Explain(arrival, decision.length.tokens, 0);
  std::set<fleet::DeploymentId> among;
  std::set<fleet::DeploymentId> among_up;
  if (arrival.among != nullptr) {
    const fleet::Fleet& fleet = scheduler.fleet();
    for (const fleet::EndpointHandle handle : *arrival.among) {
      if (!fleet.Has(handle)) continue;
      const fleet::Endpoint& endpoint = fleet.endpoint(handle.id);
      among.insert(endpoint.deployment);
      if (endpoint.up) among_up.insert(endpoint.deployment);
    }
    facts.limit = among.empty() ? RefusalFacts::Limit::kNowhere : RefusalFacts::Limit::kSome;
  }
  for (fleet::DeploymentId id = 0; id < deployments.size(); ++id) {
    const fleet::Deployment& deployment = deployments[id];
    if (deployment.retired || (arrival.among != nullptr && !among.contains(id))) continue;
    const bool up = arrival.among != nullptr ? among_up.contains(id) : deployment.up > 0;
    facts.deployments.push_back({deployment.name, up, deployment.max_model_len, verdicts[id]});
  }
  return facts;
}

}  // namespace headrace::serving
