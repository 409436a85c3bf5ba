#include "load/load_report.h"

#include <algorithm>
#include <utility>

#include "base/csv.h"
#include "base/json_writer.h"
#include "base/text.h"

namespace headrace::load {
namespace {

// The client itself could not keep up if the 99th percentile of the send lag is above this.
constexpr Seconds kOverloadLag = 20 * kMillisecond;
// Lengths that are off by more are worth a sentence.
constexpr double kTolerance = 0.05;

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
    case LoadOutcome::kNotCounted:
      return "not_counted";
  }
  return "failed";
}

bool ClientOverloaded(const LoadSnapshot& snapshot) {
  return snapshot.send_lag.Quantile(0.99) > kOverloadLag;
}

// "had 131.0 % of the tokens asked for, …"
std::string Compare(const AskedAndGot& lengths) {
  const double ratio = static_cast<double>(lengths.got) / static_cast<double>(lengths.asked);
  return "had " + FormatPercent(ratio) + " % of the tokens asked for, by the server's count (a " +
         "request was off by " + FormatPercent(lengths.Off()) + " % in the mean)";
}

void AddClassWarnings(const LoadOptions& options, std::size_t index, const LoadCounts& counts,
                      std::vector<std::string>& warnings) {
  const workload::WorkloadClass& spec = options.workload->classes[index];
  const std::optional<slo::Slo>& slo = spec.slo;
  const std::string begin = "Class " + spec.name + ": ";
  if (counts.prompt.Off() > kTolerance) {
    warnings.push_back(begin + "prompts " + Compare(counts.prompt) +
                       "; its chat template or tokenizer differs, so change the lengths, or use "
                       "--api completions.");
  }
  if (counts.output.Off() > kTolerance) {
    warnings.push_back(begin + "answers " + Compare(counts.output) +
                       (options.limit_length ? "; the server does not support ignore_eos."
                                             : "; give --max-tokens, which real engines obey."));
  }
  const double cached = counts.prompt.got == 0 ? 0
                                               : static_cast<double>(counts.cached_prompt_tokens) /
                                                     static_cast<double>(counts.prompt.got);
  if (cached > kTolerance) {
    warnings.push_back(begin + FormatPercent(cached) +
                       " % of the prompt tokens came from the engine's cache, so TTFT is that of "
                       "shorter prompts; another --seed sends other prompts.");
  }
  const std::uint64_t whole = counts.report.completed - counts.report.ttft.count();
  if (whole > 0 && !options.stream && slo && (slo->ttft || slo->tpot)) {
    warnings.push_back(
        begin +
        "answers that are not streamed have no TTFT and no TPOT, and meet no promise "
        "of them; promise e2e=, or leave out --no-stream.");
  }
  if (whole > 0 && options.stream) {
    warnings.push_back(begin + std::to_string(whole) + " of " +
                       std::to_string(counts.report.completed) +
                       " answers came as a whole, although streams were asked for: they have no "
                       "TTFT and no TPOT, and meet no promise of them.");
  }
}

void WriteLengths(std::string_view key, const AskedAndGot& lengths, JsonWriter& json) {
  json.Key(key)
      .BeginObject()
      .Member("asked", lengths.asked)
      .Member("got", lengths.got)
      .Member("off", lengths.Off())
      .EndObject();
}

void WriteCounts(const LoadStage& stage, const LoadCounts& counts,
                 std::span<const double> percentiles, JsonWriter& json) {
  workload::WriteReport(counts.report, RatesOf(stage.options, stage.snapshot, counts), json,
                        percentiles);
}

void WriteFailures(const LoadSnapshot& snapshot, JsonWriter& json) {
  json.Key("not_counted").BeginObject();
  for (const auto& [reason, count] : snapshot.not_counted) json.Member(reason, count);
  json.EndObject().Key("failures").BeginArray();
  for (const auto& [reason, failure] : snapshot.CommonestFailures()) {
    json.BeginObject().Member("reason", reason).Member("count", failure.count).Key("example");
    failure.example.empty() ? json.Null() : json.Value(failure.example);
    json.EndObject();
  }
  json.EndArray();
}

void WriteClass(const LoadStage& stage, std::size_t index, std::span<const double> percentiles,
                JsonWriter& json) {
  const workload::WorkloadClass& spec = stage.options.workload->classes[index];
  const LoadCounts& counts = stage.snapshot.classes[index];
  json.Key(spec.name).BeginObject().Key("slo");
  spec.slo ? json.Value(slo::Describe(*spec.slo)) : json.Null();
  WriteCounts(stage, counts, percentiles, json);
  json.Key("asked").BeginObject();
  WriteLengths("prompt_tokens", counts.prompt, json);
  WriteLengths("output_tokens", counts.output, json);
  json.Member("cached_prompt_tokens", counts.cached_prompt_tokens).EndObject();
  json.Key("deployments").BeginObject();
  for (const auto& [name, there] : stage.snapshot.deployments[index]) {
    json.Key(name).BeginObject();
    WriteCounts(stage, there, percentiles, json);
    json.EndObject();
  }
  json.EndObject().EndObject();
}

