#include "evaluation/evaluation.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <sstream>
#include <utility>
#include <vector>

#include "base/text.h"
#include "render/table.h"
#include "scenario/report.h"
#include "scenario/summary.h"

namespace headrace::evaluation {
namespace {

// The published figures of the reference experiment: P99 seconds per token.
struct Published {
  const char* label;
  const char* policy;
  bool equal;  // In the scenario with five L20.
  const char* seconds;
};
constexpr std::array<Published, 7> kPublished{{
    {"`slo`", "slo", false, "0.032"},
    {"`slo-pack-load`", "slo-pack-load", false, "0.044"},
    {"`least-request`", "least-request", false, "about 0.13"},
    {"oracle: each class on its own GPU type", "type-split", false, "about 0.011"},
    {"scalar: five L20, `slo`", "slo", true, "about 0.028"},
    {"not published: `slo-headroom`", "slo-headroom", false, "–"},
    {"not published: `lmetric`", "lmetric", false, "–"},
}};

constexpr std::string_view kOwnPolicy = "slo-headroom";

// The factor that "much above" means in the published order.
constexpr double kMuch = 2;

std::optional<std::size_t> Find(const scenario::Scenario& scenario, std::string_view policy) {
  for (std::size_t i = 0; i < scenario.policies.size(); ++i) {
    if (scenario.policies[i].name == policy) return i;
  }
  return std::nullopt;
}

std::string Milliseconds(double seconds) { return FormatNumber(1e3 * seconds); }

std::string About(const scenario::Scenario& scenario, const scenario::Study& study) {
  std::string text = scenario.about + ".";
  const std::string unstable = scenario::DescribeInstability(scenario, study.bounds);
  std::istringstream lines(unstable);
  for (std::string line; std::getline(lines, line);) {
    line[0] = static_cast<char>(std::toupper(line[0]));
    text += " " + line + ".";
  }
  return text + "\n";
}

// A column per rate after the first ones.
void AddRates(const scenario::Scenario& scenario, const std::string& prefix, render::Table& table) {
  for (const double rate : scenario.rates) table.columns.push_back({prefix + FormatNumber(rate)});
}

render::Table PublishedTable(const scenario::Study& reference, const scenario::Study& equal) {
  const scenario::Scenario& scenario = *reference.scenario;
  render::Table table{{{"P99 seconds per token"}, {"published"}}, {}};
  AddRates(scenario, "rate × ", table);
  for (const Published& row : kPublished) {
    const scenario::Study& study = row.equal ? equal : reference;
    const auto policy = Find(*study.scenario, row.policy);
    if (!policy) continue;
    std::vector<std::string>& cells = table.rows.emplace_back();
    cells = {row.label, row.seconds};
    for (const double rate : scenario.rates) {
      const auto& rates = study.scenario->rates;
      const auto found = std::ranges::find(rates, rate);
      const auto at = static_cast<std::size_t>(found - rates.begin());
      cells.push_back(
          found == rates.end() ? "–" : FormatNumber(scenario::P99TpatOf(study, *policy, at).mean));
    }
  }
  return table;
}

render::Table SplitsTable(const scenario::Study& study) {
  const scenario::Scenario& scenario = *study.scenario;
  render::Table table{{{""}, {"rate ×"}, {"split"}}, {}};
  for (std::size_t c = 0; c < scenario.policies.size(); ++c) {
    for (std::size_t r = 0; r < scenario.rates.size(); ++r) {
      if (study.SplitOf(c, r).empty()) continue;
      table.rows.push_back(
          {scenario.policies[c].name, FormatNumber(scenario.rates[r]), DescribeSplit(study, c, r)});
    }
  }
  return table;
}

// The mean over seeds of `of(result of a) - of(result of b)`, with its interval. The differences
// are paired, since every seed gives both policies the same requests.
scenario::Estimate Difference(const scenario::Study& study, std::size_t a, std::size_t b,
                              std::size_t rate,
                              const std::function<double(const sim::SimulationResult&)>& of) {
  std::vector<double> differences;
  for (std::size_t seed = 0; seed < static_cast<std::size_t>(study.scenario->seeds); ++seed) {
    differences.push_back(of(study.At(a, rate, seed).result) - of(study.At(b, rate, seed).result));
  }
  return scenario::EstimateMean(differences);
}

double Attainment(const sim::SimulationResult& result) {
  return result.statistics.Total().Attainment();
}

std::string Points(const scenario::Estimate& gain) {
  return (gain.mean >= 0 ? "+" : "") + FormatPercent(gain.mean) + " [" + FormatPercent(gain.low) +
         " to " + FormatPercent(gain.high) + "]";
}

// How each class's requests ended at one rate, in % of those offered, over all seeds.
render::Table EndsTable(const scenario::Study& study, std::size_t rate) {
  const scenario::Scenario& scenario = *study.scenario;
  render::Table table{{{"rate × " + FormatNumber(scenario.rates[rate]) + ", % of the offered"},
                       {"class"},
                       {"in time"},
                       {"late"},
                       {"refused"},
                       {"unfinished"}},
                      {}};
  for (std::size_t c = 0; c < scenario.policies.size(); ++c) {
    for (std::size_t k = 0; k < scenario.workload.classes.size(); ++k) {
      const auto share = [&](auto count) {
        return FormatPercent(
            scenario::EstimateOver(study, c, rate, [&](const sim::SimulationResult& result) {
              const workload::ClassReport& report = result.statistics.of(k);
              return static_cast<double>(count(report)) /
                     static_cast<double>(std::max<std::uint64_t>(report.offered, 1));
            }).mean);
      };
      table.rows.push_back(
          {scenario.policies[c].name, scenario.workload.classes[k].name,
           share([](const workload::ClassReport& r) { return r.attained; }),
           share([](const workload::ClassReport& r) { return r.completed - r.attained; }),
           share([](const workload::ClassReport& r) { return r.refused; }),
           share([](const workload::ClassReport& r) { return r.timed_out + r.failed; })});
    }
  }
  return table;
}

// Each policy against the one above it.
render::Table LadderTable(const scenario::Study& study) {
  const scenario::Scenario& scenario = *study.scenario;
  render::Table table{{{"points against the row above, rate ×"}}, {}};
  AddRates(scenario, "", table);
  for (std::size_t c = 1; c < scenario.policies.size(); ++c) {
    std::vector<std::string>& cells = table.rows.emplace_back();
    cells.push_back(scenario.policies[c].name);
    for (std::size_t r = 0; r < scenario.rates.size(); ++r) {
      cells.push_back(Points(Difference(study, c, c - 1, r, Attainment)));
    }
  }
  return table;
}

// The own policy beside the best other one that is no baseline, chosen in hindsight.
std::string AgainstBestOther(const scenario::Study& study, std::size_t rate) {
  const scenario::Scenario& scenario = *study.scenario;
  const auto own = Find(scenario, kOwnPolicy);
  std::optional<std::size_t> best;
  double most = 0;
  for (std::size_t c = 0; c < scenario.policies.size(); ++c) {
    if (c == own || scenario.policies[c].kind != scenario::Policy::Kind::kScheduler) continue;
    const double attainment = scenario::AttainmentOf(study, c, rate).mean;
    if (best && attainment <= most) continue;
    best = c;
    most = attainment;
  }
  if (!own || !best) return "–";
  return Points(Difference(study, *own, *best, rate, Attainment)) + " " +
         scenario.policies[*best].name;
}

// Whether `of_a(a) < of_b(b)`, by the interval of the paired differences over seeds: an order of
// the means alone could be noise.
enum class Order { kNo, kWithinNoise, kYes };
Order IsBelow(const scenario::Study& study, std::size_t a, std::size_t b, std::size_t rate,
              const std::function<double(const sim::SimulationResult&)>& of_a,
              const std::function<double(const sim::SimulationResult&)>& of_b) {
  std::vector<double> differences;
  for (std::size_t seed = 0; seed < static_cast<std::size_t>(study.scenario->seeds); ++seed) {
    differences.push_back(of_a(study.At(a, rate, seed).result) -
                          of_b(study.At(b, rate, seed).result));
  }
  const scenario::Estimate difference = scenario::EstimateMean(differences);
  if (difference.high < 0) return Order::kYes;
  return difference.low > 0 ? Order::kNo : Order::kWithinNoise;
}

std::string_view Verdict(Order first, Order second) {
  switch (std::min(first, second)) {
    case Order::kYes:
      return "**yes**";
    case Order::kWithinNoise:
      return "within noise";
    case Order::kNo:
      break;
  }
  return "no";
}

}  // namespace

Evaluation::Evaluation(std::string scenarios, scenario::FileReader read_file, unsigned threads,
                       std::function<void(const std::string&)> note)
    : scenarios_(std::move(scenarios)),
      read_file_(std::move(read_file)),
      threads_(threads),
      note_(std::move(note)) {}

Result<const Evaluation::Entry*> Evaluation::Run(const std::string& name) {
  auto& entry = entries_[name];
  if (!entry) {
    note_(name);
    const std::string path = scenarios_ + "/" + name + ".yaml";
    HEADRACE_ASSIGN(const std::string text, read_file_(path));
    HEADRACE_ASSIGN(scenario::Scenario scenario, scenario::LoadScenario(text, path, read_file_));
    entry = std::make_unique<Entry>();
    entry->scenario = std::move(scenario);
    entry->study = scenario::RunStudy(entry->scenario, threads_, [](std::size_t, std::size_t) {});
    names_.push_back(name);
  }
  return entry.get();
}

Result<std::string> Evaluation::ScenarioTable(std::istringstream& names) {
  render::Table table{{{"scenario"}, {"what"}, {"the fleet carries at most"}}, {}};
  for (std::string name; names >> name;) {
    HEADRACE_ASSIGN(const Entry* entry, Run(name));
    const double capacity = entry->scenario.rates.back() * entry->study.bounds.back().capacity;
    table.rows.push_back({name, entry->scenario.about, "rate × " + FormatNumber(capacity)});
  }
  return render::RenderMarkdown(table);
}

Result<std::string> Evaluation::CompareTable(std::istringstream& names) {
  std::vector<const Entry*> entries;
  std::vector<std::string> scenarios;
  std::vector<std::string> policies;
  for (std::string name; names >> name;) {
    HEADRACE_ASSIGN(const Entry* entry, Run(name));
    entries.push_back(entry);
    scenarios.push_back(name);
    for (const scenario::Policy& policy : entry->scenario.policies) {
      if (std::ranges::find(policies, policy.name) != policies.end()) continue;
      policies.push_back(policy.name);
    }
  }
  render::Table table{{{"attainment, %"}, {"rate ×"}}, {}};
  for (const std::string& policy : policies) table.columns.push_back({policy});
  table.columns.push_back({"upper bound"});
  table.columns.push_back({std::string(kOwnPolicy) + " against the best other"});
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const auto& [scenario, study] = *entries[i];
    for (std::size_t r = 0; r < scenario.rates.size(); ++r) {
      std::vector<std::string>& cells = table.rows.emplace_back();
      cells = {scenarios[i], FormatNumber(scenario.rates[r])};
      for (const std::string& policy : policies) {
        const auto found = Find(scenario, policy);
        cells.push_back(found ? FormatPercent(scenario::AttainmentOf(study, *found, r).mean) : "–");
      }
      cells.push_back(
          FormatPercent(scenario::BoundOver(study, r, &scenario::ModeBound::known).mean));
      cells.push_back(AgainstBestOther(study, r));
    }
  }
  return render::RenderMarkdown(table);
}

