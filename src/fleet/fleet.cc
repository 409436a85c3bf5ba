#include "fleet/fleet.h"

#include <algorithm>
#include <cassert>
#include <limits>
#include <map>
#include <string_view>
#include <utility>

#include "fleet/profile_steps.h"

namespace headrace::fleet {
namespace {

// Weight of one finished request in an endpoint's latency: about the last ten count.
constexpr double kLatencyWeight = 0.1;

}  // namespace

void Fleet::Update(std::span<const DeploymentSpec> specs) {
  std::map<std::pair<DeploymentId, std::string_view>, EndpointId> known;
  for (EndpointId id = 0; id < endpoints_.size(); ++id) {
    if (!endpoints_[id].retired) known[{endpoints_[id].deployment, endpoints_[id].address}] = id;
  }

  ++updates_;
  for (Deployment& deployment : deployments_) {
    if (!std::exchange(deployment.retired, true)) deployment.left = updates_;
  }
  std::vector<std::pair<DeploymentId, const EndpointSpec*>> added;
  for (const DeploymentSpec& spec : specs) {
    auto found = std::find_if(deployments_.begin(), deployments_.end(),
                              [&](const Deployment& d) { return d.name == spec.name; });
    const auto id = found == deployments_.end()
                        ? NewDeployment(spec.name, specs)
                        : static_cast<DeploymentId>(found - deployments_.begin());
    deployments_[id].retired = false;
    deployments_[id].max_in_flight = spec.max_in_flight;
    deployments_[id].declared_max_model_len = spec.max_model_len;
    deployments_[id].declared_kv_tokens = spec.kv_tokens;
    for (const EndpointSpec& endpoint : spec.endpoints) {
      const auto same = known.find({id, endpoint.address});
      if (same == known.end() || endpoints_[same->second].instance != endpoint.instance) {
        added.emplace_back(id, &endpoint);
        continue;
      }
      Declare(same->second, endpoint);
      known.erase(same);
    }
  }
  // What is left was not declared again. Retiring comes first: it frees ids for the new ones.
  for (const auto& [key, id] : known) Retire(id);
  EndpointId free = 0;
  for (const auto& [deployment, spec] : added) free = NewEndpoint(deployment, *spec, free) + 1;
  largest_weight_ = 0;
  for (const Endpoint& endpoint : endpoints_) {
    if (!endpoint.retired) largest_weight_ = std::max(largest_weight_, endpoint.weight);
  }
  for (EndpointId id = 0; id < endpoints_.size(); ++id) Refresh(id);
  ReleaseExcess();
  for (DeploymentId id = 0; id < deployments_.size(); ++id) RefreshLimits(id);
}

DeploymentId Fleet::NewDeployment(const std::string& name,
                                  std::span<const DeploymentSpec> declared) {
  // Those that had left before, and have nothing to finish.
  std::vector<bool> gone(deployments_.size());
  for (DeploymentId id = 0; id < deployments_.size(); ++id) {
    const Deployment& known = deployments_[id];
    gone[id] = known.retired && known.left < updates_ &&
               std::ranges::find(declared, known.name, &DeploymentSpec::name) == declared.end();
  }
  for (const Endpoint& endpoint : endpoints_) {
    if (endpoint.all_in_flight() > 0) gone[endpoint.deployment] = false;
  }
  auto id = static_cast<DeploymentId>(deployments_.size());
  if (std::ranges::count(gone, true) >= static_cast<std::ptrdiff_t>(kMostRemembered)) {
    for (DeploymentId other = 0; other < deployments_.size(); ++other) {
      if (!gone[other]) continue;
      if (id == deployments_.size() || deployments_[other].left < deployments_[id].left) id = other;
    }
  } else {
    deployments_.emplace_back();
    all_.choices.emplace_back();
  }
  deployments_[id] = {.name = name, .engine = std::make_shared<EngineBelief>(constants_)};
  return id;
}

EndpointId Fleet::NewEndpoint(DeploymentId deployment, const EndpointSpec& spec, EndpointId id) {
  while (id < endpoints_.size() &&
         !(endpoints_[id].retired && endpoints_[id].all_in_flight() == 0)) {
    ++id;
  }
  if (id == endpoints_.size()) {
    endpoints_.emplace_back();
    last_used_.push_back(0);
    all_.places.push_back(kNotAvailable);
  }
  Endpoint& endpoint = endpoints_[id];
  recent_.Remove(endpoint.breaker.recent());
  endpoint = {.address = spec.address,
              .instance = spec.instance,
              .key = KeyOf(deployments_[deployment].name, spec.address + spec.instance),
              .deployment = deployment,
              .generation = endpoint.generation + 1};
  endpoint.load = model_->Join(deployments_[deployment], endpoint);
  endpoint.load->SetReplicas(replicas_);
  endpoint.forecast = std::make_unique<StepForecast>(deployments_[deployment].engine);
  endpoint.forecast->SetReplicas(replicas_);
  by_key_[endpoint.key] = id;
  deployments_[deployment].up += 1;
  up_ += 1;
  returns_.Erase(id);
  Declare(id, spec);
  if (!spec.up) Mark(id, false);
  return id;
}

void Fleet::Declare(EndpointId id, const EndpointSpec& spec) {
  Endpoint& endpoint = endpoints_[id];
  const int limit = deployments_[endpoint.deployment].max_in_flight;
  endpoint.max_in_flight = spec.max_in_flight > 0 ? spec.max_in_flight : limit;
  endpoint.weight = spec.weight;
  endpoint.load->SetWeight(spec.weight);
}

void Fleet::Retire(EndpointId id) {
  Mark(id, false);
  endpoints_[id].retired = true;
  by_key_.erase(endpoints_[id].key);
}

bool Fleet::SetProfile(const std::string& deployment,
                       std::shared_ptr<const profile::GpuProfile> profile) {
  for (Deployment& known : deployments_) {
    if (known.name != deployment || known.retired) continue;
    known.profile = std::move(profile);
    known.steps_by_profile = known.profile ? StepsBy(*known.profile) : StepBelief{};
    return true;
  }
  return false;
}

void Fleet::SetUp(EndpointId id, bool up) {
  if (id >= endpoints_.size()) return;
  Mark(id, up);
  ReleaseExcess();
}

void Fleet::Mark(EndpointId id, bool up) {
  Endpoint& endpoint = endpoints_[id];
  if (endpoint.retired || endpoint.up == up) return;
  endpoint.up = up;
  deployments_[endpoint.deployment].up += up ? 1 : -1;
  up_ += up ? 1 : -1;
  Refresh(id);
  if (up) ChangeBreaker(id, [](CircuitBreaker& breaker) { breaker.Restarted(); });
}

void Fleet::SetHidden(EndpointId id, bool hidden) {
  endpoints_[id].hidden = hidden;
  Refresh(id);
}

void Fleet::ShowOnly(std::span<const EndpointId> endpoints) {
  few_.choices.resize(all_.choices.size());
  few_.places.resize(endpoints_.size(), kNotAvailable);
  for (const EndpointId id : endpoints) {
    if (all_.places[id] == kNotAvailable) continue;
    SetAvailable(few_, id, true);
    few_.choices[endpoints_[id].deployment].by_load.Set(id, endpoints_[id].load->Order(),
                                                        last_used_[id]);
  }
  shows_few_ = true;
}

void Fleet::ShowAll() {
  shows_few_ = false;
  for (Choices& choices : few_.choices) {
    for (const EndpointId id : choices.available) {
      few_.places[id] = kNotAvailable;
      choices.by_load.Erase(id);
      choices.by_in_flight.Erase(id);
      choices.by_latency.Erase(id);
    }
    choices.available.clear();
    choices.tracks_in_flight = choices.tracks_latency = false;
  }
  few_.available = 0;
}

bool Fleet::SetMaxModelLen(EndpointId id, Tokens max_model_len) {
  if (id >= endpoints_.size() || endpoints_[id].retired) return false;
  endpoints_[id].max_model_len = max_model_len;
  const Deployment& deployment = deployments_[endpoints_[id].deployment];
  const Tokens before = deployment.max_model_len;
  RefreshLimits(endpoints_[id].deployment);
  return deployment.max_model_len != before;
}

bool Fleet::SetKvTokens(EndpointId id, Tokens kv_tokens) {
  if (id >= endpoints_.size() || endpoints_[id].retired) return false;
  endpoints_[id].kv_tokens = kv_tokens;
  const EngineBelief& engine = *deployments_[endpoints_[id].deployment].engine;
  const double before = engine.kv_tokens;
  RefreshLimits(endpoints_[id].deployment);
  return engine.kv_tokens != before;
}

void Fleet::RefreshLimits(DeploymentId id) {
  Deployment& deployment = deployments_[id];
  const auto in_force = [&](auto declared, auto Endpoint::* said) {
    if (declared > 0) return declared;
    auto least = declared;
    for (const Endpoint& endpoint : endpoints_) {
      if (endpoint.deployment != id || endpoint.retired || endpoint.*said == 0) continue;
      least = least == 0 ? endpoint.*said : std::min(least, endpoint.*said);
    }
    return least;
  };
  deployment.max_model_len = in_force(deployment.declared_max_model_len, &Endpoint::max_model_len);
  deployment.engine->kv_tokens =
      static_cast<double>(in_force(deployment.declared_kv_tokens, &Endpoint::kv_tokens));
}

Tokens Fleet::LongestContext() const {
  Tokens longest = 0;
  for (const Deployment& deployment : deployments_) {
    if (deployment.retired) continue;
    if (deployment.max_model_len == 0) return std::numeric_limits<Tokens>::max();
    longest = std::max(longest, deployment.max_model_len);
  }
  return longest;
}

Residence Fleet::Begin(EndpointId id, const Demand& demand, Seconds now) {
  Endpoint& endpoint = endpoints_[id];
  endpoint.prefilling += demand.prompt_tokens;
  last_used_[id] = ++uses_;
  Residence residence{.load = endpoint.load->Start(demand, now)};
  if (keeps_forecasts_) residence.forecast = endpoint.forecast->Start(demand, now);
  return residence;
}

Residence Fleet::Start(EndpointId id, const Demand& demand, Seconds now) {
  Endpoint& endpoint = endpoints_[id];
  Residence residence = Begin(id, demand, now);
  endpoint.in_flight += 1;
  in_flight_ += 1;
  residence.era = endpoint.breaker.Start();
  residence.serial = ++serials_;
  if (keeps_journal_) journal_.Start(residence.serial, endpoint.key, demand, now);
  Refresh(id);
  return residence;
}

Residence Fleet::StartForeign(EndpointId id, const Demand& demand, Seconds now) {
  Residence residence = Begin(id, demand, now);
  endpoints_[id].foreign_in_flight += 1;
  foreign_in_flight_ += 1;
  residence.serial = kNobodys;
  Refresh(id);
  return residence;
}

void Fleet::SetReplicas(int replicas) {
  if (replicas == replicas_) return;
  replicas_ = replicas;
  for (EndpointId id = 0; id < endpoints_.size(); ++id) {
    endpoints_[id].load->SetReplicas(replicas);
    endpoints_[id].forecast->SetReplicas(replicas);
    Refresh(id);
  }
}

void Fleet::KeepJournal(bool keep) {
  keeps_journal_ = keep;
  if (!keep) journal_ = {};
}

void Fleet::FirstToken(EndpointId id, const Residence& residence, Seconds now) {
  Endpoint& endpoint = endpoints_[id];
  const Load before = endpoint.load->Order();
  endpoint.load->FirstToken(residence.load, now);
  if (residence.forecast) endpoint.forecast->FirstToken(*residence.forecast, now);
  if (keeps_journal_ && !residence.foreign()) journal_.FirstToken(residence.serial, now);
  // Nothing else that endpoints are ordered by has changed.
  if (endpoint.load->Order() != before) Refresh(id);
  if (endpoint.breaker.state() == CircuitBreaker::State::kProbing && !residence.foreign()) {
    ChangeBreaker(id, [&](CircuitBreaker& breaker) { breaker.FirstToken(residence.era, now); });
  }
}

void Fleet::Progress(EndpointId id, const Residence& residence, Tokens generated, Seconds now) {
  Endpoint& endpoint = endpoints_[id];
  const Load before = endpoint.load->Order();
  endpoint.load->Progress(residence.load, generated, now);
  if (residence.forecast) endpoint.forecast->Progress(*residence.forecast, generated, now);
  if (keeps_journal_ && !residence.foreign()) journal_.Progress(residence.serial, generated, now);
  if (endpoint.load->Order() != before) Refresh(id);
}

void Fleet::End(EndpointId id, const Residence& residence, const Completion& completion,
                Seconds now, bool judged) {
  Endpoint& endpoint = endpoints_[id];
  (residence.foreign() ? endpoint.foreign_in_flight : endpoint.in_flight) -= 1;
  (residence.foreign() ? foreign_in_flight_ : in_flight_) -= 1;
  assert(endpoint.in_flight >= 0 && endpoint.foreign_in_flight >= 0);
  endpoint.load->End(residence.load, completion, now);
  if (residence.forecast) endpoint.forecast->End(*residence.forecast, completion, now);
  if (completion.output_tokens > 0) {
    ObserveLatency(endpoint, completion.e2e / completion.output_tokens);
  }
  if (!residence.foreign()) {
    if (keeps_journal_) journal_.End(residence.serial, completion, now);
    if (judged) {
      Judge(id, residence, completion, now);
    } else {
      endpoint.breaker.Left(residence.era);
    }
  }
  Refresh(id);
}

void Fleet::ObserveLatency(Endpoint& endpoint, double seconds_per_token) {
  for (double* mean : {&endpoint.normalized_latency, &mean_latency_}) {
    *mean = *mean == 0 ? seconds_per_token : *mean + kLatencyWeight * (seconds_per_token - *mean);
  }
}

std::optional<EndpointId> Fleet::FindEndpoint(const std::string& deployment,
                                              const std::string& address) const {
  for (EndpointId id = 0; id < endpoints_.size(); ++id) {
    const Endpoint& endpoint = endpoints_[id];
    if (!endpoint.retired && endpoint.address == address &&
        deployments_[endpoint.deployment].name == deployment) {
      return id;
    }
  }
  return std::nullopt;
}

const EndpointOrder& Fleet::ByInFlight(DeploymentId deployment) const {
  Choices& choices = shown().choices[deployment];
  if (!choices.tracks_in_flight) {
    choices.tracks_in_flight = true;
    for (const EndpointId id : choices.available) {
      choices.by_in_flight.Set(id, endpoints_[id].WeightedInFlight(), last_used_[id]);
    }
  }
  return choices.by_in_flight;
}

const EndpointOrder& Fleet::ByLatency(DeploymentId deployment) const {
  Choices& choices = shown().choices[deployment];
  if (!choices.tracks_latency) {
    choices.tracks_latency = true;
    for (const EndpointId id : choices.available) {
      choices.by_latency.Set(id, LatencyKey(endpoints_[id]), last_used_[id]);
    }
  }
  return choices.by_latency;
}

bool Fleet::Available(const Endpoint& endpoint) const {
  return endpoint.up && !endpoint.retired && !endpoint.hidden &&
         endpoint.all_in_flight() * replicas_ < endpoint.max_in_flight && endpoint.breaker.Admits();
}

EndpointOrder::Key Fleet::LatencyKey(const Endpoint& endpoint) const {
  const double latency =
      endpoint.normalized_latency > 0 ? endpoint.normalized_latency : mean_latency_;
  // In nanoseconds; a second per token with a thousand in flight is 1e12. While no endpoint's
  // latency is known, requests in flight alone decide.
  return std::max<EndpointOrder::Key>(1, static_cast<EndpointOrder::Key>(latency * 1e9)) *
         (endpoint.all_in_flight() + 1);
}

void Fleet::SetAvailable(View& view, EndpointId id, bool available) {
  std::uint32_t& at = view.places[id];
  if (available == (at != kNotAvailable)) return;
  std::vector<EndpointId>& all = view.choices[endpoints_[id].deployment].available;
  if (available) {
    at = static_cast<std::uint32_t>(all.size());
    all.push_back(id);
    ++view.available;
    return;
  }
  all[at] = all.back();
  view.places[all[at]] = at;
  all.pop_back();
  at = kNotAvailable;
  --view.available;
}

void Fleet::Refresh(EndpointId id) {
  Endpoint& endpoint = endpoints_[id];
  const bool out = endpoint.up && endpoint.breaker.IsOut();
  if (out != endpoint.out) {
    endpoint.out = out;
    out_ += out ? 1 : -1;
    deployments_[endpoint.deployment].out += out ? 1 : -1;
  }
  const bool available = Available(endpoint);
  SetAvailable(all_, id, available);
  Choices& choices = all_.choices[endpoint.deployment];
  if (!available) {
    choices.by_load.Erase(id);
    choices.by_in_flight.Erase(id);
    choices.by_latency.Erase(id);
    return;
  }
  choices.by_load.Set(id, endpoint.load->Order(), last_used_[id]);
  if (choices.tracks_in_flight) {
    choices.by_in_flight.Set(id, endpoint.WeightedInFlight(), last_used_[id]);
  }
  if (choices.tracks_latency) {
    choices.by_latency.Set(id, LatencyKey(endpoint), last_used_[id]);
  }
}

}  // namespace headrace::fleet
