#include "evaluation/ablation.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>

#include "base/text.h"
#include "evaluation/comparison.h"
#include "scenario/study.h"

namespace headrace::evaluation {
namespace {

using Constants = fleet::HeadroomConstants;

constexpr std::array kConstants{
    NamedConstant{"allowed_at_rest", &Constants::allowed_at_rest},
    NamedConstant{"allowed_under_pressure", &Constants::allowed_under_pressure},
    NamedConstant{"harm_weight", &Constants::harm_weight},
    NamedConstant{"standing_weight", &Constants::standing_weight},
    NamedConstant{"yield_share", &Constants::yield_share},
    NamedConstant{"full_pressure", &Constants::full_pressure},
    NamedConstant{"least_chance", &Constants::least_chance, 1},
    NamedConstant{"rise", &Constants::rise},
    NamedConstant{"alike", &Constants::alike},
    NamedConstant{"pack_from", &Constants::pack_from},
    NamedConstant{"idle_backlog", &Constants::idle_backlog},
    NamedConstant{"patience", &Constants::patience},
    NamedConstant{"pass_from", &Constants::pass_from},
    NamedConstant{"chunk", &Constants::chunk},
    NamedConstant{"look_ahead", &Constants::look_ahead},
    NamedConstant{"first_token_spread", &Constants::first_token_spread},
    NamedConstant{"pace_spread", &Constants::pace_spread},
    NamedConstant{"ramp_spread", &Constants::ramp_spread},
    NamedConstant{"ramp_least", &Constants::ramp_least},
    NamedConstant{"kv_growth", &Constants::kv_growth},
    NamedConstant{"to_come_lasts", &Constants::to_come_lasts},
    NamedConstant{"negligible", &Constants::negligible},
    NamedConstant{"calm_lasts", &Constants::calm_lasts},
    NamedConstant{"calm_pace", &Constants::calm_pace},
    NamedConstant{"usual_batch", &Constants::usual_batch},
    NamedConstant{"scale_window", &Constants::scale_window},
    NamedConstant{"scale_step", &Constants::scale_step},
    NamedConstant{"scale_farthest", &Constants::scale_farthest},
    NamedConstant{"scale_most", &Constants::scale_most},
    NamedConstant{"scale_forget", &Constants::scale_forget},
    NamedConstant{"common_spread", &Constants::common_spread},
    NamedConstant{"own_spread", &Constants::own_spread},
    NamedConstant{"sample_noise", &Constants::sample_noise},
    NamedConstant{"sample_farthest", &Constants::sample_farthest},
    NamedConstant{"belief_most", &Constants::belief_most},
    NamedConstant{"samples", &Constants::samples},
};

// slo-headroom without something, or with more than it has.
struct Variant {
  const char* what;
  void (*change)(scenario::Policy& policy);
};

Constants& Of(scenario::Policy& policy) { return policy.experiment.constants; }

constexpr std::array kVariants{
    Variant{"what it does to others does not count",
            [](scenario::Policy& policy) { Of(policy).harm_weight = 0; }},
    Variant{"nobody is held: sent at once to the cheapest place",
            [](scenario::Policy& policy) {
              Of(policy).allowed_at_rest = Of(policy).allowed_under_pressure = 1e9;
            }},
    Variant{"under pressure nothing is packed",
            [](scenario::Policy& policy) {
              Of(policy).pack_from = 2;
              Of(policy).alike = 0;
            }},
    Variant{"nobody gives up", [](scenario::Policy& policy) { Of(policy).least_chance = 0; }},
    Variant{"newcomers do not pass", [](scenario::Policy& policy) { Of(policy).pass_from = 1e9; }},
    Variant{"late requests are not served",
            [](scenario::Policy& policy) { Of(policy).idle_backlog = -1; }},
    Variant{"predictions count as exact",
            [](scenario::Policy& policy) {
              Of(policy).first_token_spread = Of(policy).pace_spread = 0;
            }},
    Variant{"lengths: the mean, no distribution",
            [](scenario::Policy& policy) {
              policy.experiment.length_distributions = false;
              policy.length = predict::LengthOptions::Summary::kMean;
            }},
    Variant{"lengths: the 90 % quantile, no distribution",
            [](scenario::Policy& policy) { policy.experiment.length_distributions = false; }},
    Variant{"step times are not learned",
            [](scenario::Policy& policy) { Of(policy).common_spread = Of(policy).own_spread = 0; }},
    Variant{"an endpoint counts as all of its deployment",
            [](scenario::Policy& policy) { Of(policy).scale_most = 1; }},
    Variant{"neither of the last two",
            [](scenario::Policy& policy) {
              Of(policy).common_spread = Of(policy).own_spread = 0;
              Of(policy).scale_most = 1;
            }},
    Variant{"only ends are seen, no first tokens",
            [](scenario::Policy& policy) { policy.first_tokens = false; }},
    Variant{"KV room is not known", [](scenario::Policy& policy) { policy.kv_room = false; }},
    Variant{"(more:) lengths are known",
            [](scenario::Policy& policy) { policy.exact_lengths = true; }},
};

// The trial's study of slo-headroom (the first policy) and of slo-headroom with each change.
Result<scenario::Study> RunChanged(
    const Trial& trial, const std::vector<std::function<void(scenario::Policy&)>>& changes,
    scenario::Scenario& changed, unsigned threads, const std::atomic<bool>* stop) {
  scenario::Policy own;
  own.name = kOwnPolicy;
  own.router = routing::FindPolicy(kOwnPolicy);
  changed = *trial.scenario;
  changed.rates = {trial.rate};
  changed.policies = {own};
  for (const auto& change : changes) {
    changed.policies.push_back(own);
    change(changed.policies.back());
  }
  scenario::Study study =
      scenario::RunStudy(changed, threads, [](std::size_t, std::size_t) {}, false, stop);
  if (study.seeds < changed.seeds) return Fail("it was stopped");
  return study;
}

std::string Gain(const scenario::Study& study, std::size_t policy) {
  const scenario::Estimate gain = Difference(study, policy, 0, 0);
  const std::string points = (gain.mean >= 0 ? "+" : "") + FormatPercent(gain.mean);
  const bool shows = std::abs(gain.mean) >= 0.0005 && (gain.low > 0 || gain.high < 0);
  return shows ? "**" + points + "**" : points;
}

// The first column is `title`; the first row says what all differences refer to.
render::Table EmptyTable(const std::string& title, const std::vector<Trial>& trials) {
  render::Table table{{{title}}, {}};
  for (const Trial& trial : trials) {
    table.columns.push_back({trial.name + " × " + FormatNumber(trial.rate)});
  }
  table.rows.push_back({"slo-headroom, %"});
  return table;
}

}  // namespace

std::span<const NamedConstant> ConstantNames() { return kConstants; }

Result<render::Table> AblationTable(const std::vector<Trial>& trials, unsigned threads,
                                    const std::atomic<bool>* stop) {
  render::Table table = EmptyTable("without …", trials);
  std::vector<std::function<void(scenario::Policy&)>> changes;
  for (const Variant& variant : kVariants) {
    changes.emplace_back(variant.change);
    table.rows.push_back({variant.what});
  }
  for (const Trial& trial : trials) {
    scenario::Scenario changed;
    HEADRACE_ASSIGN(const scenario::Study study,
                    RunChanged(trial, changes, changed, threads, stop));
    table.rows[0].push_back(FormatPercent(scenario::AttainmentOf(study, 0, 0).mean));
    for (std::size_t i = 1; i < table.rows.size(); ++i) table.rows[i].push_back(Gain(study, i));
  }
  return table;
}

Result<render::Table> SensitivityTable(const std::vector<Trial>& trials, unsigned threads,
                                       const std::atomic<bool>* stop) {
  render::Table table = EmptyTable("constant: half of it / twice as much", trials);
  std::vector<std::function<void(scenario::Policy&)>> changes;
  for (const NamedConstant& constant : kConstants) {
    for (const double factor : {0.5, 2.0}) {
      changes.emplace_back([&constant, factor](scenario::Policy& policy) {
        double& value = Of(policy).*constant.member;
        value = std::min(value * factor, constant.most);
      });
    }
    table.rows.push_back(
        {std::string(constant.name) + " " + FormatNumber(Constants{}.*constant.member)});
  }
  for (const Trial& trial : trials) {
    scenario::Scenario changed;
    HEADRACE_ASSIGN(const scenario::Study study,
                    RunChanged(trial, changes, changed, threads, stop));
    table.rows[0].push_back(FormatPercent(scenario::AttainmentOf(study, 0, 0).mean));
    for (std::size_t i = 1; i < table.rows.size(); ++i) {
      table.rows[i].push_back(Gain(study, 2 * i - 1) + " / " + Gain(study, 2 * i));
    }
  }
  return table;
}

}  // namespace headrace::evaluation
