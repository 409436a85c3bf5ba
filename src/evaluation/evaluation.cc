#include "evaluation/evaluation.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <sstream>
#include <utility>
#include <vector>

#include "base/text.h"
#include "evaluation/ablation.h"
#include "evaluation/bars.h"
#include "evaluation/comparison.h"
#include "evaluation/relearn.h"
#include "render/table.h"
#include "scenario/goodput.h"
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

constexpr const char* kStopped = "it was stopped";
const scenario::StudyProgress kQuiet = [](std::size_t, std::size_t) {};

// The factor that "much above" means in the published order.
constexpr double kMuch = 2;

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
      cells.push_back(Points(Difference(study, c, c - 1, r)));
    }
  }
  return table;
}

// The own policy beside the best other router, chosen in hindsight.
std::string AgainstBestOther(const scenario::Study& study, std::size_t rate) {
  const auto own = Find(*study.scenario, kOwnPolicy);
  const auto other = BestOther(study, rate);
  if (!own || !other) return "–";
  return Points(Difference(study, *own, *other, rate)) + " " +
         study.scenario->policies[*other].name;
}

// Whether `of_a(a) < of_b(b)`, by the interval of the paired differences over seeds: an order of
// the means alone could be noise.
enum class Order { kNo, kWithinNoise, kYes };
Order IsBelow(const scenario::Study& study, std::size_t a, std::size_t b, std::size_t rate,
              const Figure& of_a, const Figure& of_b) {
  const scenario::Estimate difference = Difference(study, a, b, rate, of_a, of_b);
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

// The own policy in two studies of the same requests, at the rates that both have.
render::Table BesideTable(const std::string& name, const scenario::Study& study,
                          const std::string& other_name, const scenario::Study& other) {
  render::Table table{{{"slo-headroom, %: rate ×"}, {name}, {other_name}, {"points"}}, {}};
  const auto own = Find(*study.scenario, kOwnPolicy);
  const auto there = Find(*other.scenario, kOwnPolicy);
  const auto seeds =
      static_cast<std::size_t>(std::min(study.scenario->seeds, other.scenario->seeds));
  for (std::size_t r = 0; own && there && r < study.scenario->rates.size(); ++r) {
    const auto found = std::ranges::find(other.scenario->rates, study.scenario->rates[r]);
    if (found == other.scenario->rates.end()) continue;
    const auto at = static_cast<std::size_t>(found - other.scenario->rates.begin());
    std::vector<double> here;
    std::vector<double> elsewhere;
    std::vector<double> differences;
    for (std::size_t seed = 0; seed < seeds; ++seed) {
      here.push_back(Attainment(study.At(*own, r, seed).result));
      elsewhere.push_back(Attainment(other.At(*there, at, seed).result));
      differences.push_back(here.back() - elsewhere.back());
    }
    table.rows.push_back({FormatNumber(*found), FormatPercent(scenario::EstimateMean(here).mean),
                          FormatPercent(scenario::EstimateMean(elsewhere).mean),
                          Points(scenario::EstimateMean(differences))});
  }
  return table;
}

// A scenario's text with other values of some of its options: `changes` is "rates=[1]+seeds=2".
std::string WithChanges(const std::string& text, std::string_view changes) {
  std::map<std::string, std::string> values;
  std::istringstream words{std::string(changes)};
  for (std::string word; std::getline(words, word, '+');) {
    const std::size_t equals = word.find('=');
    values[word.substr(0, equals)] = equals == std::string::npos ? "" : word.substr(equals + 1);
  }
  std::string changed;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const auto found = values.find(line.substr(0, line.find(':')));
    if (found != values.end()) {
      line = found->first + ": " + found->second;
      values.erase(found);
    }
    changed += line + "\n";
  }
  for (const auto& [option, value] : values) changed += option + ": " + value + "\n";
  return changed;
}

// The name of a scenario without its changes.
std::string NameOf(const std::string& spec) { return spec.substr(0, spec.find('+')); }

std::string Changed(const std::string& name, const std::string& changes) {
  return changes.empty() ? name : name + "+" + changes;
}

// A first word that is a list of changes.
std::string TakeChanges(std::istringstream& words) {
  const auto begin = words.tellg();
  std::string word;
  words >> word;
  if (word.find('=') < word.find_first_of("+:")) return word;
  words.clear();
  words.seekg(begin);
  return "";
}

// "reference:0.7:99.5" → "reference", 0.7, 0.995. Zeros where a number is missing.
struct CaseText {
  std::string spec;
  double rate = 0;
  double least = 0;
};
CaseText ParseCase(const std::string& word) {
  CaseText text;
  std::istringstream parts(word);
  std::string rate;
  std::string least;
  std::getline(parts, text.spec, ':');
  std::getline(parts, rate, ':');
  std::getline(parts, least, ':');
  text.rate = std::atof(rate.c_str());
  text.least = std::atof(least.c_str()) / 100;
  return text;
}

