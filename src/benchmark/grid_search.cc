#include "benchmark/grid_search.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>

namespace headrace::benchmark {
namespace {

double RoundedToFourDigits(double value) {
  char text[40];
  std::snprintf(text, sizeof text, "%.4g", value);
  return std::strtod(text, nullptr);
}

// As indexes into the ladder of rates. `border` is the highest kept rate; −1 = not even the lowest.
struct CellOutcome {
  int border = -1;
  bool sustained_none = false;  // The lowest rate was already too much for the engine.
};

class GridSearch {
 public:
  GridSearch(const GridPlan& plan, const MeasurePoint& measure)
      : plan_(plan), measure_(measure), outcomes_(plan.inputs.size() * plan.outputs.size()) {}

  Result<void> Run() {
    for (std::size_t output = 0; output < plan_.outputs.size(); ++output) {
      for (std::size_t input = 0; input < plan_.inputs.size(); ++input) {
        HEADRACE_TRY(Visit(output, input));
        ++cells_done_;
      }
    }
    return {};
  }

 private:
  using Outcome = std::optional<CellOutcome>;

  Outcome& At(std::size_t output, std::size_t input) {
    return outcomes_[output * plan_.inputs.size() + input];
  }
  int Top() const { return static_cast<int>(plan_.rates.size()) - 1; }

  Result<void> Visit(std::size_t output, std::size_t input) {
    input_ = plan_.inputs[input];
    output_ = plan_.outputs[output];
    if (plan_.fits && !plan_.fits(input_, output_)) return {};
    if (plan_.full) {
      for (int rate = 0; rate <= Top(); ++rate) HEADRACE_TRY(Try(rate));
      return {};
    }
    const Outcome left = input > 0 ? At(output, input - 1) : std::nullopt;
    const Outcome above = output > 0 ? At(output - 1, input) : std::nullopt;
    const Outcome corner = input > 0 && output > 0 ? At(output - 1, input - 1) : std::nullopt;
    if (const Outcome decided = Decided(left, above)) {
      At(output, input) = decided;
      return {};
    }
    // Too high a guess costs a short measurement, too low a one a long one.
    const bool first = !left && !above;
    HEADRACE_ASSIGN(At(output, input), first ? Search(Top() * 3 / 4, Top() / 16 + 1)
                                             : Search(Guess(left, above, corner), 1));
    return {};
  }

  // A shorter neighbour that failed at the lowest rate decides this cell.
  Outcome Decided(const Outcome& left, const Outcome& above) const {
    for (const Outcome& shorter : {left, above}) {
      const bool falls_with_length = plan_.slo.tpat || plan_.slo.ntpot;
      if (shorter && shorter->border < 0 && (shorter->sustained_none || !falls_with_length)) {
        return shorter;
      }
    }
    return std::nullopt;
  }

  int Guess(const Outcome& left, const Outcome& above, const Outcome& corner) const {
    int guess = left ? left->border : above->border;
    // The borders are nearly straight where rates and lengths are logarithmic.
    if (left && above && corner) guess = left->border + above->border - corner->border;
    return std::clamp(guess, 0, Top());
  }

  Result<CellOutcome> Search(int guess, int stride) {
    int kept = -1;         // Known to be kept, or below the ladder.
    int lost = Top() + 1;  // Known not to be, or above it.
    bool sustained_none = false;
    int next = guess;
    while (lost - kept > 1) {
      HEADRACE_ASSIGN(const Measurement measured, Try(next));
      if (IsKept(measured, plan_.slo)) {
        kept = next;
      } else {
        lost = next;
        if (next == 0) sustained_none = !measured.sustained;
      }
      if (kept >= 0 && lost <= Top()) {
        next = (kept + lost) / 2;
      } else {
        next = kept >= 0 ? std::min(kept + stride, Top()) : std::max(lost - stride, 0);
        stride *= 2;
        // The throughput of a server that fell behind is about as much as it can do.
        if (kept < 0 && !measured.sustained) next = std::min(next, RateBelow(measured.tput));
      }
    }
    return CellOutcome{kept, sustained_none};
  }

  // The highest rate up to `tput`, else the lowest.
  int RateBelow(double tput) const {
    const auto above = std::ranges::upper_bound(plan_.rates, tput);
    return std::max(0, static_cast<int>(above - plan_.rates.begin()) - 1);
  }
  Result<Measurement> Try(int rate) {
    const GridPoint point{input_, output_, plan_.rates[static_cast<std::size_t>(rate)]};
    return measure_(point, {cells_done_, outcomes_.size()});
  }

  const GridPlan& plan_;
  const MeasurePoint& measure_;
  std::vector<Outcome> outcomes_;  // A row per output.
  std::size_t cells_done_ = 0;
  Tokens input_ = 0;
  Tokens output_ = 0;
};

}  // namespace

std::vector<double> RateLadder(double lowest, double highest, double step) {
  std::vector<double> rates;
  for (int k = 0;; ++k) {
    const double rate = RoundedToFourDigits(lowest * std::pow(step, k));
    if (rate > highest) break;
    // A step that is finer than the rounding gives the same rate again.
    if (rates.empty() || rate > rates.back()) rates.push_back(rate);
  }
  return rates;
}

Result<void> SearchGrid(const GridPlan& plan, const MeasurePoint& measure) {
  return GridSearch(plan, measure).Run();
}

}  // namespace headrace::benchmark
