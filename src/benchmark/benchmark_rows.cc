#include "benchmark/benchmark_rows.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <set>
#include <tuple>
#include <utility>

#include "base/text.h"
#include "profile/python_json.h"

namespace headrace::benchmark {
namespace {

using Json = nlohmann::json;

constexpr std::array<std::string_view, kMetrics> kMetricNames = {"TPUT", "TT", "E2E", "TTFT",
                                                                 "TPOT"};

// Reads the object of one line; `place` ("file: line 7") begins every sentence.
class RowReader {
 public:
  RowReader(const Json& object, std::string place) : object_(object), place_(std::move(place)) {}

  // Nothing for a row whose metric is unknown.
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

    const auto input = Count("input_tokens");
    if (!input) return tl::unexpected(input.error());
    const auto output = Count("output_tokens");
    if (!output) return tl::unexpected(output.error());
    row.input_tokens = *input;
    row.output_tokens = *output;
    row.request_rate = Number("request_rate");
    if (!(row.request_rate > 0)) {
      return Fail(place_ + ": `request_rate` must be a number above 0; correct it.");
    }
    row.seed = Integer("seed");
    row.samples = Integer("samples");
    if (const auto model = object_.find("model"); model != object_.end() && model->is_string()) {
      row.model = model->get<std::string>();
    }
    row.value = {Number("mean"), Number("P50"), Number("P90"), Number("P99")};
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

  // 0 when it is missing or does not fit.
  std::int64_t Integer(const char* key) const {
    const double number = Number(key);
    return std::abs(number) < 0x1p62 ? static_cast<std::int64_t>(number) : 0;
  }

  Result<Tokens> Count(const char* key) const {
    const double number = Number(key);
    if (number >= 1 && number <= std::numeric_limits<Tokens>::max() &&
        number == std::floor(number)) {
      return static_cast<Tokens>(number);
    }
    return Fail(place_ + ": `" + key + "` must be a whole number from 1; correct it.");
  }

  const Json& object_;
  std::string place_;
};

void AppendStatistic(std::string& out, const char* key, double value) {
  // Python's reader, which this file is for, takes no null here, but NaN.
  const std::string number = std::isfinite(value) ? FormatJsonNumber(value) : "NaN";
  out.append(", \"").append(key).append("\": ").append(number);
}

}  // namespace

std::string_view MetricName(Metric metric) {
  return kMetricNames[static_cast<std::size_t>(metric)];
}

double Statistics::At(int percentile) const {
  switch (percentile) {
    case 50:
      return p50;
    case 90:
      return p90;
    case 99:
      return p99;
    default:
      return mean;
  }
}

Result<Benchmark> ParseBenchmark(std::string_view jsonl, std::string_view name) {
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
    if (!object) return tl::unexpected(object.error());
    auto row = RowReader(*object, std::string(name) + ": line " + std::to_string(number)).Read();
    if (!row) return tl::unexpected(row.error());
    std::optional<BenchmarkRow>& found = *row;
    if (!found) {
      ++benchmark.unknown_metric_rows;
      continue;
    }
    BenchmarkRow& measured = *found;
    const bool is_new = seen.emplace(measured.input_tokens, measured.output_tokens,
                                     measured.request_rate, measured.metric)
                            .second;
    if (is_new) {
      benchmark.rows.push_back(std::move(measured));
    } else {
      ++benchmark.repeated_rows;
    }
  }
  if (benchmark.rows.empty()) {
    return Fail(std::string(name) +
                ": holds no measurement; expected one JSON object a line, with `metric` TPUT, TT, "
                "E2E, TTFT or TPOT.");
  }
  return benchmark;
}

std::string FormatBenchmarkRow(const BenchmarkRow& row) {
  std::string out = "{\"input_tokens\": " + std::to_string(row.input_tokens) +
                    ", \"output_tokens\": " + std::to_string(row.output_tokens) +
                    ", \"request_rate\": ";
  out += std::isfinite(row.request_rate) ? FormatJsonNumber(row.request_rate) : "Infinity";
  out += ", \"seed\": " + std::to_string(row.seed);
  out += ", \"model\": " + Json(row.model).dump(-1, ' ', false, Json::error_handler_t::replace);
  out += ", \"samples\": " + std::to_string(row.samples);
  out.append(", \"metric\": \"").append(MetricName(row.metric)).append("\"");
  AppendStatistic(out, "mean", row.value.mean);
  if (row.metric != Metric::kTput && row.metric != Metric::kTt) {
    AppendStatistic(out, "P50", row.value.p50);
    AppendStatistic(out, "P90", row.value.p90);
    AppendStatistic(out, "P99", row.value.p99);
  }
  out += "}\n";
  return out;
}

}  // namespace headrace::benchmark
