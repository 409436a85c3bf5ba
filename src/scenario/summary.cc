#include "scenario/summary.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <numeric>

#include "base/random.h"
#include "base/text.h"

namespace headrace::scenario {
namespace {

constexpr int kResamples = 2000;

std::string Quoted(const std::string& text) { return nlohmann::json(text).dump(); }

std::string Percent(double share) {
  char text[16];
  std::snprintf(text, sizeof text, "%.1f", 100 * share);
  return text;
}

std::string FormatDeployments(const Scenario& scenario, const sim::SimulationResult& result) {
  std::string text = "{";
  for (const sim::DeploymentResult& deployment : result.deployments) {
    if (text.size() > 1) text += ", ";
    text += Quoted(deployment.name) + ": {\"endpoints\": " + std::to_string(deployment.endpoints) +
            ", \"utilization\": " + FormatJsonNumber(deployment.utilization) +
            ", \"cost\": " + FormatJsonNumber(deployment.cost) +
            ", \"preemptions\": " + std::to_string(deployment.preemptions) + ", \"sent\": {";
    for (std::size_t c = 0; c < deployment.sent.size(); ++c) {
      text += (c == 0 ? "" : ", ") + Quoted(scenario.workload.classes[c].name) + ": " +
              std::to_string(deployment.sent[c]);
    }
    text += "}}";
  }
  return text + "}";
}

// Pads with spaces to `width` columns; an UTF-8 continuation byte takes none.
std::string Pad(const std::string& text, std::size_t width, bool left) {
  const auto columns = static_cast<std::size_t>(
      std::ranges::count_if(text, [](char c) { return (c & 0xc0) != 0x80; }));
  const std::string spaces(columns < width ? width - columns : 0, ' ');
  return left ? text + spaces : spaces + text;
}

}  // namespace

Estimate EstimateMean(const std::vector<double>& values) {
  if (values.empty()) return {};
  const auto count = static_cast<double>(values.size());
  const double mean = std::accumulate(values.begin(), values.end(), 0.0) / count;
  if (values.size() == 1) return {mean, mean, mean};
  Rng rng(1);
  std::vector<double> means;
  for (int i = 0; i < kResamples; ++i) {
    double sum = 0;
    for (std::size_t j = 0; j < values.size(); ++j) sum += values[rng.Below(values.size())];
    means.push_back(sum / count);
  }
  std::ranges::sort(means);
  return {mean, means[kResamples / 40], means[kResamples - 1 - kResamples / 40]};
}

Estimate EstimateOver(const Study& study, std::size_t contender, std::size_t rate,
                      const std::function<double(const sim::SimulationResult&)>& figure) {
  std::vector<double> values;
  for (std::size_t seed = 0; seed < static_cast<std::size_t>(study.scenario->seeds); ++seed) {
    values.push_back(figure(study.At(contender, rate, seed).result));
  }
  return EstimateMean(values);
}

Estimate AttainmentOf(const Study& study, std::size_t contender, std::size_t rate) {
  return EstimateOver(study, contender, rate, [](const sim::SimulationResult& result) {
    return result.statistics.Total().Attainment();
  });
}

Estimate P99TpatOf(const Study& study, std::size_t contender, std::size_t rate) {
  return EstimateOver(study, contender, rate, [](const sim::SimulationResult& result) {
    return result.statistics.Total().tpat.Quantile(0.99);
  });
}

std::string FormatSummary(const Study& study) {
  const Scenario& scenario = *study.scenario;
  std::string text = "[";
  for (const Run& run : study.runs) {
    text += text.size() > 1 ? ",\n" : "\n";
    text += "{\"policy\": " + Quoted(scenario.contenders[run.contender].name) +
            ", \"rate\": " + FormatJsonNumber(scenario.rates[run.rate]) +
            ", \"seed\": " + std::to_string(run.seed) + ", " +
            workload::FormatStatisticsMembers(run.result.statistics,
                                              scenario.DurationAt(scenario.rates[run.rate])) +
            ", \"cost\": " + FormatJsonNumber(run.result.cost) +
            ", \"deployments\": " + FormatDeployments(scenario, run.result) +
            ", \"bound_attainment\": " + FormatJsonNumber(study.bounds[run.rate].attainment);
    const std::string split = Describe(scenario, study.SplitOf(run.contender, run.rate));
    if (!split.empty()) text += ", \"split\": " + Quoted(split);
    text += "}";
  }
  return text + "\n]\n";
}

std::string FormatTable(const Study& study) {
  const Scenario& scenario = *study.scenario;
  std::size_t width = std::string("upper bound").size();
  for (const Contender& contender : scenario.contenders) {
    width = std::max(width, contender.name.size());
  }
  constexpr std::size_t kColumn = 22;
  std::string text = "attainment in %, mean and 95 % interval over " +
                     std::to_string(scenario.seeds) + " seeds; in parentheses % of the bound\n";
  text += Pad("rate ×", width, true);
  for (const double rate : scenario.rates) text += Pad(FormatNumber(rate), kColumn, false);
  text += "\n";
  for (std::size_t c = 0; c < scenario.contenders.size(); ++c) {
    text += Pad(scenario.contenders[c].name, width, true);
    for (std::size_t r = 0; r < scenario.rates.size(); ++r) {
      const Estimate estimate = AttainmentOf(study, c, r);
      const double bound = study.bounds[r].attainment;
      text += Pad(Percent(estimate.mean) + " [" + Percent(estimate.low) + "–" +
                      Percent(estimate.high) + "] (" +
                      FormatNumber(bound > 0 ? std::round(100 * estimate.mean / bound) : 0) + ")",
                  kColumn, false);
    }
    text += "\n";
  }
  text += Pad("upper bound", width, true);
  for (const FluidBound& bound : study.bounds) {
    text += Pad(Percent(bound.attainment), kColumn, false);
  }
  return text + "\n";
}

std::string RequestsCsvHeader() {
  return "policy,rate,seed,class,arrived_s,prompt_tokens,output_tokens,end,attained,deployment,"
         "endpoint,queue_s,ttft_s,e2e_s\n";
}

std::string FormatRequestCsv(const Study& study, const Run& run, const sim::RequestRecord& record) {
  const Scenario& scenario = *study.scenario;
  std::string text = scenario.contenders[run.contender].name + "," +
                     FormatJsonNumber(scenario.rates[run.rate]) + "," + std::to_string(run.seed) +
                     "," + scenario.workload.classes[record.class_index].name + "," +
                     FormatJsonNumber(record.arrived) + "," + std::to_string(record.prompt_tokens) +
                     "," + std::to_string(record.output_tokens) + "," +
                     std::string(ToString(record.end)) + "," + (record.attained ? "1" : "0");
  text += record.deployment ? "," + scenario.fleet[*record.deployment].name + "," +
                                  std::to_string(record.endpoint)
                            : std::string(",,");
  for (const Seconds value : {record.queued, record.ttft, record.e2e}) {
    text += "," + FormatJsonNumber(value);
  }
  return text + "\n";
}

}  // namespace headrace::scenario
