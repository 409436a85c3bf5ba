#include "admin/explain_json.h"

#include "admin/slo_json.h"
#include "base/json_writer.h"
#include "base/text.h"
#include "tracing/trace_context.h"

namespace headrace::admin {
namespace {

void WriteMs(std::string_view name, Seconds seconds, JsonWriter& json) {
  json.Key(name).Raw(FormatFixed(seconds * 1e3, 3));
}

void WriteTokens(std::string_view name, Tokens expected, Tokens counted, JsonWriter& json) {
  json.Key(name).BeginObject().Member("expected", expected);
  if (counted > 0) json.Member("counted", counted);
  json.EndObject();
}

void WriteNumbers(const std::vector<serving::NamedNumber>& numbers, JsonWriter& json) {
  for (const serving::NamedNumber& number : numbers) json.Key(number.name).Raw(number.text);
}

void WriteOptions(const serving::PastRequest& past, JsonWriter& json) {
  const serving::Considered& considered = past.request.considered;
  for (const routing::Option& option : considered.facts->options) {
    const serving::FleetNames::Endpoint& name = considered.names->endpoints[option.endpoint];
    json.BeginObject()
        .Member("deployment", considered.names->deployments[name.deployment])
        .Member("endpoint", name.address);
    if (option.endpoint == past.endpoint) json.Member("chosen", true);
    WriteNumbers(serving::NumbersOf(option, past.request.arrived), json);
    bool any = false;
    for (std::size_t i = 0; i < considered.harmed.size(); ++i) {
      const scheduler::Explanation::Harm& harm = considered.facts->harms[i];
      if (harm.endpoint != option.endpoint) continue;
      if (!any) json.Key("harmed").BeginArray();
      any = true;
      json.BeginObject().Member("request_id", considered.harmed[i]);
      json.Key("miss_before").Raw(FormatFixed(harm.harmed.miss_before, 4));
      json.Key("miss_after").Raw(FormatFixed(harm.harmed.miss_after, 4));
      json.EndObject();
    }
    if (any) json.EndArray();
    json.EndObject();
  }
}

void WriteDeployments(const serving::PastRequest& past, JsonWriter& json) {
  const serving::FinishedRequest& request = past.request;
  const auto target = slo::TargetOf(request.slo, request.estimated_prompt_tokens,
                                    std::max(1, request.expected_output_tokens / request.choices));
  for (const auto& [candidate, least_load] : request.considered.facts->deployments) {
    const std::string& name = request.considered.names->deployments[candidate.deployment];
    json.BeginObject().Member("deployment", name);
    if (name == past.deployment) json.Member("chosen", true);
    if (target && candidate.latest_start != kNever) {
      WriteMs("expected_ms", request.arrived + target->seconds - candidate.latest_start, json);
      WriteMs("allowed_ms", target->seconds, json);
    }
    json.Member("share", fleet::LoadFraction(candidate.share))
        .Member("least_load", fleet::LoadFraction(least_load))
        .EndObject();
  }
}

// All but the candidates, into an open object.
void WriteRequest(const serving::PastRequest& past, Seconds unix_minus_monotonic,
                  JsonWriter& json) {
  const serving::FinishedRequest& request = past.request;
  const slo::RequestLatency& latency = request.latency;
  json.Member("request_id", past.request_id)
      .Member("model", past.pool)
      .Key("arrived")
      .Raw(FormatFixed(request.arrived + unix_minus_monotonic, 3))
      .Member("outcome", ToString(request.outcome));
  if (request.trace) json.Member("trace_id", tracing::ToText(request.trace->context.trace));
  if (request.refused) json.Member("reason", ToString(*request.refused));
  if (request.fault) json.Member("fault", ToString(*request.fault));
  json.Member("why", past.Why());
  if (!request.policy.empty()) json.Member("policy", request.policy);
  json.Key("slo").BeginObject();
  WriteSlo(request.slo, json);
  json.EndObject();
  WriteMs("queued_ms", request.queued, json);
  if (request.hold != scheduler::Hold::kNone) json.Member("hold", ToString(request.hold));
  const bool counted = request.counted;
  WriteTokens("prompt_tokens", request.estimated_prompt_tokens, counted ? latency.prompt_tokens : 0,
              json);
  WriteTokens("output_tokens", request.expected_output_tokens, counted ? latency.output_tokens : 0,
              json);
  if (!past.address.empty()) {
    json.Member("deployment", past.deployment).Member("endpoint", past.address);
  }
  if (!request.failed_tries.empty()) {
    json.Key("failed_tries").BeginArray();
    for (const serving::FailedTry& failed : request.failed_tries) {
      json.BeginObject()
          .Member("deployment", failed.deployment)
          .Member("endpoint", failed.address)
          .Member("fault", ToString(failed.fault))
          .Member("why", failed.why);
      WriteMs("sent_ms", failed.sent, json);
      WriteMs("took_ms", failed.took, json);
      json.EndObject();
    }
    json.EndArray();
  }
  if (request.outlook) {
    json.Key("predicted").BeginObject();
    WriteNumbers(serving::NumbersOf(*request.outlook, request.arrived), json);
    if (counted) WriteMs("e2e_of_this_length_ms", request.PredictedE2e(), json);
    json.EndObject();
  }
  if (request.outcome == telemetry::Outcome::kCompleted) {
    json.Key("actual").BeginObject();
    if (latency.ttft) WriteMs("ttft_ms", *latency.ttft, json);
    if (latency.ttft && latency.output_tokens > 1) WriteMs("tpot_ms", *latency.Tpot(), json);
    WriteMs("e2e_ms", latency.e2e, json);
    if (request.slo.HasLatency()) json.Member("met_slo", request.MetSlo());
    json.EndObject();
  }
}

}  // namespace

std::string ExplainJson(const serving::PastRequest& past, Seconds unix_minus_monotonic) {
  JsonWriter json(JsonWriter::Layout::kLines);
  json.BeginObject();
  WriteRequest(past, unix_minus_monotonic, json);
  if (past.request.considered.facts) {
    json.Key("candidates").BeginArray();
    WriteOptions(past, json);
    WriteDeployments(past, json);
    json.EndArray();
  }
  return json.EndObject().Take() + "\n";
}

std::string ExplainListJson(std::span<const serving::PastRequest> latest,
                            Seconds unix_minus_monotonic) {
  JsonWriter json(JsonWriter::Layout::kLines);
  json.BeginObject().Member("kept", serving::RequestHistory::kMost).Key("requests").BeginArray();
  for (const serving::PastRequest& past : latest) {
    json.BeginObject();
    WriteRequest(past, unix_minus_monotonic, json);
    json.EndObject();
  }
  return json.EndArray().EndObject().Take() + "\n";
}

}  // namespace headrace::admin
