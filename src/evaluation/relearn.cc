#include "evaluation/relearn.h"

#include <algorithm>
#include <array>
#include <set>
#include <string>
#include <utility>

#include "base/histogram.h"
#include "base/text.h"
#include "evaluation/comparison.h"

namespace headrace::evaluation {
namespace {

// Seconds after the fault; what was sent before it is a row of its own.
constexpr std::array kRows{0.0, 2.0, 5.0, 10.0, 20.0, 40.0, 60.0, 120.0, 180.0};

struct Row {
  Histogram ratio;
  std::uint64_t sent = 0;
  std::uint64_t attained = 0;
};

std::string NameOfRow(std::size_t row) {
  if (row == 0) return "before";
  const std::string from = FormatNumber(kRows[row - 1]);
  return row == kRows.size() ? "from " + from : from + " to " + FormatNumber(kRows[row]);
}

}  // namespace

render::Table RelearnTable(const scenario::Scenario& scenario, double rate) {
  scenario::Scenario own = scenario;
  own.rates = {rate};
  own.policies.resize(1);
  own.policies[0] = {.name = std::string(kOwnPolicy), .router = routing::FindPolicy(kOwnPolicy)};
  const scenario::Study study = scenario::RunStudy(own, 1, [](std::size_t, std::size_t) {}, false);

  Seconds fault = kNever;
  std::set<std::pair<std::size_t, int>> changed;
  for (const sim::EndpointFault& one : own.faults) {
    if (one.kind != sim::EndpointFault::Kind::kSpeed) continue;
    fault = std::min(fault, one.at);
    changed.emplace(one.deployment, one.endpoint);
  }
  std::array<std::array<Row, kRows.size() + 1>, 2> groups;  // Those that change, and the others.
  scenario::VisitRequests(study, [&](const scenario::Run&, const sim::RequestRecord& request) {
    if (!request.predicted || !request.deployment) return;
    const Seconds after = request.arrived + request.queued - fault;
    const auto row =
        static_cast<std::size_t>(std::ranges::upper_bound(kRows, after) - kRows.begin());
    const bool changes = changed.contains({*request.deployment, request.endpoint});
    Row& of = groups[changes ? 0 : 1][row];
    of.sent += 1;
    of.attained += request.attained ? 1 : 0;
    if (request.end != sim::RequestRecord::End::kCompleted) return;
    of.ratio.Add((request.e2e - request.queued) / (request.predicted->e2e - request.queued));
  });

  render::Table table{{{"sent, seconds after the fault"}}, {}};
  for (const std::string group : {"slowed", "other"}) {
    if (group == "other" && groups[1][0].sent == 0) continue;
    table.columns.push_back({group + ": real / predicted"});
    table.columns.push_back({"in time, %"});
    table.columns.push_back({"requests"});
  }
  for (std::size_t row = 0; row <= kRows.size(); ++row) {
    std::vector<std::string>& cells = table.rows.emplace_back();
    cells.push_back(NameOfRow(row));
    for (const auto& group : groups) {
      if (group[0].sent == 0) continue;
      const Row& of = group[row];
      cells.push_back(of.ratio.count() == 0 ? "–" : FormatFixed(of.ratio.Quantile(0.5), 2));
      cells.push_back(of.sent == 0 ? "–"
                                   : FormatPercent(static_cast<double>(of.attained) /
                                                   static_cast<double>(of.sent)));
      cells.push_back(std::to_string(of.sent));
    }
  }
  return table;
}

}  // namespace headrace::evaluation