void WriteStage(const LoadStage& stage, std::span<const double> percentiles, JsonWriter& json) {
  const auto& [options, snapshot] = stage;
  const bool chat = options.api == openai::ApiKind::kChatCompletions;
  json.BeginObject()
      .Member("target", options.target.url)
      .Member("model", options.model)
      .Member("api", chat ? "chat" : "completions")
      .Member("policy", options.policy)
      .Member("seed", options.seed)
      .Key("rate");
  options.concurrency > 0 ? json.Null() : json.Value(OfferedRate(options));
  json.Member("rate_scale", options.rate_scale).Key("concurrency");
  options.concurrency > 0 ? json.Value(options.concurrency) : json.Null();
  json.Member("stream", options.stream)
      .Member("warm_up", snapshot.warm_up)
      .Member("rates_over", options.concurrency > 0 ? "steady part" : "arrivals")
      .Member("arrivals_s", snapshot.arrivals)
      .Member("elapsed_s", snapshot.elapsed)
      .Member("client_overloaded", ClientOverloaded(snapshot))
      .Key("warnings")
      .BeginArray();
  for (const std::string& warning : LoadWarnings(options, snapshot)) json.Value(warning);
  json.EndArray()
      .Key("send_lag_s")
      .BeginObject()
      .Member("p50", snapshot.send_lag.Quantile(0.5))
      .Member("p99", snapshot.send_lag.Quantile(0.99))
      .Member("max", snapshot.send_lag.max())
      .EndObject();
  WriteFailures(snapshot, json);
  WriteCounts(stage, snapshot.Total(), percentiles, json);
  json.Key("classes").BeginObject();
  for (std::size_t i = 0; i < snapshot.classes.size(); ++i) {
    WriteClass(stage, i, percentiles, json);
  }
  json.EndObject().EndObject();
}

}  // namespace

double OfferedRate(const LoadOptions& options) {
  double rate = 0;
  for (const workload::WorkloadClass& spec : options.workload->classes) {
    rate += workload::OfferedRate(spec);
  }
  return rate * options.rate_scale;
}

std::vector<std::string> LoadWarnings(const LoadOptions& options, const LoadSnapshot& snapshot) {
  std::vector<std::string> warnings;
  if (ClientOverloaded(snapshot)) {
    warnings.push_back("The client could not keep up: 1 % of the requests were sent more than " +
                       FormatDuration(snapshot.send_lag.Quantile(0.99)) +
                       " late, so the load was not the one asked for. Use a lower rate, an idle "
                       "machine, or several clients.");
  }
  for (const auto& [reason, count] : snapshot.not_counted) {
    const bool one = count == 1;
    std::string warning =
        std::to_string(count) + (one ? " request is" : " requests are") + " in no figure";
    // In a closed loop the places of those that were broken off end with the run.
    if (options.concurrency == 0) {
      warning += std::string(", and ") + (one ? "its" : "their") + " time in no rate";
    }
    warnings.push_back(warning + ": " + reason + ".");
  }
  for (std::size_t i = 0; i < snapshot.classes.size(); ++i) {
    AddClassWarnings(options, i, snapshot.classes[i], warnings);
  }
  return warnings;
}

std::string LoadReportJson(std::span<const LoadStage> stages, std::size_t stages_asked,
                           std::span<const double> percentiles) {
  JsonWriter json(JsonWriter::Layout::kSpaced);
  if (stages_asked == 1) {
    WriteStage(stages.front(), percentiles, json);
    return json.Take() + "\n";
  }
  json.BeginObject().Member("stages_asked", stages_asked).Key("stages").BeginArray();
  for (const LoadStage& stage : stages) WriteStage(stage, percentiles, json);
  return json.EndArray().EndObject().Take() + "\n";
}

std::string_view LoadResultCsvHeader() {
  return "number,stage,class,at_s,send_lag_s,status,outcome,prompt_tokens,output_tokens,ttft_s,"
         "e2e_s,queue_s,attained,deployment\n";
}

std::string LoadResultCsvRow(const LoadOptions& options, std::size_t stage,
                             const LoadResult& result) {
  const auto seconds = [](const std::optional<Seconds>& value) {
    return value ? FormatJsonNumber(*value) : std::string();
  };
  const Tokens output =
      result.outcome == LoadOutcome::kCompleted ? result.latency.output_tokens : Tokens{0};
  const auto e2e = result.status == 0 ? std::nullopt : std::optional(result.latency.e2e);
  std::string row = std::to_string(result.number);
  for (const std::string& cell :
       {std::to_string(stage), CsvCell(options.workload->classes[result.class_index].name),
        FormatJsonNumber(result.at), FormatJsonNumber(result.send_lag),
        std::to_string(result.status), std::string(OutcomeName(result.outcome)),
        std::to_string(result.latency.prompt_tokens), std::to_string(output),
        seconds(result.latency.ttft), seconds(e2e), seconds(result.queued),
        std::string(result.attained ? "1" : "0"), CsvCell(result.deployment)}) {
    row.append(",").append(cell);
  }
  return row + "\n";
}

}  // namespace headrace::load
