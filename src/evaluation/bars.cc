#include "evaluation/bars.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "base/text.h"
#include "evaluation/comparison.h"
#include "scenario/summary.h"

namespace headrace::evaluation {
namespace {

constexpr double kMostBelowAnother = 0.01;
constexpr double kLeastOfBaselines = 0.97;
constexpr double kMostBelowInClass = 0.05;
constexpr double kLeastOfAibrix = 1.7;
constexpr double kLeastOfSplit = 1;
constexpr double kLeastOfBound = 0.9;

std::string Bold(const std::string& text) { return "**" + text + "**"; }
std::string Marked(const std::string& text, bool fails) { return fails ? Bold(text) : text; }

std::string Interval(const scenario::Estimate& estimate) {
  return FormatPercent(estimate.mean) + " [" + FormatPercent(estimate.low) + "–" +
         FormatPercent(estimate.high) + "]";
}

std::optional<scenario::Estimate> OwnAttainment(const Case& at) {
  const auto own = Find(*at.study->scenario, kOwnPolicy);
  if (!own) return std::nullopt;
  return scenario::AttainmentOf(*at.study, *own, at.rate);
}

// The cells of one row of MarginsTable, and what of it fails.
struct Margin {
  std::vector<std::string> cells;
  bool below_another = false;
  bool below_baselines = false;
  bool starves = false;
};

void AddBaseline(const Case& at, std::size_t own, Margin& margin) {
  const scenario::Study& study = *at.study;
  const auto best = BestOf(study, at.rate, [&](std::size_t c) {
    return study.scenario->policies[c].kind != scenario::Policy::Kind::kScheduler;
  });
  if (!best || !at.carried) {
    margin.cells.emplace_back("–");
    return;
  }
  const double share = scenario::AttainmentOf(study, own, at.rate).mean /
                       scenario::AttainmentOf(study, *best, at.rate).mean;
  margin.below_baselines = share < kLeastOfBaselines;
  margin.cells.push_back(Marked(FormatPercent(share), margin.below_baselines) + " " +
                         study.scenario->policies[*best].name);
}

void AddWorstClass(const Case& at, std::size_t own, Margin& margin) {
  const scenario::Study& study = *at.study;
  const scenario::WorstClass worst = scenario::WorstClassOf(study, own, at.rate);
  const auto best = BestOf(study, at.rate, [](std::size_t) { return true; });
  if (!at.carried || best == own) {
    margin.cells.emplace_back("–");
    return;
  }
  const auto of_class = [&](const sim::SimulationResult& result) {
    return result.statistics.of(worst.class_index).Attainment();
  };
  const double below = -Difference(study, own, *best, at.rate, of_class, of_class).mean;
  margin.starves = below > kMostBelowInClass;
  margin.cells.push_back(Marked((below <= 0 ? "+" : "") + FormatPercent(-below), margin.starves) +
                         " " + study.scenario->workload.classes[worst.class_index].name + ", " +
                         study.scenario->policies[*best].name);
}

std::optional<Margin> MarginOf(const Case& at) {
  const scenario::Study& study = *at.study;
  const auto own = Find(*study.scenario, kOwnPolicy);
  const auto other = BestOther(study, at.rate);
  if (!own || !other) return std::nullopt;
  Margin margin;
  const scenario::Estimate difference = Difference(study, *own, *other, at.rate);
  margin.below_another = difference.mean < -kMostBelowAnother;
  margin.cells = {at.name + (at.carried ? "" : " (overload)"),
                  FormatNumber(study.scenario->rates[at.rate]),
                  FormatPercent(scenario::AttainmentOf(study, *own, at.rate).mean),
                  Marked(Points(difference), margin.below_another) + " " +
                      study.scenario->policies[*other].name};
  AddBaseline(at, *own, margin);
  AddWorstClass(at, *own, margin);
  return margin;
}

}  // namespace

render::Table BarsTable(const std::vector<Bar>& bars) {
  render::Table table{{{"scenario"},
                       {"rate ×"},
                       {"at least, %"},
                       {"slo-headroom, %"},
                       {"reached"},
                       {"with today's engine parameters, %"}},
                      {}};
  for (const Bar& bar : bars) {
    const auto then = OwnAttainment(bar.then);
    const auto now = OwnAttainment(bar.now);
    if (!then || !now) continue;
    const bool reached = then->mean >= bar.least;
    table.rows.push_back(
        {bar.then.name, FormatNumber(bar.then.study->scenario->rates[bar.then.rate]),
         FormatPercent(bar.least), Interval(*then), reached ? "yes" : Bold("no"), Interval(*now)});
  }
  return table;
}

std::string MarginsTable(const std::vector<Case>& cases) {
  render::Table table{{{"scenario"},
                       {"rate ×"},
                       {"slo-headroom, %"},
                       {"points against the best other router"},
                       {"% of the best baseline"},
                       {"points of its worst class against the best in total"}},
                      {}};
  int below_another = 0;
  int below_baselines = 0;
  int starves = 0;
  for (const Case& at : cases) {
    std::optional<Margin> margin = MarginOf(at);
    if (!margin) continue;
    below_another += margin->below_another ? 1 : 0;
    below_baselines += margin->below_baselines ? 1 : 0;
    starves += margin->starves ? 1 : 0;
    table.rows.push_back(std::move(margin->cells));
  }
  const auto count = [&](int fails) {
    return std::to_string(fails) + " of " + std::to_string(table.rows.size());
  };
  return render::RenderMarkdown(table) +
         "\nMore than a point below another router: " + count(below_another) +
         " rows. Below 97 % of the best baseline: " + count(below_baselines) +
         ". Worst class more than five points lower: " + count(starves) + ".\n";
}

render::Table GoodputBars(const scenario::Scenario& scenario,
                          const scenario::GoodputSearch& search) {
  render::Table table{{{"goodput of slo-headroom"}}, {}};
  for (const double goal : scenario::kGoodputGoals) {
    table.columns.push_back({"at ≥ " + FormatPercent(goal) + " %"});
  }
  table.columns.push_back({"at least (99 %)"});
  const auto own = Find(scenario, kOwnPolicy);
  if (!own) return table;

  using scenario::Goodput;
  const auto add = [&](const std::string& what, double least, const auto& best_of) {
    std::vector<std::string>& cells = table.rows.emplace_back();
    cells.push_back(what);
    for (std::size_t goal = 0; goal < scenario::kGoodputGoals.size(); ++goal) {
      const auto [factor, name] = best_of(goal);
      const double mine = search.policies[*own].rates[goal].factor;
      const double ratio = factor > 0 ? mine / factor : 0;
      cells.push_back(factor == 0 ? "–"
                                  : Marked(FormatFixed(ratio, 2), goal == 0 && ratio < least) +
                                        (name.empty() ? "" : " " + name));
    }
    cells.push_back(FormatFixed(least, 2));
  };
  using Best = std::pair<double, std::string>;
  const auto best_policy = [&](std::size_t goal, const auto& counts) {
    Best best;
    for (std::size_t c = 0; c < scenario.policies.size(); ++c) {
      const double factor = search.policies[c].rates[goal].factor;
      if (counts(scenario.policies[c]) && factor > best.first) {
        best = {factor, scenario.policies[c].name};
      }
    }
    return best;
  };
  add("× the best AIBrix policy", kLeastOfAibrix, [&](std::size_t goal) {
    return best_policy(goal, [](const scenario::Policy& policy) {
      return policy.kind == scenario::Policy::Kind::kScheduler && policy.name != kOwnPolicy &&
             policy.name != "lmetric";
    });
  });
  add("× the best split in hindsight", kLeastOfSplit, [&](std::size_t goal) {
    return best_policy(goal, [](const scenario::Policy& policy) { return policy.IsSplit(); });
  });
  add("of the upper bound with true lengths", kLeastOfBound,
      [&](std::size_t goal) { return Best(search.bound.rates[goal].factor, ""); });
  return table;
}

}  // namespace headrace::evaluation
