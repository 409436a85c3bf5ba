#include "load/load_report.h"

#include <algorithm>

#include "base/json_writer.h"
#include "base/text.h"

namespace headrace::load {
namespace {

std::string_view OutcomeName(LoadOutcome outcome) {
  switch (outcome) {
    case LoadOutcome::kCompleted:
      return "completed";
    case LoadOutcome::kRefused:
      return "refused";
    case LoadOutcome::kTimedOut:
      return "timed_out";
    case LoadOutcome::kFailed:
      return "failed";
  }
  return "failed";
}

}  // namespace

bool ClientOverloaded(const LoadSnapshot& snapshot) {
  return snapshot.send_lag.Quantile(0.99) > kOverloadLag;
}

std::string LoadReportJson(const LoadOptions& options, const LoadSnapshot& snapshot) {
  const Seconds duration = std::min(options.duration, snapshot.elapsed);
  const Histogram& lag = snapshot.send_lag;
  JsonWriter json(JsonWriter::Layout::kSpaced);
  json.BeginObject()
      .Member("target", options.target.url)
      .Member("model", options.model)
      .Member("policy", options.policy)
      .Member("seed", options.seed)
      .Member("rate_scale", options.rate_scale)
      .Member("stream", options.stream)
      .Member("duration_s", duration)
      .Member("elapsed_s", snapshot.elapsed)
      .Member("client_overloaded", ClientOverloaded(snapshot));
  json.Key("send_lag_s")
      .BeginObject()
      .Member("p50", lag.Quantile(0.5))
      .Member("p99", lag.Quantile(0.99))
      .Member("max", lag.max())
      .EndObject();
  json.Key("failures").BeginObject();
  for (const auto& [what, count] : snapshot.failures) json.Member(what, count);
  json.EndObject();
  workload::ClassReport total;
  for (const LoadCounts& counts : snapshot.classes) total.Merge(counts.report);
  workload::WriteReport(total, duration, json);
  json.Key("classes").BeginObject();
  for (std::size_t i = 0; i < snapshot.classes.size(); ++i) {
    const workload::WorkloadClass& spec = options.workload->classes[i];
    json.Key(spec.name).BeginObject().Key("slo");
    spec.slo ? json.Value(slo::Describe(*spec.slo)) : json.Null();
    workload::WriteReport(snapshot.classes[i].report, duration, json);
    json.Key("deployments").BeginObject();
    for (const auto& [name, counts] : snapshot.deployments[i]) {
      json.Key(name).BeginObject();
      workload::WriteReport(counts.report, duration, json);
      json.EndObject();
    }
    json.EndObject().EndObject();
  }
  return json.EndObject().EndObject().Take() + "\n";
}

std::string_view LoadResultCsvHeader() {
  return "number,class,at_s,send_lag_s,status,outcome,prompt_tokens,output_tokens,ttft_s,e2e_s,"
         "attained,deployment\n";
}

std::string LoadResultCsvRow(const LoadOptions& options, const LoadResult& result) {
  std::string row = std::to_string(result.number);
  const auto add = [&row](const std::string& cell) { row.append(",").append(cell); };
  add(options.workload->classes[result.class_index].name);
  add(FormatJsonNumber(result.at));
  add(FormatJsonNumber(result.send_lag));
  add(std::to_string(result.status));
  add(std::string(OutcomeName(result.outcome)));
  add(std::to_string(result.latency.prompt_tokens));
  add(std::to_string(result.latency.output_tokens));
  add(FormatJsonNumber(result.latency.ttft));
  add(FormatJsonNumber(result.latency.e2e));
  add(result.attained ? "1" : "0");
  add(result.deployment);
  return row + "\n";
}

}  // namespace headrace::load
