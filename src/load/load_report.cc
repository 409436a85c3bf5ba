#include "load/load_report.h"

#include <algorithm>

#include "base/json_writer.h"
#include "base/text.h"
#include "openai/error.h"

namespace headrace::load {
namespace {

std::string Quoted(std::string_view text) {
  std::string json;
  AppendJsonString(text, json);
  return json;
}

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
  const auto number = [](double value) { return FormatJsonNumber(value); };
  const Histogram& lag = snapshot.send_lag;
  std::string json =
      "{\"target\": " + Quoted(options.target.ToString()) +
      ", \"model\": " + Quoted(options.model) + ", \"policy\": " + Quoted(options.policy) +
      ", \"seed\": " + std::to_string(options.seed) +
      ", \"rate_scale\": " + number(options.rate_scale) +
      ", \"stream\": " + (options.stream ? "true" : "false") +
      ", \"duration_s\": " + number(duration) + ", \"elapsed_s\": " + number(snapshot.elapsed) +
      ", \"client_overloaded\": " + (ClientOverloaded(snapshot) ? "true" : "false") +
      ", \"send_lag_s\": {\"p50\": " + number(lag.Quantile(0.5)) +
      ", \"p99\": " + number(lag.Quantile(0.99)) + ", \"max\": " + number(lag.max()) +
      "}, \"failures\": {";
  for (bool first = true; const auto& [what, count] : snapshot.failures) {
    json += (first ? "" : ", ") + Quoted(what) + ": " + std::to_string(count);
    first = false;
  }
  workload::ClassReport all;
  for (const LoadCounts& counts : snapshot.classes) all.Merge(counts.report);
  json += "}, " + workload::FormatReportMembers(all, duration) + ", \"classes\": {";
  for (std::size_t i = 0; i < snapshot.classes.size(); ++i) {
    const workload::WorkloadClass& spec = options.workload->classes[i];
    json += (i == 0 ? "" : ", ") + Quoted(spec.name) +
            ": {\"slo\": " + (spec.slo ? Quoted(slo::Describe(*spec.slo)) : "null") + ", " +
            workload::FormatReportMembers(snapshot.classes[i].report, duration) +
            ", \"deployments\": {";
    for (bool first = true; const auto& [name, counts] : snapshot.deployments[i]) {
      json += (first ? "" : ", ") + Quoted(name) + ": {" +
              workload::FormatReportMembers(counts.report, duration) + "}";
      first = false;
    }
    json += "}}";
  }
  return json + "}}\n";
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