std::string Evaluation::OrderTable() const {
  render::Table table{{{"scenario"},
                       {"rate ×"},
                       {"P99 ms per token: slo"},
                       {"slo-pack-load"},
                       {"least-request"},
                       {"published order"},
                       {"attainment %: slo"},
                       {"slo-pack-load"},
                       {"least-request"},
                       {"same order"}},
                      {}};
  for (const std::string& name : names_) {
    const Entry& entry = *entries_.at(name);
    const auto slo = Find(entry.scenario, "slo");
    const auto pack = Find(entry.scenario, "slo-pack-load");
    const auto least = Find(entry.scenario, "least-request");
    if (!slo || !pack || !least) continue;
    for (std::size_t r = 0; r < entry.scenario.rates.size(); ++r) {
      const double slo_p99 = scenario::P99TpatOf(entry.study, *slo, r).mean;
      const double pack_p99 = scenario::P99TpatOf(entry.study, *pack, r).mean;
      const double least_p99 = scenario::P99TpatOf(entry.study, *least, r).mean;
      const double slo_met = scenario::AttainmentOf(entry.study, *slo, r).mean;
      const double pack_met = scenario::AttainmentOf(entry.study, *pack, r).mean;
      const double least_met = scenario::AttainmentOf(entry.study, *least, r).mean;
      const auto p99 = [](const sim::SimulationResult& result) {
        return result.statistics.Total().tpat.Quantile(0.99);
      };
      const auto much = [&](const sim::SimulationResult& result) { return kMuch * p99(result); };
      const std::string_view by_p99 = Verdict(IsBelow(entry.study, *slo, *pack, r, p99, p99),
                                              IsBelow(entry.study, *pack, *least, r, much, p99));
      const std::string_view by_attainment =
          Verdict(IsBelow(entry.study, *pack, *slo, r, Attainment, Attainment),
                  IsBelow(entry.study, *least, *pack, r, Attainment, Attainment));
      table.rows.push_back({name, FormatNumber(entry.scenario.rates[r]), Milliseconds(slo_p99),
                            Milliseconds(pack_p99), Milliseconds(least_p99), std::string(by_p99),
                            FormatPercent(slo_met), FormatPercent(pack_met),
                            FormatPercent(least_met), std::string(by_attainment)});
    }
  }
  return render::RenderMarkdown(table);
}

