#include "evaluation/comparison.h"

#include <vector>

#include "base/text.h"

namespace headrace::evaluation {

std::optional<std::size_t> Find(const scenario::Scenario& scenario, std::string_view policy) {
  for (std::size_t i = 0; i < scenario.policies.size(); ++i) {
    if (scenario.policies[i].name == policy) return i;
  }
  return std::nullopt;
}

double Attainment(const sim::SimulationResult& result) {
  return result.statistics.Total().Attainment();
}

scenario::Estimate Difference(const scenario::Study& study, std::size_t a, std::size_t b,
                              std::size_t rate, const Figure& of_a, const Figure& of_b) {
  std::vector<double> differences;
  for (std::size_t seed = 0; seed < static_cast<std::size_t>(study.scenario->seeds); ++seed) {
    differences.push_back(of_a(study.At(a, rate, seed).result) -
                          of_b(study.At(b, rate, seed).result));
  }
  return scenario::EstimateMean(differences);
}

scenario::Estimate Difference(const scenario::Study& study, std::size_t a, std::size_t b,
                              std::size_t rate) {
  return Difference(study, a, b, rate, Attainment, Attainment);
}

std::optional<std::size_t> BestOf(const scenario::Study& study, std::size_t rate,
                                  const std::function<bool(std::size_t policy)>& counts) {
  std::optional<std::size_t> best;
  double most = 0;
  for (std::size_t c = 0; c < study.scenario->policies.size(); ++c) {
    if (!counts(c)) continue;
    const double attainment = scenario::AttainmentOf(study, c, rate).mean;
    if (best && attainment <= most) continue;
    best = c;
    most = attainment;
  }
  return best;
}

std::optional<std::size_t> BestOther(const scenario::Study& study, std::size_t rate) {
  return BestOf(study, rate, [&](std::size_t c) {
    const scenario::Policy& policy = study.scenario->policies[c];
    return policy.kind == scenario::Policy::Kind::kScheduler && policy.name != kOwnPolicy;
  });
}

std::string Points(const scenario::Estimate& gain) {
  return (gain.mean >= 0 ? "+" : "") + FormatPercent(gain.mean) + " [" + FormatPercent(gain.low) +
         " to " + FormatPercent(gain.high) + "]";
}

}  // namespace headrace::evaluation
