#include "benchmark/benchmark_rows.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <optional>
#include <set>
#include <tuple>
#include <utility>

#include "base/json_writer.h"
#include "base/limits.h"
#include "base/text.h"
#include "profile/python_json.h"

namespace headrace::benchmark {
namespace {

using Json = nlohmann::json;

constexpr std::array<std::string_view, kMetrics> kMetricNames = {"TPUT", "TT", "E2E", "TTFT",
                                                                 "TPOT"};

constexpr const char* kExpected =
    "expected one JSON object per line, with `metric` TPUT, TT, E2E, TTFT or TPOT.";

// Reads the object of one line; `place` ("file: line 7") begins every sentence.
class RowReader {
 public:
  RowReader(const Json& object, std::string place) : object_(object), place_(std::move(place)) {}

  // nullopt for a row whose metric is unknown.
  Result<std::optional<BenchmarkRow>> Read() const {
    if (!object_.is_object()) return Fail(place_ + " is not a JSON object; correct it.");
    BenchmarkRow row;
    const auto metric = object_.find("metric");
    if (metric == object_.end() || !metric->is_string()) {
      return Fail(place_ + " has no text under `metric`; correct it.");
    }
    const auto known = std::ranges::find(kMetricNames, metric->get_ref<const std::string&>());
    if (known == kMetricNames.end()) return std::nullopt;
    row.metric = static_cast<Metric>(known - kMetricNames.begin());

    HEADRACE_ASSIGN(row.input_tokens, Count("input_tokens"));
    HEADRACE_ASSIGN(row.output_tokens, Count("output_tokens"));
    row.request_rate = Number("request_rate");
    // Infinity: all at once.
    if (!limits::kMeasured.Contains(row.request_rate) &&
        !(std::isinf(row.request_rate) && row.request_rate > 0)) {
      return Fail(place_ + ": `request_rate` must be a number above 0; correct it.");
    }
    row.seed = Integer("seed");
    row.samples = Integer("samples");
    row.model = Text("model");
    row.deployment = Text("deployment");
    row.slo = Text("slo");
    row.value = {Number("mean"), Number("P50"), Number("P90"), Number("P95"), Number("P99")};
    return row;
  }

 private:
  // NaN when it is missing or no number.
  double Number(const char* key) const {
    const auto found = object_.find(key);
    const std::optional<double> number =
        found == object_.end() ? std::nullopt : profile::NumberIn(*found);
    return number.value_or(std::numeric_limits<double>::quiet_NaN());
  }

  // Empty when it is missing or no text.
  std::string Text(const char* key) const {
    const auto found = object_.find(key);
    return found != object_.end() && found->is_string() ? found->get<std::string>() : "";
  }

  // 0 when it is missing or does not fit.
  std::int64_t Integer(const char* key) const {
    const double number = Number(key);
    return std::abs(number) < 0x1p62 ? static_cast<std::int64_t>(number) : 0;
  }

  Result<Tokens> Count(const char* key) const {
    const double number = Number(key);
    if (limits::kTokens.Contains(number) && number == std::floor(number)) {
      return static_cast<Tokens>(number);
    }
    return Fail(place_ + ": `" + key + "` must be a whole number from 1 to 16777216; correct it.");
  }