Result<std::string> Evaluation::Directive(const std::string& line, const std::string& figure_folder,
                                          EvaluationPage& page) {
  std::istringstream words(line);
  std::string kind;
  words >> kind;
  if (kind == "order") return OrderTable();
  if (kind == "scenarios") return ScenarioTable(words);
  if (kind == "compare") return CompareTable(words);
  std::string name;
  words >> name;
  HEADRACE_ASSIGN(const Entry* entry, Run(name));
  const scenario::Study& study = entry->study;
  if (kind == "about") return About(entry->scenario, study);
  if (kind == "attainment") return render::RenderMarkdown(scenario::AttainmentTable(study));
  if (kind == "worst") return render::RenderMarkdown(scenario::WorstClassTable(study));
  if (kind == "p99") return render::RenderMarkdown(scenario::P99TpatTable(study));
  if (kind == "splits") return render::RenderMarkdown(SplitsTable(study));
  if (kind == "ladder") return render::RenderMarkdown(LadderTable(study));
  if (kind == "ends") {
    double rate = 0;
    words >> rate;
    const auto& rates = entry->scenario.rates;
    const auto found = std::ranges::find(rates, rate);
    if (found == rates.end()) {
      return Fail("scenario \"" + name + "\" has no rate " + FormatNumber(rate) +
                  "; choose one of its rates");
    }
    return render::RenderMarkdown(
        EndsTable(study, static_cast<std::size_t>(found - rates.begin())));
  }
  if (kind == "published") {
    std::string equal;
    words >> equal;
    HEADRACE_ASSIGN(const Entry* other, Run(equal));
    return render::RenderMarkdown(PublishedTable(study, other->study));
  }
  if (kind == "figure") {
    std::string file;
    std::string description;
    words >> file >> std::ws;
    std::getline(words, description);
    for (const scenario::Figure& figure : scenario::RenderFigures(study)) {
      if (figure.file != file) continue;
      const std::string target = name + "-" + file;
      page.figures[target] = figure.svg;
      return "![" + description + "](" + figure_folder + "/" + target + ")\n";
    }
    return Fail("there is no figure \"" + file + "\" of scenario \"" + name +
                "\"; choose a file that `simulate --out` writes");
  }
  return Fail("there is no directive \"" + kind + "\"; evaluation.h lists them");
}

Result<EvaluationPage> Evaluation::Fill(std::string_view page_template, const std::string& name,
                                        const std::string& figure_folder) {
  EvaluationPage page;
  std::istringstream lines{std::string(page_template)};
  std::size_t number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    if (!line.starts_with("{{") || !line.ends_with("}}")) {
      page.markdown += line + "\n";
      continue;
    }
    const auto filled = Directive(line.substr(2, line.size() - 4), figure_folder, page);
    if (!filled) {
      return Fail(name + ":" + std::to_string(number) + ": " + filled.error().message);
    }
    page.markdown += *filled;
  }
  return page;
}

}  // namespace headrace::evaluation