Result<std::size_t> PlaceOf(const scenario::Scenario& scenario, const std::string& name,
                            double rate) {
  const auto found = std::ranges::find(scenario.rates, rate);
  if (found != scenario.rates.end())
    return static_cast<std::size_t>(found - scenario.rates.begin());
  return Fail("scenario \"" + name + "\" has no rate " + FormatNumber(rate) +
              "; choose one of its rates");
}

}  // namespace

Evaluation::Evaluation(std::string scenarios, scenario::FileReader read_file, unsigned threads,
                       std::function<void(const std::string&)> note, const std::atomic<bool>* stop)
    : scenarios_(std::move(scenarios)),
      read_file_(std::move(read_file)),
      threads_(threads),
      note_(std::move(note)),
      stop_(stop) {}

Result<Evaluation::Entry*> Evaluation::Load(const std::string& spec) {
  auto& entry = entries_[spec];
  if (!entry) {
    const std::string name = NameOf(spec);
    const std::string path = scenarios_ + "/" + name + ".yaml";
    HEADRACE_ASSIGN(std::string text, read_file_(path));
    if (spec != name) text = WithChanges(text, std::string_view(spec).substr(name.size() + 1));
    HEADRACE_ASSIGN(scenario::Scenario scenario, scenario::LoadScenario(text, path, read_file_));
    entry = std::make_unique<Entry>();
    entry->scenario = std::move(scenario);
  }
  return entry.get();
}

Result<const Evaluation::Entry*> Evaluation::Run(const std::string& spec) {
  HEADRACE_ASSIGN(Entry * entry, Load(spec));
  if (entry->study.scenario == nullptr) {
    note_(spec);
    scenario::Study study = scenario::RunStudy(entry->scenario, threads_, kQuiet, false, stop_);
    if (study.seeds < entry->scenario.seeds) return Fail(kStopped);
    entry->study = std::move(study);
    specs_.push_back(spec);
  }
  return entry;
}

Result<const Evaluation::Entry*> Evaluation::RunWithBounds(const std::string& spec) {
  HEADRACE_TRY(Run(spec));
  Entry* entry = entries_.at(spec).get();
  if (!entry->has_bounds) {
    note_("bounds of " + spec);
    scenario::Scenario bounds_only = entry->scenario;
    bounds_only.policies.clear();
    scenario::Study bounds = scenario::RunStudy(bounds_only, threads_, kQuiet, true, stop_);
    if (bounds.seeds < bounds_only.seeds) return Fail(kStopped);
    entry->study.bounds = std::move(bounds.bounds);
    entry->study.mode_bounds = std::move(bounds.mode_bounds);
    entry->has_bounds = true;
  }
  return entry;
}

// In multiples of the scenario's rate.
double Evaluation::CapacityOf(const std::string& spec) {
  Entry& entry = *entries_.at(spec);
  if (entry.capacity == 0) {
    const double rate = entry.scenario.rates.back();
    entry.capacity = rate * scenario::ComputeFluidBound(entry.scenario, rate).capacity;
  }
  return entry.capacity;
}

Result<std::string> Evaluation::Bars(std::istringstream& words) {
  const std::string changes = TakeChanges(words);
  std::vector<Bar> bars;
  for (std::string word; words >> word;) {
    const CaseText text = ParseCase(word);
    Bar bar{.least = text.least};
    for (const auto& [at, spec] :
         {std::pair{&bar.then, Changed(text.spec, changes)}, std::pair{&bar.now, text.spec}}) {
      HEADRACE_ASSIGN(const Entry* entry, Run(spec));
      HEADRACE_ASSIGN(const std::size_t rate, PlaceOf(entry->scenario, text.spec, text.rate));
      *at = {.name = NameOf(text.spec), .study = &entry->study, .rate = rate};
    }
    bars.push_back(std::move(bar));
  }
  return render::RenderMarkdown(BarsTable(bars));
}

Result<std::string> Evaluation::Margins(std::istringstream& words) {
  const std::string changes = TakeChanges(words);
  std::vector<Case> cases;
  for (std::string name; words >> name;) {
    const std::string spec = Changed(name, changes);
    HEADRACE_ASSIGN(const Entry* entry, Run(spec));
    const double capacity = CapacityOf(spec);
    for (std::size_t r = 0; r < entry->scenario.rates.size(); ++r) {
      cases.push_back({.name = NameOf(name),
                       .study = &entry->study,
                       .rate = r,
                       .carried = entry->scenario.rates[r] <= capacity});
    }
  }
  return MarginsTable(cases);
}