  const Json& object_;
  std::string place_;
};

// Python's reader, which this file is for, does not take null here, but NaN and Infinity.
void WriteNumber(std::string_view key, double value, std::string_view not_finite,
                 JsonWriter& json) {
  json.Key(key);
  std::isfinite(value) ? json.Value(value) : json.Raw(not_finite);
}

// A profile is of one deployment of one model. The error: a clause.
Result<void> CheckOneSubject(const BenchmarkRow& first, const BenchmarkRow& row) {
  const auto check = [](const char* what, const std::string& before,
                        const std::string& now) -> Result<void> {
    if (before.empty() || now.empty() || before == now) return {};
    return Fail("is of the " + std::string(what) + " \"" + Excerpt(now) +
                "\", and the rows above are of \"" + Excerpt(before) +
                "\"; keep the rows of one in a file");
  };
  HEADRACE_TRY(check("deployment", first.deployment, row.deployment));
  return check("model", first.model, row.model);
}

double Rounded(double value) {
  if (!std::isfinite(value)) return value;
  char text[40];
  std::snprintf(text, sizeof text, "%.6g", value);
  return std::strtod(text, nullptr);
}

}  // namespace

std::string_view MetricName(Metric metric) {
  return kMetricNames[static_cast<std::size_t>(metric)];
}

Result<Benchmark> ParseBenchmark(std::string_view jsonl, std::string_view name) {
  const std::string_view whole = jsonl;
  Benchmark benchmark;
  std::set<std::tuple<Tokens, Tokens, double, Metric>> seen;
  std::size_t number = 0;
  while (!jsonl.empty()) {
    const std::size_t end = std::min(jsonl.find('\n'), jsonl.size());
    const std::string_view line = jsonl.substr(0, end);
    jsonl.remove_prefix(std::min(end + 1, jsonl.size()));
    ++number;
    if (line.find_first_not_of(" \t\r") == line.npos) continue;
    const Result<Json> object = profile::ParsePythonJson(line, name, number);
    if (!object && benchmark.rows.empty() && profile::ParsePythonJson(whole, name)) {
      return Fail(std::string(name) + ": is one JSON document over several lines; " + kExpected);
    }
    if (!object && jsonl.empty() && !whole.ends_with('\n') && !benchmark.rows.empty()) {
      benchmark.broken_off = true;
      break;
    }
    if (!object) return tl::unexpected(object.error());
    HEADRACE_ASSIGN(
        std::optional<BenchmarkRow> row,
        RowReader(*object, std::string(name) + ": line " + std::to_string(number)).Read());
    if (!row) {
      ++benchmark.unknown_metric_rows;
      continue;
    }
    if (!benchmark.rows.empty()) {
      if (const auto one = CheckOneSubject(benchmark.rows.front(), *row); !one) {
        return Fail(std::string(name) + ": line " + std::to_string(number) + " " +
                    one.error().message + ".");
      }
    }
    const bool is_new =
        seen.emplace(row->input_tokens, row->output_tokens, row->request_rate, row->metric).second;
    if (is_new) {
      benchmark.rows.push_back(*std::move(row));
    } else {
      ++benchmark.repeated_rows;
    }
  }
  if (benchmark.rows.empty()) {
    return Fail(std::string(name) + ": holds no measurement; " + kExpected);
  }
  return benchmark;
}

std::string FormatBenchmarkRow(const BenchmarkRow& row) {
  JsonWriter json(JsonWriter::Layout::kSpaced);
  json.BeginObject()
      .Member("input_tokens", row.input_tokens)
      .Member("output_tokens", row.output_tokens);
  WriteNumber("request_rate", row.request_rate, "Infinity", json);
  json.Member("seed", row.seed)
      .Member("model", row.model)
      .Member("samples", row.samples)
      .Member("metric", MetricName(row.metric));
  WriteNumber("mean", row.value.mean, "NaN", json);
  if (row.metric != Metric::kTput && row.metric != Metric::kTt) {
    WriteNumber("P50", row.value.p50, "NaN", json);
    WriteNumber("P90", row.value.p90, "NaN", json);
    WriteNumber("P99", row.value.p99, "NaN", json);
    if (std::isfinite(row.value.p95)) json.Member("P95", row.value.p95);
  }
  if (!row.deployment.empty()) json.Member("deployment", row.deployment);
  if (!row.slo.empty()) json.Member("slo", row.slo);
  return json.EndObject().Take() + "\n";
}

std::vector<BenchmarkRow> RowsOf(const Measurement& measured, std::int64_t seed,
                                 const std::string& model) {
  const GridPoint& point = measured.point;
  std::vector<BenchmarkRow> rows;
  const auto add = [&](Metric metric, const Statistics& value) {
    if (std::isnan(value.mean)) return;
    const Statistics rounded{Rounded(value.mean), Rounded(value.p50), Rounded(value.p90),
                             Rounded(value.p95), Rounded(value.p99)};
    rows.push_back({.input_tokens = point.input,
                    .output_tokens = point.output,
                    .request_rate = point.rate,
                    .seed = seed,
                    .model = model,
                    .samples = measured.samples,
                    .metric = metric,
                    .value = rounded});
  };
  add(Metric::kTput, {.mean = measured.tput});
  add(Metric::kTt, {.mean = measured.tt});
  add(Metric::kE2e, measured.e2e);
  add(Metric::kTtft, measured.ttft);
  if (measured.sustained) add(Metric::kTpot, measured.tpot);
  return rows;
}

Measurement MeasurementOf(std::span<const BenchmarkRow> rows) {
  Measurement measured;
  measured.sustained = false;
  for (const BenchmarkRow& row : rows) {
    measured.point = {row.input_tokens, row.output_tokens, row.request_rate};
    measured.samples = row.samples;
    switch (row.metric) {
      case Metric::kTput:
        measured.tput = row.value.mean;
        break;
      case Metric::kTt:
        measured.tt = row.value.mean;
        break;
      case Metric::kE2e:
        measured.e2e = row.value;
        break;
      case Metric::kTtft:
        measured.ttft = row.value;
        break;
      case Metric::kTpot:
        measured.tpot = row.value;
        measured.sustained = true;
        break;
    }
  }
  return measured;
}

}  // namespace headrace::benchmark
