#include "admin/status_json.h"

#include <nlohmann/json.hpp>

namespace headrace::admin {
namespace {

using Json = nlohmann::ordered_json;

Json SloJson(const slo::Slo& slo) {
  Json json = Json::object();
  if (slo.ttft) json["ttft_s"] = *slo.ttft;
  if (slo.tpot) json["tpot_s"] = *slo.tpot;
  if (slo.tpat) json["tpat_s"] = *slo.tpat;
  if (slo.e2e) json["e2e_s"] = *slo.e2e;
  return json;
}

// state: "in force", "missing" (there never was one), or "stale" (the last good one is in force,
// what is there now cannot be used).
Json ProfileJson(const serving::ProfileStatus& status, Seconds unix_now) {
  const discovery::ProfileReading& reading = status.reading;
  Json json;
  json["state"] = reading.error.empty() ? "in force" : reading.profile ? "stale" : "missing";
  json["origin"] = reading.origin;
  if (reading.profile) {
    json["created"] = reading.profile->created;
    if (reading.profile->created > 0) json["age_s"] = unix_now - reading.profile->created;
    json["cost"] = reading.profile->cost;
    json["slo"] = SloJson(reading.profile->slo);
    if (!json["slo"].empty()) json["slo"]["percentile"] = reading.profile->slo.percentile;
  }
  if (!reading.error.empty()) json["error"] = reading.error;
  json["faults"] = status.faults;
  for (const profile::ProfileFault& fault : reading.faults) json["faults"].push_back(fault.message);
  return json;
}

Json EndpointJson(const serving::RouterStatus::EndpointStatus& endpoint) {
  Json json;
  json["address"] = endpoint.address;
  json["up"] = endpoint.up;
  if (endpoint.retired) json["retired"] = true;
  json["in_flight"] = endpoint.in_flight;
  json["load"] = endpoint.load;
  json["seconds_per_token"] = endpoint.normalized_latency;
  return json;
}

Json QueueJson(const serving::RouterStatus& status) {
  Json json;
  json["length"] = status.waiting;
  json["bytes"] = status.queue_bytes;
  json["sub_queues"] = Json::array();
  for (const auto& queue : status.sub_queues) {
    json["sub_queues"].push_back({{"prompt_tokens", queue.prompt_tokens},
                                  {"output_tokens", queue.output_tokens},
                                  {"length", queue.length}});
  }
  return json;
}

Json ModelJson(const config::ModelConfig& config, const serving::Pool& pool,
               const std::vector<serving::ProfileStatus>& profiles, Seconds unix_now) {
  const serving::RouterStatus status = pool.router().Status();
  Json json;
  json["name"] = config.name;
  json["policy"] = config.policy;
  if (config.slo) json["slo"] = SloJson(*config.slo);
  json["in_flight"] = status.running;
  json["queue"] = QueueJson(status);
  json["learned_lengths"] = status.learned_lengths;
  const predict::PromptEstimator estimator = pool.prompt_estimator();
  json["prompt"] = {{"tokens_per_byte", estimator.tokens_per_byte()},
                    {"tokens_per_request", estimator.tokens_per_request()}};
  json["deployments"] = Json::array();
  for (const auto& deployment : status.deployments) {
    Json entry;
    entry["name"] = deployment.name;
    for (const serving::ProfileStatus& profile : profiles) {
      if (profile.pool == config.name && profile.deployment == deployment.name) {
        entry["profile"] = ProfileJson(profile, unix_now);
      }
    }
    entry["endpoints"] = Json::array();
    for (const auto& endpoint : deployment.endpoints) {
      entry["endpoints"].push_back(EndpointJson(endpoint));
    }
    json["deployments"].push_back(std::move(entry));
  }
  return json;
}

}  // namespace

std::string StatusJson(const gateway::Gateway& gateway, Seconds unix_now) {
  const auto profiles = gateway.Profiles();
  Json json;
  json["version"] = HEADRACE_VERSION;
  json["ready"] = gateway.Ready();
  json["models"] = Json::array();
  for (std::size_t i = 0; i < gateway.pools().size(); ++i) {
    json["models"].push_back(
        ModelJson(gateway.config().models[i], *gateway.pools()[i], profiles, unix_now));
  }
  // Names in Redis may be anything.
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace headrace::admin
