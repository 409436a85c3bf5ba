#include "benchmark/generate.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "base/text.h"
#include "benchmark/measurement.h"
#include "slo/slo_text.h"

namespace headrace::benchmark {
namespace {

constexpr double kHole = std::numeric_limits<double>::quiet_NaN();

// One request rate of one cell.
struct Rate {
  double rate = 0;
  std::array<const BenchmarkRow*, kMetrics> rows{};  // By metric; null = not measured.

  const BenchmarkRow* Row(Metric metric) const { return rows[static_cast<std::size_t>(metric)]; }
};

// What was measured of one cell.
struct Cell {
  std::vector<Rate> rates;                            // In order of appearance.
  std::array<const BenchmarkRow*, kMetrics> first{};  // By metric, over all rates.

  void Add(const BenchmarkRow& row) {
    const auto metric = static_cast<std::size_t>(row.metric);
    auto found = std::ranges::find(rates, row.request_rate, &Rate::rate);
    if (found == rates.end()) found = rates.insert(found, Rate{row.request_rate, {}});
    if (!found->rows[metric]) found->rows[metric] = &row;
    if (!first[metric]) first[metric] = &row;
  }
};

// One of the tests that a rate must pass, in the order of gen_profile.py; NTPOT is not in there.
struct Test {
  const char* name;
  Metric metric;
  std::optional<double> slo::Slo::* target;
  bool at_least;  // A throughput: its mean ≥ the target. Else a latency: the statistic < it.
  enum class Per { kRequest, kToken, kOutputToken } per = Per::kRequest;
};
constexpr std::array<Test, 7> kTests = {{
    {"TPUT", Metric::kTput, &slo::Slo::tput, true},
    {"TT", Metric::kTt, &slo::Slo::tt, true},
    {"E2E", Metric::kE2e, &slo::Slo::e2e, false},
    {"TTFT", Metric::kTtft, &slo::Slo::ttft, false},
    {"TPAT", Metric::kE2e, &slo::Slo::tpat, false, Test::Per::kToken},
    {"TPOT", Metric::kTpot, &slo::Slo::tpot, false},
    {"NTPOT", Metric::kE2e, &slo::Slo::ntpot, false, Test::Per::kOutputToken},
}};

double Measured(const Test& test, const BenchmarkRow& row, int percentile) {
  const double value = row.value.At(test.at_least ? 0 : percentile);
  switch (test.per) {
    case Test::Per::kToken:
      return value / (row.input_tokens + row.output_tokens);
    case Test::Per::kOutputToken:
      return value / row.output_tokens;
    case Test::Per::kRequest:
      break;
  }
  return value;
}

bool Passes(const Test& test, const Rate& rate, const slo::Slo& slo) {
  const BenchmarkRow* row = rate.Row(test.metric);
  if (!row) return false;
  const double value = Measured(test, *row, slo.percentile);
  const std::optional<double>& target = slo.*test.target;
  // Without a target it still takes a number: NaN fails both comparisons, as in gen_profile.py.
  return test.at_least ? value >= target.value_or(0)
                       : value < target.value_or(std::numeric_limits<double>::infinity());
}

std::string StatisticName(const Test& test, int percentile) {
  if (test.at_least || percentile == 0) return std::string(test.name) + " mean";
  return std::string(test.name) + " P" + std::to_string(percentile);
}

// Why none of `candidates` passed `test`.
std::string WhyNone(const Test& test, const std::vector<const Rate*>& candidates,
                    const slo::Slo& slo) {
  const std::string statistic = StatisticName(test, slo.percentile);
  const Rate* best = nullptr;
  double best_value = kHole;
  for (const Rate* rate : candidates) {
    const BenchmarkRow* row = rate->Row(test.metric);
    const double value = row ? Measured(test, *row, slo.percentile) : kHole;
    if (std::isnan(value)) continue;
    if (best && (test.at_least ? value <= best_value : value >= best_value)) continue;
    best = rate;
    best_value = value;
  }
  const std::optional<double>& target = slo.*test.target;
  if (!best || !target) return "there is no " + statistic + " at the rates that passed so far";
  const auto text = [&](double value) {
    if (!test.at_least) return FormatDuration(value);
    return FormatNumber(value) + (test.metric == Metric::kTput ? " req/s" : " tokens/s");
  };
  return "the best " + statistic + " is " + text(best_value) + " (at " + FormatNumber(best->rate) +
         " req/s), the SLO " + text(*target);
}

// The rate that a cell's throughput is taken from.
const Rate& Choose(const std::vector<const Rate*>& kept) {
  const Rate* lowest = kept.front();
  const Rate* highest_sustained = nullptr;
  for (const Rate* rate : kept) {
    if (rate->rate < lowest->rate) lowest = rate;
    const bool sustained = rate->Row(Metric::kTput)->value.mean >= rate->rate * kSustained;
    if (sustained && (!highest_sustained || rate->rate > highest_sustained->rate)) {
      highest_sustained = rate;
    }
  }
  return highest_sustained ? *highest_sustained : *lowest;
}

void SetCell(std::optional<profile::BucketMatrix>& matrix, const profile::GpuProfile& profile,
             profile::ProfileCell cell, double value) {
  if (!std::isfinite(value)) return;
  if (!matrix) matrix = profile::BucketMatrix(profile.outputs.size(), profile.inputs.size(), kHole);
  matrix->at(cell.output, cell.input) = value;
}

// Fills the latencies of a cell from the rows of its rate.
void SetLatencies(profile::GpuProfile& profile, profile::ProfileCell cell,
                  const std::array<const BenchmarkRow*, kMetrics>& rows) {
  using Matrix = std::optional<profile::BucketMatrix>;
  struct Target {
    Metric metric;
    Matrix profile::GpuProfile::* mean;
    Matrix profile::ProfileDetail::* p50;
    Matrix profile::ProfileDetail::* p90;
    Matrix profile::ProfileDetail::* p95;
    Matrix profile::ProfileDetail::* p99;
  };
  static constexpr std::array<Target, 3> kTargets = {{
      {Metric::kE2e, &profile::GpuProfile::e2e, &profile::ProfileDetail::e2e_p50,
       &profile::ProfileDetail::e2e_p90, &profile::ProfileDetail::e2e_p95,
       &profile::ProfileDetail::e2e_p99},
      {Metric::kTtft, &profile::GpuProfile::ttft, &profile::ProfileDetail::ttft_p50,
       &profile::ProfileDetail::ttft_p90, &profile::ProfileDetail::ttft_p95,
       &profile::ProfileDetail::ttft_p99},
      {Metric::kTpot, &profile::GpuProfile::tpot, &profile::ProfileDetail::tpot_p50,
       &profile::ProfileDetail::tpot_p90, &profile::ProfileDetail::tpot_p95,
       &profile::ProfileDetail::tpot_p99},
  }};
  for (const Target& target : kTargets) {
    const BenchmarkRow* row = rows[static_cast<std::size_t>(target.metric)];
    if (!row) continue;
    SetCell(profile.*target.mean, profile, cell, row->value.mean);
    SetCell(profile.detail.*target.p50, profile, cell, row->value.p50);
    SetCell(profile.detail.*target.p90, profile, cell, row->value.p90);
    SetCell(profile.detail.*target.p99, profile, cell, row->value.p99);
    if (profile.slo.percentile == 95) {
      SetCell(profile.detail.*target.p95, profile, cell, row->value.p95);
    }
  }
}

// Decides one cell and writes it into `profile`.
CellReport Decide(const Cell& measured, profile::ProfileCell cell, profile::GpuProfile& profile) {
  CellReport report;
  report.output_tokens = profile.outputs.centres()[cell.output];
  report.input_tokens = profile.inputs.centres()[cell.input];
  report.rates_measured = measured.rates.size();
  if (measured.rates.empty()) {
    report.why_zero = "nothing was measured";
    return report;
  }
  std::vector<const Rate*> kept;
  kept.reserve(measured.rates.size());
  for (const Rate& rate : measured.rates) kept.push_back(&rate);
  for (const Test& test : kTests) {
    std::vector<const Rate*> passed;
    std::ranges::copy_if(kept, std::back_inserter(passed),
                         [&](const Rate* rate) { return Passes(test, *rate, profile.slo); });
    if (passed.empty()) report.why_zero = WhyNone(test, kept, profile.slo);
    kept = std::move(passed);
    if (kept.empty()) break;
  }
  report.rates_kept = kept.size();

  std::array<const BenchmarkRow*, kMetrics> rows = measured.first;
  if (!kept.empty()) {
    const Rate& chosen = Choose(kept);
    rows = chosen.rows;
    const double tput = chosen.Row(Metric::kTput)->value.mean;
    profile.tput.at(cell.output, cell.input) = tput;
    if (!(tput > 0)) report.why_zero = "no request was finished at the rate that passed";
    const double highest = std::ranges::max(measured.rates, {}, &Rate::rate).rate;
    report.unbounded = chosen.rate == highest && tput >= chosen.rate * kSustained;
  }
  SetLatencies(profile, cell, rows);
  // The rate that the cell's E2E belongs to: the chosen one, else that of the first row.
  const BenchmarkRow* e2e = rows[static_cast<std::size_t>(Metric::kE2e)];
  const BenchmarkRow* source =
      e2e ? e2e
          : *std::ranges::find_if(rows, [](const BenchmarkRow* row) { return row != nullptr; });
  report.rate = source->request_rate;
  report.samples = source->samples;
  SetCell(profile.detail.rates, profile, cell, report.rate);
  SetCell(profile.detail.samples, profile, cell, static_cast<double>(report.samples));
  return report;
}

}  // namespace

Result<GeneratedProfile> GenerateProfile(const Benchmark& benchmark,
                                         const GenerateOptions& options) {
  const int percentile = options.slo.percentile;
  if (options.deployment.empty()) {
    return Fail("A profile needs the name of its deployment; give one.");
  }
  if (!(options.cost >= 0 && std::isfinite(options.cost))) {
    return Fail("The cost must be a number from 0; correct it.");
  }
  if (percentile != 0 && percentile != 50 && percentile != 90 && percentile != 95 &&
      percentile != 99) {
    return Fail("The SLO's percentile must be 0 (the mean), 50, 90, 95 or 99, not " +
                std::to_string(percentile) + ".");
  }
  if (benchmark.rows.empty()) return Fail("The benchmark holds no measurement; measure first.");

  std::set<Tokens> outputs, inputs;
  std::map<std::pair<Tokens, Tokens>, Cell> cells;
  for (const BenchmarkRow& row : benchmark.rows) {
    outputs.insert(row.output_tokens);
    inputs.insert(row.input_tokens);
    cells[{row.output_tokens, row.input_tokens}].Add(row);
  }
  if (std::max(outputs.size(), inputs.size()) > profile::kMaxBucketCentres) {
    return Fail("The benchmark has " + std::to_string(outputs.size()) + " output and " +
                std::to_string(inputs.size()) + " input lengths; a profile holds at most " +
                std::to_string(profile::kMaxBucketCentres) + " of each.");
  }

  GeneratedProfile result;
  profile::GpuProfile& profile = result.profile;
  profile.deployment = options.deployment;
  profile.cost = options.cost;
  profile.created = options.created;
  profile.slo = options.slo;
  profile.outputs = profile::BucketAxis({outputs.begin(), outputs.end()});
  profile.inputs = profile::BucketAxis({inputs.begin(), inputs.end()});
  profile.tput = profile::BucketMatrix(outputs.size(), inputs.size(), 0);
  for (std::size_t output = 0; output < outputs.size(); ++output) {
    for (std::size_t input = 0; input < inputs.size(); ++input) {
      const Cell& cell =
          cells[{profile.outputs.centres()[output], profile.inputs.centres()[input]}];
      result.cells.push_back(Decide(cell, {output, input}, profile));
    }
  }
  return result;
}

std::string DescribeGeneration(const Benchmark& benchmark, const GeneratedProfile& generated) {
  std::string text;
  if (benchmark.repeated_rows > 0) {
    text += std::to_string(benchmark.repeated_rows) +
            " repeated rows were left out: the first of each kind counts.\n";
  }
  if (benchmark.unknown_metric_rows > 0) {
    text += std::to_string(benchmark.unknown_metric_rows) +
            " rows were left out: their metric is none of TPUT, TT, E2E, TTFT, TPOT.\n";
  }
  if (benchmark.broken_off) text += "The last line breaks off and was left out.\n";
  const BenchmarkRow& first = benchmark.rows.front();
  const std::string slo = slo::DescribeWithPercentile(generated.profile.slo);
  if (!first.deployment.empty() && first.deployment != generated.profile.deployment) {
    text += "The rows are of the deployment \"" + first.deployment +
            "\", and the profile is for \"" + generated.profile.deployment + "\".\n";
  }
  if (!first.slo.empty() && first.slo != slo) {
    text += "The rates were searched for the SLO " + first.slo + "; with " + slo +
            " a better one may not have been measured.\n";
  }
  std::size_t zero = 0;
  std::size_t unbounded = 0;
  for (const CellReport& cell : generated.cells) {
    unbounded += cell.unbounded;
    if (cell.why_zero.empty()) continue;
    ++zero;
    text += profile::CellName(cell.output_tokens, cell.input_tokens) + ": 0, because " +
            cell.why_zero + ".\n";
  }
  text += std::to_string(generated.cells.size() - zero) + " of " +
          std::to_string(generated.cells.size()) + " cells meet the SLO.\n";
  if (unbounded > 0) {
    text += "In " + std::to_string(unbounded) +
            " of them the highest measured rate still met it; measure higher rates to find the "
            "limit.\n";
  }
  return text;
}

}  // namespace headrace::benchmark