Result<std::string> Evaluation::Goodput(const std::string& spec) {
  HEADRACE_ASSIGN(const Entry* entry, RunWithBounds(spec));
  note_("goodput of " + spec);
  const auto search = scenario::SearchGoodput(entry->study, threads_, kQuiet, stop_);
  if (!search) return Fail(kStopped);
  return render::RenderMarkdown(GoodputBars(entry->scenario, *search)) + "\n" +
         scenario::kGoodputCaption + "\n\n" +
         render::RenderMarkdown(scenario::GoodputTable(entry->scenario, *search));
}

Result<std::string> Evaluation::Changes(std::istringstream& words,
                                        Result<render::Table> (*table)(const std::vector<Trial>&,
                                                                       unsigned,
                                                                       const std::atomic<bool>*)) {
  const std::string changes = TakeChanges(words);
  std::vector<Trial> trials;
  for (std::string word; words >> word;) {
    const CaseText text = ParseCase(word);
    HEADRACE_ASSIGN(const Entry* entry, Load(Changed(text.spec, changes)));
    trials.push_back({.name = NameOf(text.spec), .scenario = &entry->scenario, .rate = text.rate});
  }
  note_("changes of slo-headroom");
  HEADRACE_ASSIGN(const render::Table changed, table(trials, threads_, stop_));
  return render::RenderMarkdown(changed);
}

Result<std::string> Evaluation::ScenarioTable(std::istringstream& names) {
  render::Table table{{{"scenario"}, {"what"}, {"the fleet carries at most"}}, {}};
  for (std::string name; names >> name;) {
    HEADRACE_ASSIGN(const Entry* entry, Load(name));
    table.rows.push_back({name, entry->scenario.about, "rate × " + FormatNumber(CapacityOf(name))});
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
  table.columns.push_back({std::string(kOwnPolicy) + " against the best other"});
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const scenario::Scenario& scenario = entries[i]->scenario;
    const scenario::Study& study = entries[i]->study;
    for (std::size_t r = 0; r < scenario.rates.size(); ++r) {
      std::vector<std::string>& cells = table.rows.emplace_back();
      cells = {scenarios[i], FormatNumber(scenario.rates[r])};
      for (const std::string& policy : policies) {
        const auto found = Find(scenario, policy);
        cells.push_back(found ? FormatPercent(scenario::AttainmentOf(study, *found, r).mean) : "–");
      }
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
  for (const std::string& name : specs_) {
    if (NameOf(name) != name) continue;
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
  if (kind == "bars") return Bars(words);
  if (kind == "margins") return Margins(words);
  if (kind == "ablation") return Changes(words, AblationTable);
  if (kind == "sensitivity") return Changes(words, SensitivityTable);
  std::string name;
  words >> name;
  if (kind == "goodput") return Goodput(name);
  if (kind == "relearn") {
    const CaseText text = ParseCase(name);
    HEADRACE_ASSIGN(const Entry* entry, Load(text.spec));
    note_("relearning in " + text.spec);
    return render::RenderMarkdown(RelearnTable(entry->scenario, text.rate));
  }
  const bool with_bounds = kind == "about" || kind == "attainment" || kind == "figure";
  HEADRACE_ASSIGN(const Entry* entry, with_bounds ? RunWithBounds(name) : Run(name));
  const scenario::Study& study = entry->study;
  if (kind == "about") return About(entry->scenario, study);
  if (kind == "attainment") return render::RenderMarkdown(scenario::AttainmentTable(study));
  if (kind == "worst") return render::RenderMarkdown(scenario::WorstClassTable(study));
  if (kind == "p99") return render::RenderMarkdown(scenario::P99TpatTable(study));
  if (kind == "forecasts") return render::RenderMarkdown(scenario::ForecastTable(study));
  if (kind == "misses") return render::RenderMarkdown(scenario::MissTable(study));
  if (kind == "splits") return render::RenderMarkdown(SplitsTable(study));
  if (kind == "ladder") return render::RenderMarkdown(LadderTable(study));
  if (kind == "ends") {
    double rate = 0;
    words >> rate;
    HEADRACE_ASSIGN(const std::size_t place, PlaceOf(entry->scenario, name, rate));
    return render::RenderMarkdown(EndsTable(study, place));
  }
  if (kind == "beside") {
    std::string beside;
    words >> beside;
    HEADRACE_ASSIGN(const Entry* other, Run(beside));
    return render::RenderMarkdown(BesideTable(NameOf(name), study, NameOf(beside), other->study));
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
    const auto filled = stopped() ? Fail(kStopped)
                                  : Directive(line.substr(2, line.size() - 4), figure_folder, page);
    if (!filled && stopped()) {
      page.markdown += line + "\n";
      ++page.left;
      continue;
    }
    if (!filled) {
      return Fail(name + ":" + std::to_string(number) + ": " + filled.error().message);
    }
    page.markdown += *filled;
  }
  return page;
}

}  // namespace headrace::evaluation
