#include "benchmark/import.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <map>
#include <optional>
#include <set>

#include "profile/python_json.h"

namespace headrace::benchmark {
namespace {

constexpr std::string_view kBlank = " \t\r";

std::vector<std::string> Cells(std::string_view line) {
  std::vector<std::string> cells;
  for (;;) {
    const std::size_t end = std::min(line.find(','), line.size());
    const std::string_view cell = line.substr(0, end);
    const std::size_t begin = std::min(cell.find_first_not_of(kBlank), cell.size());
    cells.emplace_back(cell.substr(begin, cell.find_last_not_of(kBlank) + 1 - begin));
    if (end == line.size()) return cells;
    line.remove_prefix(end + 1);
  }
}

std::optional<double> Number(const std::string& text) {
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (text.empty() || *end != '\0' || !std::isfinite(value)) return std::nullopt;
  return value;
}

std::string Join(const std::set<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

// One line of the table, by column.
class Line {
 public:
  Line(const std::map<std::string, std::size_t>& columns, std::vector<std::string> cells,
       std::string place)
      : columns_(columns), cells_(std::move(cells)), place_(std::move(place)) {}

  std::string Text(const std::string& column) const {
    const auto found = columns_.find(column);
    return found == columns_.end() || found->second >= cells_.size() ? "" : cells_[found->second];
  }
  Result<double> Positive(const std::string& column) const {
    const auto number = Number(Text(column));
    if (number && *number > 0) return *number;
    return Fail(place_ + ": `" + column + "` must be a number above 0; correct it.");
  }
  // The rows of this line, without its model.
  Result<std::vector<BenchmarkRow>> Rows() const {
    std::map<std::string, double> values;
    for (const char* column : {"isl", "osl", "seq/s", "request_latency", "ttft", "tpot"}) {
      const auto value = Positive(column);
      if (!value) return tl::unexpected(value.error());
      values[column] = *value;
    }
    if (values["isl"] > 1e9 || values["osl"] > 1e9) {
      return Fail(place_ + ": `isl` and `osl` must be numbers of tokens; correct them.");
    }
    std::vector<BenchmarkRow> rows;
    const auto add = [&](Metric metric, double mean) {
      BenchmarkRow row;
      row.input_tokens = static_cast<Tokens>(values["isl"]);
      row.output_tokens = static_cast<Tokens>(values["osl"]);
      row.request_rate = values["seq/s"];
      row.model = Text("model");
      row.metric = metric;
      row.value.mean = mean;
      rows.push_back(row);
    };
    add(Metric::kTput, values["seq/s"]);
    add(Metric::kTt, values["seq/s"] * values["osl"]);
    add(Metric::kE2e, values["request_latency"] / 1000);
    add(Metric::kTtft, values["ttft"] / 1000);
    add(Metric::kTpot, values["tpot"] / 1000);
    return rows;
  }

 private:
  const std::map<std::string, std::size_t>& columns_;
  std::vector<std::string> cells_;
  std::string place_;
};

}  // namespace

Result<std::vector<BenchmarkRow>> ImportAiConfigurator(std::string_view csv, std::string_view name,
                                                       std::string_view parallel) {
  const std::string file(name);
  std::map<std::string, std::size_t> columns;
  std::set<std::string> configurations;
  std::vector<BenchmarkRow> rows;
  std::size_t number = 0;
  while (!csv.empty()) {
    const std::size_t end = std::min(csv.find('\n'), csv.size());
    const std::string_view text = csv.substr(0, end);
    csv.remove_prefix(std::min(end + 1, csv.size()));
    ++number;
    if (text.find_first_not_of(kBlank) == text.npos) continue;
    std::vector<std::string> cells = Cells(text);
    if (columns.empty()) {
      for (std::size_t i = 0; i < cells.size(); ++i) columns[cells[i]] = i;
      if (columns.contains("(p)parallel")) {
        return Fail(file + " describes a disaggregated deployment; import an aggregated one.");
      }
      for (const char* column : {"isl", "osl", "seq/s", "request_latency", "ttft", "tpot"}) {
        if (columns.contains(column)) continue;
        return Fail(file + ": there is no column `" + column +
                    "`; AIConfigurator's pareto.csv and best_config_topn.csv have it.");
      }
      continue;
    }
    const Line line(columns, std::move(cells), file + ": line " + std::to_string(number));
    const std::string configuration = line.Text("parallel");
    configurations.insert(configuration);
    if (!parallel.empty() && configuration != parallel) continue;
    auto added = line.Rows();
    if (!added) return tl::unexpected(added.error());
    rows.insert(rows.end(), added->begin(), added->end());
  }
  if (configurations.empty()) return Fail(file + " holds no line of results.");
  if (rows.empty() || (parallel.empty() && configurations.size() > 1)) {
    return Fail(file + " describes the configurations " + Join(configurations) +
                "; choose one with --parallel.");
  }
  return rows;
}

Result<profile::GpuProfile> ImportMelange(std::string_view json, std::string_view name,
                                          std::string_view gpu, const std::vector<Tokens>& inputs,
                                          const std::vector<Tokens>& outputs) {
  const std::string file(name);
  const auto parsed = profile::ParsePythonJson(json, name, 1);
  if (!parsed) return tl::unexpected(parsed.error());
  const auto info = parsed->is_object() ? parsed->find("gpu_info") : parsed->end();
  if (!parsed->is_object() || info == parsed->end() || !info->is_object()) {
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
