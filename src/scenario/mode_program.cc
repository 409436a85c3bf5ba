#include "scenario/mode_program.h"

#include <algorithm>
#include <cmath>
#include <coin/ClpSimplex.hpp>
#include <coin/CoinPackedMatrix.hpp>

namespace headrace::scenario {
namespace {

constexpr int kNoRow = -1;

// The share of the sum of memory and compute time that compute has in a step of `duration`.
double ComputeShare(const step::TimeModel& step, Seconds duration) {
  double low = 0;
  double high = duration;
  for (int i = 0; i < 50; ++i) {
    const double middle = 0.5 * (low + high);
    (step.overhead + step.Dense(middle) <= duration ? low : high) = middle;
  }
  return low / (low + step.a);
}

}  // namespace

double ModeProgram::Solve() {
  AddModes();
  for (const Cohort& cohort : cohorts_) AddCohort(cohort);
  for (std::size_t d = 0; d < fleet_.size(); ++d) {
    for (std::size_t w = 0; w < windows_; ++w) AddLinks(d, w);
  }
  const CoinPackedMatrix matrix(false, row_of_.data(), column_of_.data(), element_.data(),
                                static_cast<CoinBigIndex>(element_.size()));
  const std::vector<double> zero(objective_.size(), 0.0);
  const std::vector<double> unbounded(objective_.size(), kUnbounded);
  ClpSimplex simplex;
  simplex.setLogLevel(0);
  simplex.loadProblem(matrix, zero.data(), unbounded.data(), objective_.data(), low_.data(),
                      high_.data());
  simplex.initialSolve();
  return Certify(simplex);
}

void ModeProgram::AddModes() {
  slots_.resize(fleet_.size());
  for (std::size_t d = 0; d < fleet_.size(); ++d) {
    const Engines& engines = fleet_[d];
    for (std::size_t w = 0; w < windows_; ++w) {
      Slot& slot = slots_[d].emplace_back();
      slot.steps = Columns(engines.modes());
      slot.time = Columns(engines.modes());
      slot.prefilled = Columns(engines.modes());
      if (engines.step.e > 0) slot.attended = Columns(engines.modes());
      slot.held = Columns(engines.modes());
      for (const Cohort& cohort : cohorts_) {
        auto& decoded = slot.decoded[cohort.pace];
        if (decoded.empty()) decoded = Columns(engines.modes());
      }
      slot.short_prefill.resize(engines.modes());
      Terms time;
      for (std::size_t m = 0; m < engines.modes(); ++m) {
        time.emplace_back(slot.time[m], 1);
        AddMode(engines, slot, m);
      }
      AtMost(time, engines.available[w]);
    }
  }
}

// The steps of one mode hold no more than fits into their time and into the engine.
void ModeProgram::AddMode(const Engines& engines, const Slot& slot, std::size_t mode) {
  const step::TimeModel& step = engines.step;
  const int steps = slot.steps[mode];
  std::vector<double> shares{0};
  if (step.overlap > 0) {  // Without it there is but one tangent.
    const double share = ComputeShare(step, 0.5 * (engines.edges[mode] + engines.edges[mode + 1]));
    // At 1/2 and full overlap there is a corner, and no tangent.
    shares.push_back(std::abs(share - 0.5) < 1e-3 ? 0.499 : share);
  }
  for (const double share : shares) {
    const step::TimeModel::Tangent dense = step.DenseTangent(share);
    Terms terms{{steps, step.overhead + dense.memory * step.a},
                {slot.prefilled[mode], dense.compute * step.b},
                {slot.held[mode], step.d},
                {slot.time[mode], -1}};
    if (step.e > 0) terms.emplace_back(slot.attended[mode], step.e);
    for (const auto& [pace, decoded] : slot.decoded) {
      terms.emplace_back(decoded[mode], step.overhead_per_sequence + dense.compute * step.c);
    }
    AtMost(terms);
  }
  AtLeast({{slot.time[mode], 1}, {steps, -engines.edges[mode]}});
  AtMost({{slot.time[mode], 1}, {steps, -engines.edges[mode + 1]}});
  AtMost({{slot.held[mode], 1}, {steps, -engines.room}});
  Terms batch{{steps, -engines.max_seqs}};
  Terms tokens{{steps, -engines.max_tokens}, {slot.prefilled[mode], 1}};
  for (const auto& [pace, decoded] : slot.decoded) {
    batch.emplace_back(decoded[mode], 1);
    tokens.emplace_back(decoded[mode], 1);
  }
  AtMost(batch);
  AtMost(tokens);
}

// All that its requests take is done in the windows in which they may run, and their decode steps
// take no longer than they may.
void ModeProgram::AddCohort(const Cohort& cohort) {
  std::vector<Terms> served(cohort.kinds.size());
  auto& rows = cohort_rows_.emplace_back(fleet_.size());
  for (std::size_t d = 0; d < fleet_.size(); ++d) {
    std::array<Terms, kQuantities> work;
    Terms decode_time;
    bool any = false;
    for (std::size_t k = 0; k < cohort.kinds.size(); ++k) {
      const Kind& kind = cohort.kinds[k];
      for (std::size_t way = d; way < kind.worth.size(); way += fleet_.size()) {
        if (kind.worth[way] <= 0) continue;
        any = true;
        const int column = Column(-kind.worth[way]);
        served[k].emplace_back(column, 1);
        for (std::size_t q = 0; q < kQuantities; ++q) work[q].emplace_back(column, -kind.takes[q]);
        decode_time.emplace_back(column, -kind.decode_budget[way]);
      }
    }
    if (!any) continue;
    for (std::size_t i = 0; i < cohort.decode_windows; ++i) {
      Slot& slot = slots_[d][(cohort.window + i) % windows_];
      for (std::size_t q = 0; q < kQuantities; ++q) {
        if (q <= kAttended && i >= cohort.prefill_windows) continue;
        if (q == kAttended && slot.attended.empty()) continue;
        const int column = Column();
        work[q].emplace_back(column, 1);
        if (q == kDecoded) {
          slot.decoded_work[cohort.pace].emplace_back(column, -1);
        } else {
          slot.work[q].emplace_back(column, -1);
        }
        if (q != kPrefilled) continue;
        for (std::size_t m = 0; m < fleet_[d].modes(); ++m) {
          if (fleet_[d].edges[m + 1] >= fleet_[d].full_step) break;
          slot.short_prefill[m].emplace_back(
              column, -std::min(1.0, fleet_[d].most_prefilled[m] / cohort.least_prompt));
        }
      }
      if (cohort.pace == kAnyPace) continue;
      const int column = Column();
      decode_time.emplace_back(column, 1);
      slot.decode_time[cohort.pace].emplace_back(column, -1);
    }
    for (std::size_t q = 0; q < kQuantities; ++q) {
      const bool free = q == kAttended && fleet_[d].step.e == 0;
      rows[d].push_back(free ? kNoRow : AtLeast(work[q]));
    }
    rows[d].push_back(cohort.pace == kAnyPace ? kNoRow : AtMost(decode_time));
  }
  for (std::size_t k = 0; k < served.size(); ++k) {
    if (served[k].empty()) continue;
    const int row = AtMost(served[k], cohort.kinds[k].count);
    of_kinds_.resize(static_cast<std::size_t>(row) + 1);
    of_kinds_.back() = true;
  }
}

// Weak duality: any prices of the rows give a bound. Those that the program found for its kinds are
// nearly the best for the members, of which each takes the way that is worth most at these prices.
double ModeProgram::Certify(const ClpSimplex& simplex) const {
  // Of a row that holds on one side, a price of the other sign is a rounding error.
  std::vector<double> price(simplex.dualRowSolution(), simplex.dualRowSolution() + low_.size());
  for (std::size_t row = 0; row < low_.size(); ++row) {
    if (std::abs(price[row] > 0 ? low_[row] : high_[row]) == kUnbounded) price[row] = 0;
  }
  double bound = 0;
  for (std::size_t row = 0; row < low_.size(); ++row) {
    if (row < of_kinds_.size() && of_kinds_[row]) continue;
    bound -= price[row] * (price[row] > 0 ? low_[row] : high_[row]);
  }
  const auto at = [&](int row) { return row == kNoRow ? 0 : price[row]; };
  for (std::size_t c = 0; c < cohorts_.size(); ++c) {
    for (const Kind& member : cohorts_[c].members) {
      double most = 0;
      for (std::size_t way = 0; way < member.worth.size(); ++way) {
        const std::vector<int>& rows = cohort_rows_[c][way % fleet_.size()];
        if (rows.empty() || member.worth[way] <= 0) continue;
        double worth = member.worth[way] - at(rows[kQuantities]) * member.decode_budget[way];
        for (std::size_t q = 0; q < kQuantities; ++q) worth -= at(rows[q]) * member.takes[q];
        most = std::max(most, worth);
      }
      bound += member.count * most;
    }
  }
  return bound;
}

// What the cohorts do in a window is done in its modes.
void ModeProgram::AddLinks(std::size_t d, std::size_t w) {
  const Engines& engines = fleet_[d];
  Slot& slot = slots_[d][w];
  const auto link = [&](Terms terms, const std::vector<int>& columns) {
    if (terms.empty()) return;
    for (const int column : columns) terms.emplace_back(column, 1);
    AtLeast(terms);
  };
  link(slot.work[kPrefilled], slot.prefilled);
  if (!slot.attended.empty()) link(slot.work[kAttended], slot.attended);
  link(slot.work[kHeld], slot.held);
  for (const auto& [pace, decoded] : slot.decoded) {
    if (slot.decoded_work[pace].empty()) continue;
    link(slot.decoded_work[pace], decoded);
    if (pace == kAnyPace) continue;
    Terms time = slot.decode_time[pace];
    for (std::size_t m = 0; m < engines.modes(); ++m) {
      time.emplace_back(decoded[m], engines.edges[m]);
    }
    AtMost(time);
  }
  for (std::size_t m = 0; m < engines.modes(); ++m) {
    Terms& terms = slot.short_prefill[m];
    if (terms.empty()) continue;
    for (std::size_t i = 0; i <= m; ++i) terms.emplace_back(slot.prefilled[i], 1);
    AtMost(terms, engines.endpoints * engines.most_prefilled[m]);
  }
}

}  // namespace headrace::scenario
