// One policy against others, on the same requests.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "scenario/study.h"
#include "scenario/summary.h"

namespace headrace::evaluation {

inline constexpr std::string_view kOwnPolicy = "slo-headroom";

// The policy's place in the scenario.
std::optional<std::size_t> Find(const scenario::Scenario& scenario, std::string_view policy);

using Figure = std::function<double(const sim::SimulationResult&)>;
double Attainment(const sim::SimulationResult& result);

// The mean over seeds of `of_a(result of a) − of_b(result of b)`, with its interval. The
// differences are paired, since every seed gives both policies the same requests.
scenario::Estimate Difference(const scenario::Study& study, std::size_t a, std::size_t b,
                              std::size_t rate, const Figure& of_a, const Figure& of_b);
// Of attainment.
scenario::Estimate Difference(const scenario::Study& study, std::size_t a, std::size_t b,
                              std::size_t rate);

// The policy with the highest attainment among those that `counts` says yes to, in hindsight.
std::optional<std::size_t> BestOf(const scenario::Study& study, std::size_t rate,
                                  const std::function<bool(std::size_t policy)>& counts);
// Of all routers but the own policy; baselines, which no router can be, do not count.
std::optional<std::size_t> BestOther(const scenario::Study& study, std::size_t rate);

// "+1.2 [0.8 to 1.5]", in points.
std::string Points(const scenario::Estimate& gain);

}  // namespace headrace::evaluation
