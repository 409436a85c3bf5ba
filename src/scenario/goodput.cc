#include "scenario/goodput.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "base/json_writer.h"
#include "base/text.h"
#include "scenario/summary.h"

namespace headrace::scenario {
namespace {

constexpr double kApart = 1.02;  // Rates this close are not told apart.
constexpr double kStep = 1.5;    // Beyond the rates known so far.
constexpr int kMostRates = 12;   // That are tried for one goal.

// Attainment by rate.
using Curve = std::map<double, double>;
using AttainmentAt = std::function<double(double rate)>;

Goodput::Rate Search(double goal, Curve& curve, const AttainmentAt& attainment_at) {
  for (int tried = 0;; ++tried) {
    // The highest rate that meets the goal with nothing below it that does not.
    auto above = curve.begin();
    while (above != curve.end() && above->second >= goal) ++above;
    const bool none_above = above == curve.end();
    const bool none_below = above == curve.begin();
    const double low = none_below ? 0 : std::prev(above)->first;
    if (!none_above && !none_below && above->first <= low * kApart) return {low};
    if (tried == kMostRates) return {low, !none_above};
    double rate = 0;
    if (none_above) {
      rate = low * kStep;
    } else if (none_below) {
      rate = above->first / kStep;
    } else {
      rate = std::sqrt(low * above->first);
    }
    curve[rate] = attainment_at(rate);
  }
}

Goodput SearchAll(Curve curve, const AttainmentAt& attainment_at,
                  const std::function<void()>& done) {
  Goodput goodput;
  for (std::size_t goal = 0; goal < kGoodputGoals.size(); ++goal) {
    goodput.rates[goal] = Search(kGoodputGoals[goal], curve, attainment_at);
    done();
  }
  return goodput;
}

double OfferedAt(const Scenario& scenario, double factor) {
  double offered = 0;
  for (const workload::WorkloadClass& spec : scenario.workload.classes) {
    offered += workload::OfferedRate(spec) * factor;
  }
  return offered;
}

void WriteGoodput(const Scenario& scenario, const std::string& name, const Goodput& goodput,
                  std::string& text) {
  JsonWriter json(JsonWriter::Layout::kSpaced);
  json.BeginObject().Member("policy", name).Key("goodput").BeginArray();
  for (std::size_t goal = 0; goal < kGoodputGoals.size(); ++goal) {
    const Goodput::Rate& rate = goodput.rates[goal];
    json.BeginObject().Member("attainment", kGoodputGoals[goal]);
    if (rate.factor > 0) {
      json.Member("rate", rate.factor).Member("rps", OfferedAt(scenario, rate.factor));
    } else {
      json.Key("rate").Null().Key("rps").Null();
    }
    if (!rate.bounded) json.Member("at_least", true);
    json.EndObject();
  }
  text += (text.size() > 1 ? ",\n" : "\n") + json.EndArray().EndObject().Take();
}

}  // namespace

std::optional<GoodputSearch> SearchGoodput(const Study& study, unsigned threads,
                                           const StudyProgress& progress,
                                           const std::atomic<bool>* stop) {
  const Scenario& scenario = *study.scenario;
  const std::size_t all = (scenario.policies.size() + 2) * kGoodputGoals.size();
  std::size_t done = 0;
  const auto count = [&] { progress(++done, all); };
  const auto at_rate = [&](double rate, std::vector<Policy> policies) {
    Scenario probe = scenario;
    probe.rates = {rate};
    probe.policies = std::move(policies);
    return probe;
  };
  // What the policies, or none for the bounds, attain at a rate: 0 once it is stopped.
  const auto run = [&](double rate, std::vector<Policy> policies, const auto& attained) -> double {
    const Scenario probe = at_rate(rate, std::move(policies));
    const Study found =
        RunStudy(probe, threads, [](std::size_t, std::size_t) {}, probe.policies.empty(), stop);
    return found.seeds < probe.seeds ? 0 : attained(found);
  };

  GoodputSearch search;
  for (std::size_t policy = 0; policy < scenario.policies.size(); ++policy) {
    Curve curve;
    for (std::size_t r = 0; r < scenario.rates.size(); ++r) {
      curve[scenario.rates[r]] = AttainmentOf(study, policy, r).mean;
    }
    search.policies.push_back(SearchAll(
        std::move(curve),
        [&](double rate) {
          return run(rate, {scenario.policies[policy]},
                     [](const Study& found) { return AttainmentOf(found, 0, 0).mean; });
        },
        count));
  }
  for (const auto& [bound, goodput] :
       {std::pair{&ModeBound::known, &search.bound}, {&ModeBound::blind, &search.blind_bound}}) {
    Curve curve;
    for (std::size_t r = 0; r < scenario.rates.size(); ++r) {
      curve[scenario.rates[r]] = BoundOver(study, r, bound).mean;
    }
    *goodput = SearchAll(
        std::move(curve),
        [&](double rate) {
          return run(rate, {},
                     [bound](const Study& found) { return BoundOver(found, 0, bound).mean; });
        },
        count);
  }
  if (stop != nullptr && *stop) return std::nullopt;
  return search;
}

render::Table GoodputTable(const Scenario& scenario, const GoodputSearch& search) {
  render::Table table{{{"attainment"}}, {}};
  for (const double goal : kGoodputGoals) {
    table.columns.push_back({"≥ " + FormatPercent(goal) + " %", render::Align::kRight});
  }
  const auto add = [&](const std::string& name, const Goodput& goodput, bool is_bound) {
    std::vector<std::string>& row = table.rows.emplace_back();
    row.push_back(name);
    for (std::size_t goal = 0; goal < kGoodputGoals.size(); ++goal) {
      const Goodput::Rate& rate = goodput.rates[goal];
      const Goodput::Rate& most = search.bound.rates[goal];
      if (rate.factor == 0) {
        row.emplace_back("–");
        continue;
      }
      row.push_back((rate.bounded ? "" : "> ") + FormatNumber(rate.factor) + " · " +
                    FormatNumber(OfferedAt(scenario, rate.factor)) + " req/s");
      if (!is_bound && most.factor > 0 && most.bounded) {
        row.back() += " · " + FormatNumber(std::round(100 * rate.factor / most.factor));
      }
    }
  };
  for (std::size_t c = 0; c < scenario.policies.size(); ++c) {
    add(scenario.policies[c].name, search.policies[c], false);
  }
  add(kBoundName, search.bound, true);
  add(kBlindBoundName, search.blind_bound, true);
  return table;
}

std::string FormatGoodput(const Scenario& scenario, const GoodputSearch& search) {
  std::string text = "[";
  for (std::size_t c = 0; c < scenario.policies.size(); ++c) {
    WriteGoodput(scenario, scenario.policies[c].name, search.policies[c], text);
  }
  WriteGoodput(scenario, kBoundName, search.bound, text);
  WriteGoodput(scenario, kBlindBoundName, search.blind_bound, text);
  return text + "\n]\n";
}

}  // namespace headrace::scenario
