#include "benchmark/import_results.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/limits.h"
#include "base/python_numbers.h"
#include "base/text.h"
#include "benchmark/measurement.h"
#include "benchmark/steady_state.h"

namespace headrace::benchmark {
namespace {

using Json = nlohmann::json;

constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();
constexpr std::string_view kVllm = "vllm bench serve";
constexpr std::string_view kGuidellm = "guidellm";
constexpr std::string_view kAiperf = "aiperf";
constexpr double kMostRequests = 1e12;
// Of the requests themselves, and not needed: most of a large file.
constexpr std::string_view kTexts[] = {"generated_texts", "itls", "output", "request_args"};

const Json& Member(const Json& object, std::string_view key) {
  static const Json kNone;
  if (!object.is_object()) return kNone;
  const auto found = object.find(key);
  return found == object.end() ? kNone : *found;
}
const Json& Member(const Json& object, std::string_view key, auto... keys) {
  return Member(Member(object, key), keys...);
}

double NumberAt(const Json& value) { return value.is_number() ? value.get<double>() : kUnknown; }

std::string TextAt(const Json& value) {
  if (value.is_array() && !value.empty()) return TextAt(value.front());
  return value.is_string() ? value.get<std::string>() : "";
}

// The first value under this key at any depth that `usable` takes; null if there is none.
const Json& Find(const Json& json, std::string_view key, bool (*usable)(const Json&),
                 int depth = 8) {
  static const Json kNone;
  if (depth == 0 || !json.is_structured()) return kNone;
  if (const Json& own = Member(json, key); usable(own)) return own;
  for (const Json& part : json) {
    if (const Json& found = Find(part, key, usable, depth - 1); !found.is_null()) return found;
  }
  return kNone;
}
bool IsNumber(const Json& value) { return value.is_number(); }
bool IsText(const Json& value) { return !TextAt(value).empty(); }

Json Parse(std::string_view text) {
  const auto keep = [](int, Json::parse_event_t event, Json& parsed) {
    return event != Json::parse_event_t::key || !parsed.is_string() ||
           std::ranges::find(kTexts, parsed.get_ref<const std::string&>()) == std::end(kTexts);
  };
  return Json::parse(text, keep, false);
}

std::optional<std::string_view> ToolOf(const Json& json) {
  if (!json.is_object()) return std::nullopt;
  if (json.contains("request_throughput") && json.contains("total_input_tokens")) return kVllm;
  if (const Json& runs = Member(json, "benchmarks");
      runs.is_array() && !runs.empty() && !Member(runs.front(), "metrics").is_null()) {
    return kGuidellm;
  }
  if (json.contains("input_config") && Member(json, "request_latency").is_object()) return kAiperf;
  return std::nullopt;
}

// One run of a tool.
struct ToolRun {
  double input = kUnknown;  // Mean tokens.
  double output = kUnknown;
  double requests = kUnknown;  // That succeeded.
  double failed = 0;
  double offered = kUnknown;  // Requests per second; unknown: a closed loop.
  double served = kUnknown;
  Statistics e2e;
  Statistics ttft;
  Statistics tpot;
  double least_tpot = kUnknown;
  std::vector<double> tpots;  // Of each answer of several tokens, where they are listed.
  std::string model;
};

// A statistic without its mean is none.
Statistics Scaled(const Statistics& value, double factor) {
  return {value.mean * factor, value.p50 * factor, value.p90 * factor, value.p95 * factor,
          value.p99 * factor};
}

ToolRun VllmRun(const Json& result) {
  const auto statistics = [&result](const std::string& metric) {
    return Scaled({NumberAt(Member(result, "mean_" + metric + "_ms")),
                   NumberAt(Member(result, "median_" + metric + "_ms")),
                   NumberAt(Member(result, "p90_" + metric + "_ms")),
                   NumberAt(Member(result, "p95_" + metric + "_ms")),
                   NumberAt(Member(result, "p99_" + metric + "_ms"))},
                  kMillisecond);
  };
  ToolRun run;
  run.requests = NumberAt(Member(result, "completed"));
  run.input = NumberAt(Member(result, "total_input_tokens")) / run.requests;
  run.output = NumberAt(Member(result, "total_output_tokens")) / run.requests;
  run.failed = NumberAt(Member(result, "failed"));
  run.served = NumberAt(Member(result, "request_throughput"));
  run.offered = NumberAt(Member(result, "request_rate"));  // "inf": all at once.
  run.ttft = statistics("ttft");
  run.tpot = statistics("tpot");
  run.e2e = statistics("e2el");
  // Without --percentile-metrics e2el there is but the mean, from its parts.
  if (std::isnan(run.e2e.mean)) run.e2e.mean = run.ttft.mean + run.tpot.mean * (run.output - 1);
  const Json& lengths = Member(result, "output_lens");
  const Json& latencies = Member(result, "latencies");
  const Json& ttfts = Member(result, "ttfts");
  const bool listed = lengths.is_array() && latencies.is_array() && ttfts.is_array();
  const std::size_t requests = std::min({lengths.size(), latencies.size(), ttfts.size()});
  for (std::size_t i = 0; listed && i < requests; ++i) {
    const double gaps = NumberAt(lengths[i]) - 1;
    const double tpot = (NumberAt(latencies[i]) - NumberAt(ttfts[i])) / gaps;
    if (gaps > 0 && std::isfinite(tpot)) run.tpots.push_back(tpot);
  }
  run.model = TextAt(Member(result, "model_id"));
  return run;
}

ToolRun GuidellmRun(const Json& benchmark) {
  const Json& metrics = Member(benchmark, "metrics");
  const auto of = [&metrics](std::string_view metric) -> const Json& {
    return Member(metrics, metric, "successful");
  };
  const auto statistics = [](const Json& value) {
    return Statistics{NumberAt(Member(value, "mean")), NumberAt(Member(value, "median")),
                      NumberAt(Member(value, "percentiles", "p90")),
                      NumberAt(Member(value, "percentiles", "p95")),
                      NumberAt(Member(value, "percentiles", "p99"))};
  };
  ToolRun run;
  run.input = NumberAt(Member(of("prompt_token_count"), "mean"));
  run.output = NumberAt(Member(of("output_token_count"), "mean"));
  run.requests = NumberAt(Member(of("request_latency"), "count"));
  run.failed = NumberAt(Member(metrics, "request_totals", "errored"));
  run.served = NumberAt(Member(of("requests_per_second"), "mean"));
  const Json& newer = Member(benchmark, "config", "strategy");
  const Json& strategy = newer.is_null() ? Member(benchmark, "args", "strategy") : newer;
  run.offered = NumberAt(Member(strategy, "rate"));
  run.e2e = statistics(of("request_latency"));
  run.ttft = Scaled(statistics(of("time_to_first_token_ms")), kMillisecond);
  run.tpot = Scaled(statistics(of("inter_token_latency_ms")), kMillisecond);
  run.least_tpot = NumberAt(Member(of("inter_token_latency_ms"), "min"));
  for (const Json& request : Member(benchmark, "requests", "successful")) {
    const Json& tpot = Member(request, "inter_token_latency_ms");
    if (tpot.is_number()) run.tpots.push_back(NumberAt(tpot) * kMillisecond);
  }
  run.model = TextAt(Find(benchmark, "model", IsText));
  if (run.model.empty()) run.model = TextAt(Find(benchmark, "backend_model", IsText));
  return run;
}

ToolRun AiperfRun(const Json& summary) {
  const auto mean = [&summary](std::string_view metric) {
    return NumberAt(Member(summary, metric, "avg"));
  };
  const auto statistics = [&summary](std::string_view metric) {
    const Json& value = Member(summary, metric);
    const std::string unit = TextAt(Member(value, "unit"));
    const double factor = unit == "ms" ? 1e-3 : unit == "us" ? 1e-6 : unit == "ns" ? 1e-9 : 1;
    return Scaled({NumberAt(Member(value, "avg")), NumberAt(Member(value, "p50")),
                   NumberAt(Member(value, "p90")), NumberAt(Member(value, "p95")),
                   NumberAt(Member(value, "p99"))},
                  factor);
  };
  ToolRun run;
  run.input = mean("input_sequence_length");
  run.output = mean("output_sequence_length");
  run.requests = mean("request_count");
  run.failed = mean("error_request_count");
  run.served = mean("request_throughput");
  const Json& config = Member(summary, "input_config");
  run.offered = NumberAt(Find(config, "request_rate", IsNumber));
  for (const Json& phase : Member(config, "phases")) {  // From 0.13 on; a warm-up is one, too.
    if (TextAt(Member(phase, "kind")) == "profiling") run.offered = NumberAt(Member(phase, "rate"));
  }
  run.e2e = statistics("request_latency");
  run.ttft = statistics("time_to_first_token");
  run.tpot = statistics("inter_token_latency");
  run.least_tpot = NumberAt(Member(summary, "inter_token_latency", "min"));
  run.model = TextAt(Find(config, "model_names", IsText));
  if (run.model.empty()) run.model = TextAt(Find(config, "model", IsText));
  if (const Json& models = Member(config, "models", "items"); run.model.empty()) {
    if (models.is_array() && !models.empty()) run.model = TextAt(Member(models[0], "name"));
  }
  return run;
}

// Leaves out of the TPOT the answers that came in one piece, which have none. Returns what to say
// about it; may be empty.
std::string LeaveOutWholeAnswers(ToolRun& run) {
  const std::size_t all = run.tpots.size();
  const std::size_t whole = std::erase_if(run.tpots, [](double tpot) { return tpot == 0; });
  if (run.tpot.mean == 0) {
    run.tpot = {};
    return "its answers came in one piece each, and have no TPOT";
  }
  if (whole > 0) {
    run.tpot = Summarize(run.tpots);
    return std::to_string(whole) + " of " + std::to_string(all) +
           " answers came in one piece and have no TPOT; it is that of the others";
  }
  return run.least_tpot == 0 ? "some answers came in one piece; their TPOT counts as 0" : "";
}

// Errors are clauses.
Result<void> Add(ToolRun run, std::string_view model, const std::string& place,
                 ImportedResults& imported) {
  if (!model.empty()) run.model = model;
  if (run.model.empty()) return Fail("it names no model; give --model");
  const auto input = std::round(run.input);
  const auto output = std::round(run.output);
  if (!(run.requests >= 1 && run.requests <= kMostRequests) || !limits::kTokens.Contains(input) ||
      !limits::kTokens.Contains(output) || !limits::kMeasured.Contains(run.served)) {
    return Fail("no request has finished in it; leave it out");
  }
  if (run.failed > 0) {
    imported.notes.push_back(place + ": " + FormatNumber(run.failed) + " of " +
                             FormatNumber(run.requests + run.failed) +
                             " requests failed; the figures are those of the others");
  }
  if (!limits::kMeasured.Contains(run.offered)) {
    run.offered = run.served;
    imported.notes.push_back(place + ": it offers no rate (a closed loop, or all at once); the " +
                             FormatNumber(run.served) + " requests/s that were served count");
  }
  // Of answers that were not streamed guidellm writes zeros.
  if (!(run.ttft.mean > 0)) {
    run.ttft = run.tpot = {};
    imported.notes.push_back(place +
                             ": it has no TTFT and no TPOT (answers that were not streamed)");
  } else if (const std::string what = output > 1 ? LeaveOutWholeAnswers(run) : ""; !what.empty()) {
    imported.notes.push_back(place + ": " + what);
  }
  Measurement measured{
      .point = {static_cast<Tokens>(input), static_cast<Tokens>(output), run.offered},
      .tput = run.served,
      .tt = run.served * run.output,
      .e2e = run.e2e,
      .ttft = run.ttft,
      .tpot = run.tpot,
      .samples = static_cast<std::int64_t>(run.requests)};
  if (output == 1) measured.tpot = {0, 0, 0, 0, 0};
  if (std::isnan(measured.e2e.p99)) {
    imported.notes.push_back(place +
                             ": it has no percentiles of the whole latency; use `generate` with "
                             "--percentile 0 for e2e, tpat and ntpot");
  }
  const auto rows = RowsOf(measured, 0, run.model);
  imported.rows.insert(imported.rows.end(), rows.begin(), rows.end());
  return {};
}

std::string NoResult(std::string_view text) {
  if (const std::string_view other = OtherFormOfResults(text); !other.empty()) {
    return ": " + std::string(other) + ".";
  }
  return ": is no result of `vllm bench serve` (--save-result), guidellm (benchmarks.json) or "
         "aiperf (profile_export_aiperf.json); name one of these.";
}

}  // namespace

std::optional<std::string_view> ToolOfResults(std::string_view text) {
  const std::optional<std::string> replaced = NullForBareNumbers(text);
  if (replaced) text = *replaced;
  // `vllm bench serve --append-result` writes a result per line.
  const Json json = Parse(text);
  return ToolOf(json.is_discarded() ? Parse(text.substr(0, text.find('\n'))) : json);
}

std::string_view OtherFormOfResults(std::string_view text) {
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  const auto has_line = [text](std::string_view begin) {
    return text.starts_with(begin) || text.find("\n" + std::string(begin)) != text.npos;
  };
  if (text.starts_with("Run Info,")) {
    return "is guidellm's CSV; `headrace profile import results` takes its benchmarks.json "
           "(--output kind=json)";
  }
  if (has_line("benchmarks:") && has_line("  guidellm_version:")) {
    return "is guidellm's YAML; `headrace profile import results` takes its benchmarks.json "
           "(--output kind=json)";
  }
  const Json record = Parse(text.substr(0, text.find('\n')));
  if (Member(record, "metadata", "request_start_ns").is_number() && record.contains("metrics")) {
    return "holds aiperf's records of single requests; `headrace profile import results` takes the "
           "profile_export_aiperf.json of the same run";
  }
  return {};
}

Result<ImportedResults> ImportResults(std::string_view text, std::string_view name,
                                      std::string_view model) {
  const std::string file(name);
  const std::string_view whole = text;
  const std::optional<std::string> replaced = NullForBareNumbers(text);
  if (replaced) text = *replaced;
  ImportedResults imported;
  const auto add = [&](const ToolRun& run, const std::string& place) -> Result<void> {
    if (auto added = Add(run, model, place, imported); !added) {
      return Fail(place + ": " + added.error().message);
    }
    return {};
  };
  Json json = Parse(text);
  if (json.is_discarded()) {
    std::size_t line = 0;
    while (!text.empty()) {
      ++line;
      const std::size_t end = std::min(text.find('\n'), text.size());
      const std::string_view row = text.substr(0, end);
      text.remove_prefix(std::min(end + 1, text.size()));
      if (Trimmed(row).empty()) continue;
      const Json result = Parse(row);
      const std::string place = file + ":" + std::to_string(line);
      // A run that was stopped while it was written.
      if (result.is_discarded() && text.empty() && !whole.ends_with('\n') && line > 1) {
        imported.notes.push_back(place + ": the last line breaks off and is left out");
        break;
      }
      if (ToolOf(result) != kVllm) {
        return Fail(place + NoResult(whole));
      }
      HEADRACE_TRY(add(VllmRun(result), place));
    }
    if (imported.rows.empty()) return Fail(file + NoResult(whole));
    return imported;
  }
  const std::optional<std::string_view> tool = ToolOf(json);
  if (!tool) {
    return Fail(file + NoResult(whole));
  }
  if (*tool == kVllm) {
    HEADRACE_TRY(add(VllmRun(json), file));
  } else if (*tool == kAiperf) {
    HEADRACE_TRY(add(AiperfRun(json), file));
  } else {
    std::size_t number = 0;
    for (const Json& benchmark : json["benchmarks"]) {
      HEADRACE_TRY(add(GuidellmRun(benchmark), file + ": benchmark " + std::to_string(++number)));
    }
  }
  return imported;
}

}  // namespace headrace::benchmark
