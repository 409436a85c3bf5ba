#include "benchmark/import.h"

#include <array>
#include <cmath>
#include <cstdlib>
#include <functional>
#include <initializer_list>
#include <map>
#include <set>
#include <utility>

#include "base/csv.h"
#include "base/limits.h"
#include "profile/python_json.h"

namespace headrace::benchmark {
namespace {

constexpr std::array<std::string_view, 6> kColumns = {"isl",  "osl", "seq/s", "request_latency",
                                                      "ttft", "tpot"};

std::string Join(const std::set<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

// AIConfigurator's table: its columns by name, and the row that the reader is at.
class Table {
 public:
  Table(std::string_view csv, std::string_view name) : reader_(csv, name), name_(name) {}

  Result<void> ReadHeader() {
    HEADRACE_ASSIGN(const bool named, reader_.NextRow());
    if (!named) return Fail(name_ + " has no line of results.");
    for (std::size_t i = 0; i < reader_.cells().size(); ++i) {
      columns_[std::string(reader_.cells()[i])] = i;
    }
    if (columns_.contains("(p)parallel")) {
      return Fail(name_ + " describes a disaggregated deployment; import an aggregated one.");
    }
    for (const std::string_view column : kColumns) {
      if (columns_.contains(column)) continue;
      return Fail(name_ + ": there is no column `" + std::string(column) +
                  "`; AIConfigurator's pareto.csv and best_config_topn.csv have it.");
    }
    return {};
  }
  Result<bool> NextRow() { return reader_.NextRow(); }
  std::size_t broken_line() const { return reader_.broken_line(); }

  // "" if the row does not have it.
  std::string Text(std::string_view column) const {
    const auto found = columns_.find(column);
    if (found == columns_.end() || found->second >= reader_.cells().size()) return "";
    return std::string(reader_.cells()[found->second]);
  }

  // The benchmark rows of the row.
  Result<std::vector<BenchmarkRow>> Rows() const {
    std::array<double, kColumns.size()> values{};
    for (std::size_t i = 0; i < kColumns.size(); ++i) {
      HEADRACE_ASSIGN(values[i], Positive(kColumns[i]));
    }
    const auto [input, output, rate, e2e_ms, ttft_ms, tpot_ms] = values;
    if (!limits::kTokens.Contains(input) || !limits::kTokens.Contains(output)) {
      return reader_.FailHere("`isl` and `osl` must be numbers of tokens; correct them.");
    }
    BenchmarkRow row;
    row.input_tokens = static_cast<Tokens>(input);
    row.output_tokens = static_cast<Tokens>(output);
    row.request_rate = rate;
    row.model = Text("model");
    std::vector<BenchmarkRow> rows;
    for (const auto& [metric, mean] :
         std::initializer_list<std::pair<Metric, double>>{{Metric::kTput, rate},
                                                          {Metric::kTt, rate * output},
                                                          {Metric::kE2e, e2e_ms / 1000},
                                                          {Metric::kTtft, ttft_ms / 1000},
                                                          {Metric::kTpot, tpot_ms / 1000}}) {
      row.metric = metric;
      row.value.mean = mean;
      rows.push_back(row);
    }
    return rows;
  }

 private:
  Result<double> Positive(std::string_view column) const {
    const std::string text = Text(column);
    char* end = nullptr;
    const double value = std::strtod(text.c_str(), &end);
    if (!text.empty() && *end == '\0' && limits::kMeasured.Contains(value)) return value;
    return reader_.FailHere("`" + std::string(column) + "` must be a number above 0; correct it.");
  }

  CsvReader reader_;
  std::string name_;
  std::map<std::string, std::size_t, std::less<>> columns_;
};

}  // namespace

Result<ImportedResults> ImportAiConfigurator(std::string_view csv, std::string_view name,
                                             std::string_view parallel) {
  Table table(csv, name);
  HEADRACE_TRY(table.ReadHeader());
  std::set<std::string> configurations;
  ImportedResults imported;
  for (;;) {
    HEADRACE_ASSIGN(const bool more, table.NextRow());
    if (!more) break;
    const std::string configuration = table.Text("parallel");
    configurations.insert(configuration);
    if (!parallel.empty() && configuration != parallel) continue;
    HEADRACE_ASSIGN(const auto added, table.Rows());
    imported.rows.insert(imported.rows.end(), added.begin(), added.end());
  }
  const std::string file(name);
  if (table.broken_line() > 0) {
    imported.notes.push_back(file + ":" + std::to_string(table.broken_line()) +
                             ": the last line breaks off and is left out");
  }
  if (configurations.empty()) return Fail(file + " has no line of results.");
  if (imported.rows.empty() || (parallel.empty() && configurations.size() > 1)) {
    return Fail(file + " describes the configurations " + Join(configurations) +
                "; choose one with --parallel.");
  }
  return imported;
}

Result<profile::GpuProfile> ImportMelange(std::string_view json, std::string_view name,
                                          std::string_view gpu, const std::vector<Tokens>& inputs,
                                          const std::vector<Tokens>& outputs) {
  const std::string file(name);
  HEADRACE_ASSIGN(const auto parsed, profile::ParsePythonJson(json, name, 1));
  const auto info = parsed.is_object() ? parsed.find("gpu_info") : parsed.end();
  if (!parsed.is_object() || info == parsed.end() || !info->is_object()) {
    return Fail(file + " has no object `gpu_info`; it is not Mélange's input.");
  }
  const auto entry = info->find(std::string(gpu));
  if (entry == info->end() || !entry->is_object()) {
    std::set<std::string> known;
    for (const auto& [key, value] : info->items()) known.insert(key);
    return Fail(file + " has no GPU " + std::string(gpu) + ", but " + Join(known) + ".");
  }
  profile::GpuProfile profile;
  profile.deployment = gpu;
  profile.outputs = profile::BucketAxis(outputs);
  profile.inputs = profile::BucketAxis(inputs);
  profile.tput = profile::BucketMatrix(outputs.size(), inputs.size(), 0);
  const auto cost = entry->find("cost");
  profile.cost = cost == entry->end() ? 0 : profile::NumberIn(*cost).value_or(0);
  const auto table = entry->find("tputs");
  const auto misfit = Fail(file + ": `tputs` of " + std::string(gpu) + " must have " +
                           std::to_string(inputs.size()) + " rows, one per input, of " +
                           std::to_string(outputs.size()) +
                           " numbers from 0, one per output; correct --inputs and --outputs.");
  if (table == entry->end() || !table->is_array() || table->size() != inputs.size()) return misfit;
  for (std::size_t input = 0; input < inputs.size(); ++input) {
    const auto& row = (*table)[input];
    if (!row.is_array() || row.size() != outputs.size()) return misfit;
    for (std::size_t output = 0; output < outputs.size(); ++output) {
      const auto value = profile::NumberIn(row[output]);
      if (!value || !(*value >= 0 && std::isfinite(*value))) return misfit;
      profile.tput.at(output, input) = *value;
    }
  }
  return profile;
}

}  // namespace headrace::benchmark
