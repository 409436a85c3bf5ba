#include "scenario/summary.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/csv.h"
#include "base/json_writer.h"
#include "base/random.h"
#include "base/text.h"

namespace headrace::scenario {
namespace {

constexpr int kResamples = 2000;

void WriteDeployments(const Scenario& scenario, const sim::SimulationResult& result,
                      JsonWriter& json) {
  json.Key("deployments").BeginObject();
  for (const sim::DeploymentResult& deployment : result.deployments) {
    json.Key(deployment.name)
        .BeginObject()
        .Member("endpoints", deployment.endpoints)
        .Member("utilization", deployment.utilization)
        .Member("cost", deployment.cost)
        .Member("preemptions", deployment.preemptions);
    json.Key("sent").BeginObject();
    for (std::size_t c = 0; c < deployment.sent.size(); ++c) {
      json.Member(scenario.workload.classes[c].name, deployment.sent[c]);
    }
    json.EndObject().EndObject();
  }
  json.EndObject();
}

constexpr std::pair<const char*, double> kRatioQuantiles[] = {
    {"p10", 0.1}, {"p50", 0.5}, {"p90", 0.9}};

void WriteForecasts(const sim::ForecastRecord& record, JsonWriter& json) {
  json.Key("forecasts").BeginObject();
  for (const auto& [name, ratio] :
       {std::pair{"ttft_ratio", &record.ttft_ratio}, std::pair{"e2e_ratio", &record.e2e_ratio}}) {
    json.Key(name).BeginObject();
    for (const auto& [quantile, share] : kRatioQuantiles) {
      json.Member(quantile, ratio->Quantile(share));
    }
    json.EndObject();
  }
  json.Key("misses").BeginArray();
  for (std::size_t i = 0; i < record.misses.size(); ++i) {
    json.BeginObject()
        .Member("predicted_to", sim::ForecastRecord::kMissBounds[i])
        .Member("requests", record.misses[i].requests)
        .Member("predicted", record.misses[i].predicted)
        .Member("missed", record.misses[i].missed)
        .EndObject();
  }
  json.EndArray().EndObject();
}

// Of one policy at one rate, over all seeds.
sim::ForecastRecord ForecastsOver(const Study& study, std::size_t policy, std::size_t rate) {
  sim::ForecastRecord all;
  for (std::size_t seed = 0; seed < static_cast<std::size_t>(study.scenario->seeds); ++seed) {
    all.Merge(study.At(policy, rate, seed).result.forecasts);
  }
  return all;
}

std::string Interval(const Estimate& estimate, const std::function<std::string(double)>& format) {
  return format(estimate.mean) + " [" + format(estimate.low) + "–" + format(estimate.high) + "]";
}

// A row per policy and a column per rate.
render::Table PolicyTable(const Study& study,
                          const std::function<std::string(std::size_t, std::size_t)>& cell) {
  const Scenario& scenario = *study.scenario;
  render::Table table{{{"rate ×"}}, {}};
  for (const double rate : scenario.rates) {
    table.columns.push_back({FormatNumber(rate), render::Align::kRight});
  }
  for (std::size_t c = 0; c < scenario.policies.size(); ++c) {
    std::vector<std::string>& row = table.rows.emplace_back();
    row.push_back(scenario.policies[c].name);
    for (std::size_t r = 0; r < scenario.rates.size(); ++r) row.push_back(cell(c, r));
  }
  return table;
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

Estimate EstimateOver(const Study& study, std::size_t policy, std::size_t rate,
                      const std::function<double(const sim::SimulationResult&)>& figure) {
  std::vector<double> values;
  for (std::size_t seed = 0; seed < static_cast<std::size_t>(study.scenario->seeds); ++seed) {
    values.push_back(figure(study.At(policy, rate, seed).result));
  }
  return EstimateMean(values);
}

Estimate BoundOver(const Study& study, std::size_t rate, double ModeBound::* bound) {
  std::vector<double> values;
  for (std::size_t seed = 0; seed < static_cast<std::size_t>(study.scenario->seeds); ++seed) {
    values.push_back(study.BoundOf(rate, seed).*bound);
  }
  return EstimateMean(values);
}

Estimate AttainmentOf(const Study& study, std::size_t policy, std::size_t rate) {
  return EstimateOver(study, policy, rate, [](const sim::SimulationResult& result) {
    return result.statistics.Total().Attainment();
  });
}

WorstClass WorstClassOf(const Study& study, std::size_t policy, std::size_t rate) {
  std::vector<std::string> names;
  for (const workload::WorkloadClass& spec : study.scenario->workload.classes) {
    names.push_back(spec.name);
  }
  workload::RunStatistics all(names);
  for (std::size_t seed = 0; seed < static_cast<std::size_t>(study.scenario->seeds); ++seed) {
    const workload::RunStatistics& one = study.At(policy, rate, seed).result.statistics;
    for (std::size_t k = 0; k < names.size(); ++k) all.MergeClass(k, one.of(k));
  }
  const std::size_t worst = all.WorstClass().value_or(0);
  return {worst, EstimateOver(study, policy, rate, [worst](const sim::SimulationResult& result) {
            return result.statistics.of(worst).Attainment();
          })};
}

Estimate P99TpatOf(const Study& study, std::size_t policy, std::size_t rate) {
  return EstimateOver(study, policy, rate, [](const sim::SimulationResult& result) {
    return result.statistics.Total().tpat.Quantile(0.99);
  });
}

std::string FormatSummary(const Study& study) {
  const Scenario& scenario = *study.scenario;
  std::string text = "[";
  for (const Run& run : study.runs) {
    const double rate = scenario.rates[run.rate];
    JsonWriter json(JsonWriter::Layout::kSpaced);
    json.BeginObject()
        .Member("policy", scenario.policies[run.policy].name)
        .Member("rate", rate)
        .Member("seed", run.seed);
    workload::WriteStatistics(run.result.statistics, scenario.DurationAt(rate), json);
    if (const auto worst = run.result.statistics.WorstClass()) {
      json.Key("worst_class")
          .BeginObject()
          .Member("name", scenario.workload.classes[*worst].name)
          .Member("attainment", run.result.statistics.of(*worst).Attainment())
          .EndObject();
    }
    for (const auto& [key, counts] :
         {std::pair("too_long", &run.result.too_long), std::pair("cut", &run.result.cut)}) {
      json.Key(key).BeginObject();
      for (std::size_t k = 0; k < counts->size(); ++k) {
        json.Member(scenario.workload.classes[k].name, (*counts)[k]);
      }
      json.EndObject();
    }
    json.Member("cost", run.result.cost);
    WriteDeployments(scenario, run.result, json);
    if (!run.result.forecasts.empty()) WriteForecasts(run.result.forecasts, json);
    const ModeBound& bound = study.BoundOf(run.rate, run.seed - 1);
    json.Member("bound_attainment", bound.known).Member("blind_bound_attainment", bound.blind);
    const std::string split = DescribeSplit(study, run.policy, run.rate);
    if (!split.empty()) json.Member("split", split);
    text += (text.size() > 1 ? ",\n" : "\n") + json.EndObject().Take();
  }
  return text + "\n]\n";
}

std::string DescribeTooLong(const Study& study) {
  const Scenario& scenario = *study.scenario;
  std::string text;
  for (std::size_t k = 0; k < scenario.workload.classes.size(); ++k) {
    double too_long = 0;
    double cut = 0;
    for (const Run& run : study.runs) {
      const auto offered = static_cast<double>(run.result.statistics.of(k).offered);
      if (offered == 0) continue;
      too_long = std::max(too_long, static_cast<double>(run.result.too_long[k]) / offered);
      cut = std::max(cut, static_cast<double>(run.result.cut[k]) / offered);
    }
    const std::string& name = scenario.workload.classes[k].name;
    if (too_long > 0) {
      text += "up to " + FormatPercent(too_long) + " % of the requests of class " + name +
              " are too long for every engine that they may go to, and were refused; give a "
              "deployment a longer max_model_len\n";
    }
    if (cut > 0) {
      text += "up to " + FormatPercent(cut) + " % of the responses of class " + name +
              " are cut where prompt and response fill the longest context, " +
              std::to_string(scenario.LongestContext()) + " tokens\n";
    }
  }
  return text;
}

render::Table AttainmentTable(const Study& study) {
  render::Table table = PolicyTable(study, [&](std::size_t c, std::size_t r) {
    const Estimate estimate = AttainmentOf(study, c, r);
    const double bound = BoundOver(study, r, &ModeBound::known).mean;
    return Interval(estimate, FormatPercent) + " · " +
           FormatNumber(bound > 0 ? std::round(100 * estimate.mean / bound) : 0);
  });
  for (const auto& [name, bound] :
       {std::pair{kBoundName, &ModeBound::known}, std::pair{kBlindBoundName, &ModeBound::blind}}) {
    std::vector<std::string>& row = table.rows.emplace_back();
    row.emplace_back(name);
    for (std::size_t r = 0; r < study.scenario->rates.size(); ++r) {
      row.push_back(FormatPercent(BoundOver(study, r, bound).mean));
    }
  }
  return table;
}

render::Table WorstClassTable(const Study& study) {
  return PolicyTable(study, [&](std::size_t c, std::size_t r) {
    const WorstClass worst = WorstClassOf(study, c, r);
    return Interval(worst.attainment, FormatPercent) + " · " +
           study.scenario->workload.classes[worst.class_index].name;
  });
}

render::Table P99TpatTable(const Study& study) {
  return PolicyTable(study, [&](std::size_t c, std::size_t r) {
    return Interval(P99TpatOf(study, c, r),
                    [](double seconds) { return FormatNumber(1e3 * seconds); });
  });
}

render::Table ForecastTable(const Study& study) {
  const Scenario& scenario = *study.scenario;
  render::Table table{{{"policy"}, {"rate ×", render::Align::kRight}}, {}};
  for (const char* what : {"TTFT", "E2E"}) {
    for (const char* quantile : {" P10", " P50", " P90"}) {
      table.columns.push_back({std::string(what) + quantile, render::Align::kRight});
    }
  }
  for (std::size_t c = 0; c < scenario.policies.size(); ++c) {
    for (std::size_t r = 0; r < scenario.rates.size(); ++r) {
      const sim::ForecastRecord record = ForecastsOver(study, c, r);
      if (record.empty()) continue;
      std::vector<std::string>& row = table.rows.emplace_back();
      row = {scenario.policies[c].name, FormatNumber(scenario.rates[r])};
      for (const Histogram* ratio : {&record.ttft_ratio, &record.e2e_ratio}) {
        for (const auto& [name, share] : kRatioQuantiles) {
          row.push_back(FormatFixed(ratio->Quantile(share), 2));
        }
      }
    }
  }
  return table;
}

render::Table MissTable(const Study& study) {
  const Scenario& scenario = *study.scenario;
  const auto percent_of = [](double part, std::uint64_t whole) {
    return whole == 0 ? std::string("–") : FormatPercent(part / static_cast<double>(whole));
  };
  render::Table table{{{"policy"},
                       {"said to miss with, %"},
                       {"requests", render::Align::kRight},
                       {"on average, %", render::Align::kRight},
                       {"missed, %", render::Align::kRight}},
                      {}};
  for (std::size_t c = 0; c < scenario.policies.size(); ++c) {
    sim::ForecastRecord all;
    for (std::size_t r = 0; r < scenario.rates.size(); ++r) all.Merge(ForecastsOver(study, c, r));
    if (all.empty()) continue;
    double from = 0;
    for (std::size_t i = 0; i < all.misses.size(); ++i) {
      const double to = sim::ForecastRecord::kMissBounds[i];
      const sim::ForecastRecord::MissRange& range = all.misses[i];
      table.rows.push_back(
          {scenario.policies[c].name, FormatNumber(100 * from) + "–" + FormatNumber(100 * to),
           std::to_string(range.requests), percent_of(range.predicted, range.requests),
           percent_of(static_cast<double>(range.missed), range.requests)});
      from = to;
    }
  }
  return table;
}

std::string RequestsCsvHeader() {
  return "policy,rate,seed,class,arrived_s,prompt_tokens,output_tokens,end,attained,deployment,"
         "endpoint,queue_s,ttft_s,e2e_s,predicted_ttft_s,predicted_e2e_s,predicted_miss\n";
}

std::string FormatRequestCsv(const Study& study, const Run& run, const sim::RequestRecord& record) {
  const Scenario& scenario = *study.scenario;
  std::string text = CsvCell(scenario.policies[run.policy].name) + "," +
                     FormatJsonNumber(scenario.rates[run.rate]) + "," + std::to_string(run.seed) +
                     "," + CsvCell(scenario.workload.classes[record.class_index].name) + "," +
                     FormatJsonNumber(record.arrived) + "," + std::to_string(record.prompt_tokens) +
                     "," + std::to_string(record.output_tokens) + "," +
                     std::string(ToString(record.end)) + "," + (record.attained ? "1" : "0");
  text += record.deployment ? "," + CsvCell(scenario.fleet[*record.deployment].name) + "," +
                                  std::to_string(record.endpoint)
                            : std::string(",,");
  const auto add = [&text](bool reached, Seconds value) {
    text += reached ? "," + FormatJsonNumber(value) : std::string(",");
  };
  add(record.deployment.has_value(), record.queued);
  add(record.ttft > 0, record.ttft);
  add(record.end == sim::RequestRecord::End::kCompleted, record.e2e);
  if (!record.predicted) return text + ",,,\n";
  for (const double value :
       {record.predicted->ttft, record.predicted->e2e, record.predicted->miss}) {
    text += "," + FormatJsonNumber(value);
  }
  return text + "\n";
}

}  // namespace headrace::scenario
