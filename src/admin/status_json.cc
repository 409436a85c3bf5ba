#include "admin/status_json.h"

#include <algorithm>
#include <cstddef>
#include <memory>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "admin/slo_json.h"
#include "base/json_writer.h"
#include "base/text.h"

namespace headrace::admin {
namespace {

// state: "in force", "missing" (there never was one), or "stale" (the last good one is in force,
// the present one cannot be used).
void WriteProfile(const serving::ProfileStatus& status, Seconds unix_now, JsonWriter& json) {
  const discovery::ProfileReading& reading = status.reading;
  json.BeginObject();
  json.Member("state", !reading.error.empty() ? reading.profile ? "stale" : "missing"
                       : reading.profile      ? "in force"
                                              : "none");
  json.Member("origin", reading.origin);
  if (reading.profile) {
    const profile::GpuProfile& profile = *reading.profile;
    json.Member("created", profile.created);
    if (profile.created > 0) json.Member("age_s", unix_now - profile.created);
    json.Member("cost", profile.cost);
    json.Key("slo").BeginObject();
    WriteSlo(profile.slo, json);
    if (profile.slo.HasLatency()) json.Member("percentile", profile.slo.percentile);
    json.EndObject();
  }
  if (!reading.error.empty()) json.Member("error", reading.error);
  json.Key("faults").BeginArray();
  for (const std::string& fault : status.faults) json.Value(fault);
  for (const profile::ProfileFault& fault : reading.faults) json.Value(fault.message);
  json.EndArray().EndObject();
}

std::string_view StreamOptionsText(serving::RouterStatus::StreamOptions options) {
  switch (options) {
    case serving::RouterStatus::StreamOptions::kAsked:
      return "asked";
    case serving::RouterStatus::StreamOptions::kOff:
      return "off";
    case serving::RouterStatus::StreamOptions::kRefused:
      return "refused";
  }
  return "?";
}

void WriteEndpoint(const serving::RouterStatus::EndpointStatus& endpoint, JsonWriter& json) {
  json.BeginObject().Member("address", endpoint.address).Member("up", endpoint.up);
  if (!endpoint.fault.empty()) json.Member("fault", endpoint.fault);
  if (endpoint.drained) json.Member("drained", true);
  if (endpoint.retired) json.Member("retired", true);
  json.Member("in_flight", endpoint.in_flight);
  if (endpoint.foreign_in_flight > 0) json.Member("foreign_in_flight", endpoint.foreign_in_flight);
  json.Member("load", endpoint.load).Member("seconds_per_token", endpoint.normalized_latency);
  const serving::RouterStatus::EjectionStatus& ejection = endpoint.ejection;
  json.Key("ejection").BeginObject().Member("state", ejection.state);
  json.Member("failures_in_a_row", ejection.failures);
  if (ejection.last_fault) json.Member("last_fault", ToString(*ejection.last_fault));
  if (ejection.returns_in) json.Key("returns_in_s").Raw(FormatFixed(*ejection.returns_in, 1));
  json.EndObject();
  if (endpoint.forecast) {
    json.Key("forecast")
        .BeginObject()
        .Key("scale")
        .Raw(FormatFixed(endpoint.forecast->scale, 3))
        .Member("residents", endpoint.forecast->residents)
        .Member("prompts_in_line", endpoint.forecast->prompts_in_line)
        .Key("backlog_ms")
        .Raw(FormatFixed(endpoint.forecast->backlog * 1e3, 1))
        .EndObject();
  }
  json.EndObject();
}

void WriteQueue(const serving::RouterStatus& status, JsonWriter& json) {
  json.BeginObject().Member("length", status.waiting).Member("bytes", status.queue_bytes);
  json.Key("sub_queues").BeginArray();
  for (const serving::RouterStatus::SubQueueStatus& queue : status.sub_queues) {
    json.BeginObject()
        .Member("prompt_tokens", queue.prompt_tokens)
        .Member("output_tokens", queue.output_tokens)
        .Member("length", queue.length);
    if (queue.late) json.Member("late", true);
    json.EndObject();
  }
  json.EndArray().EndObject();
}

// Only the tenants that the configuration names: clients choose the names of the others, and API
// keys are nobody's business.
void WriteTenants(const std::vector<config::TenantConfig>& named,
                  const serving::RouterStatus& status, JsonWriter& json) {
  json.BeginObject().Member("known", status.tenants).Key("named").BeginArray();
  for (std::size_t i = 0; i < std::min(named.size(), status.tenant_shares.size()); ++i) {
    json.BeginObject()
        .Member("name", named[i].name)
        .Member("weight", named[i].weight)
        .Member("gpu_share", status.tenant_shares[i])
        .EndObject();
  }
  json.EndArray().EndObject();
}

void WritePrompts(const predict::PromptEstimator& estimator, JsonWriter& json) {
  using Form = predict::PromptSize::Form;
  json.BeginObject();
  for (const auto& [name, form] :
       {std::pair("plain", Form::kPlain), {"chat", Form::kChat}, {"tools", Form::kTools}}) {
    const predict::TokenLine& line = estimator.line(form);
    json.Key(name)
        .BeginObject()
        .Member("tokens_per_byte", line.slope())
        .Member("tokens_per_request", line.constant())
        .Member("samples", line.samples())
        .EndObject();
  }
  json.Key("unsized_parts")
      .BeginObject()
      .Member("tokens_per_part", estimator.tokens_per_part())
      .Member("samples", estimator.unsized_samples())
      .EndObject()
      .EndObject();
}

void WritePool(const config::ModelConfig& config, const serving::Pool& pool,
               const std::vector<serving::ProfileStatus>& profiles, Seconds unix_now,
               JsonWriter& json) {
  const serving::RouterStatus status = pool.router().Status();
  json.BeginObject().Member("name", config.name);
  if (!config.aliases.empty()) {
    json.Key("aliases").BeginArray();
    for (const std::string& alias : config.aliases) json.Value(alias);
    json.EndArray();
  }
  json.Member("policy", config.policy);
  if (config.slo) {
    json.Key("slo").BeginObject();
    WriteSlo(*config.slo, json);
    json.EndObject();
  }
  json.Member("in_flight", status.running).Key("queue");
  WriteQueue(status, json);
  json.Key("tenants");
  WriteTenants(config.tenants, status, json);
  json.Member("learned_lengths", status.learned_lengths).Key("prompts");
  WritePrompts(pool.prompt_estimator(), json);
  const std::string source_fault = pool.source_fault();
  if (!source_fault.empty()) json.Member("source_fault", source_fault);
  json.Key("deployments").BeginArray();
  for (const serving::RouterStatus::DeploymentStatus& deployment : status.deployments) {
    json.BeginObject().Member("name", deployment.name);
    if (deployment.max_model_len > 0) json.Member("max_model_len", deployment.max_model_len);
    if (deployment.kv_tokens > 0) json.Member("kv_tokens", deployment.kv_tokens);
    json.Member("stream_options", StreamOptionsText(deployment.stream_options));
    for (const serving::ProfileStatus& profile : profiles) {
      if (profile.pool != config.name || profile.deployment != deployment.name) continue;
      json.Key("profile");
      WriteProfile(profile, unix_now, json);
    }
    if (deployment.engine) {
      const fleet::StepBelief& steps = deployment.engine->steps;
      json.Key("engine").BeginObject();
      json.Key("a_ms").Raw(FormatFixed(steps.a * 1e3, 3));
      json.Key("b_us").Raw(FormatFixed(steps.b * 1e6, 3));
      json.Key("c_us").Raw(FormatFixed(steps.c * 1e6, 3));
      json.Key("d_us").Raw(FormatFixed(steps.d * 1e6, 5));
      json.Member("samples", deployment.engine->samples).EndObject();
    }
    json.Key("endpoints").BeginArray();
    for (const auto& endpoint : deployment.endpoints) WriteEndpoint(endpoint, json);
    json.EndArray().EndObject();
  }
  json.EndArray().EndObject();
}

void WriteFile(const gateway::FollowedStatus& file, JsonWriter& json) {
  json.BeginObject()
      .Member("option", file.option)
      .Member("file", file.file)
      .Member("state", file.fault.empty() ? "in force" : "stale")
      .Member("fault", file.fault);
  if (file.ends > 0) json.Key("ends").Raw(FormatFixed(file.ends, 0));
  json.EndObject();
}

void WriteReplicas(const serving::ReplicaStatus& status, JsonWriter& json) {
  json.BeginObject()
      .Member("name", status.name)
      .Member("group", status.group)
      .Member("connected", status.connected)
      .Key("lag_ms")
      .Raw(FormatFixed(status.lag * 1e3, 1))
      .Key("models")
      .BeginArray();
  for (const serving::ReplicaStatus::PoolStatus& pool : status.pools) {
    json.BeginObject()
        .Member("name", pool.pool)
        .Member("replicas", pool.replicas)
        .Member("batches_missed", pool.missed)
        .Key("others")
        .BeginArray();
    for (const serving::ReplicaStatus::Peer& peer : pool.peers) {
      json.BeginObject()
          .Member("name", peer.name)
          .Key("silent_ms")
          .Raw(FormatFixed(peer.silent * 1e3, 0))
          .Member("running", peer.running)
          .EndObject();
    }
    json.EndArray().EndObject();
  }
  json.EndArray().EndObject();
}

}  // namespace

void WriteConfigFile(const gateway::ConfigFileStatus& status, JsonWriter& json) {
  const auto list = [&](std::string_view key, const std::vector<std::string>& texts) {
    json.Key(key).BeginArray();
    for (const std::string& text : texts) json.Value(text);
    json.EndArray();
  };
  json.BeginObject().Member("file", status.file);
  json.Member("state", status.error.empty() ? "in force" : "stale");
  json.Key("taken_over").Raw(FormatFixed(status.taken_over, 3));
  list("changed", status.changed);
  list("awaiting_restart", status.awaiting_restart);
  std::vector<std::string> faults;
  std::istringstream stream(status.error);
  for (std::string fault; std::getline(stream, fault);) faults.push_back(fault);
  list("faults", faults);
  json.EndObject();
}

std::string StatusJson(const gateway::Gateway& gateway,
                       const std::optional<gateway::ConfigFileStatus>& file, Seconds unix_now) {
  const std::shared_ptr<const config::Config> config = gateway.served();
  const std::vector<serving::ProfileStatus> profiles = gateway.Profiles();
  JsonWriter json(JsonWriter::Layout::kLines);
  json.BeginObject().Member("version", HEADRACE_VERSION).Member("ready", gateway.Ready());
  json.Member("draining", gateway.draining());
  if (file) {
    json.Key("configuration");
    WriteConfigFile(*file, json);
  }
  json.Key("files").BeginArray();
  for (const gateway::FollowedStatus& file_status : gateway.Files()) WriteFile(file_status, json);
  json.EndArray();
  if (const auto replicas = gateway.Replicas()) {
    json.Key("replicas");
    WriteReplicas(*replicas, json);
  }
  json.Key("models").BeginArray();
  for (const config::ModelConfig& model : config->models) {
    // Between two configurations it may not be there.
    if (const auto pool = gateway.pools().Find(model.name)) {
      WritePool(model, *pool, profiles, unix_now, json);
    }
  }
  return json.EndArray().EndObject().Take() + "\n";
}

}  // namespace headrace::admin
