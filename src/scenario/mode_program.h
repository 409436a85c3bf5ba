// The linear program of the mode bound.
#pragma once

#include <array>
#include <limits>
#include <map>
#include <utility>
#include <vector>

#include "base/units.h"
#include "step/time_model.h"

class ClpSimplex;

namespace headrace::scenario {

// What a request takes of an engine, whenever it runs.
enum Quantity : std::size_t { kPrefilled, kAttended, kDecoded, kHeld, kQuantities };
using Quantities = std::array<double, kQuantities>;

// Requests that the program does not tell apart, but for `count`.
struct Kind {
  double count = 0;
  Quantities takes{};
  // The ways to serve one of it: by deployment and, where lengths are unknown, by pace (all
  // deployments at the first pace come first). How many of them then meet their SLO, 0 if none
  // can, and the time that the decode steps may take.
  std::vector<double> worth;
  std::vector<Seconds> decode_budget;
};

// Kinds that arrive in one window and may run in the same ones.
struct Cohort {
  std::size_t window = 0;
  std::size_t prefill_windows = 0;  // In how many, from that one on, its prompts may be computed.
  std::size_t decode_windows = 0;
  int pace = 0;             // Its group; kAnyPace: no step is too long.
  double least_prompt = 0;  // Fewest tokens to prefill.
  // What the program chooses from: few kinds that stand for the members, which its answer is then
  // checked against.
  std::vector<Kind> kinds;
  std::vector<Kind> members;
};
inline constexpr int kAnyPace = -1;

// The fleet's engines as the program sees them: a deployment at the greatest speed that it has
// during the run, with the engine-seconds that it has per window at that speed.
struct Engines {
  step::TimeModel step;
  double room = 0;  // Tokens of keys and values.
  double max_seqs = 0;
  double max_tokens = 0;  // In a step.
  double endpoints = 0;
  Seconds full_step = 0;       // A step that leaves a prompt unfinished lasts at least so long.
  std::vector<Seconds> edges;  // Mode m: steps of edges[m] to edges[m + 1].
  std::vector<double> most_prefilled;  // Prompt tokens in a step of a mode.
  std::vector<double> available;       // By window.

  std::size_t modes() const { return edges.size() - 1; }
};

// Every engine's time is divided over modes, and every cohort's work over the modes of the windows
// in which it may run. docs/bounds.md has the rows, and why none of them takes away what a
// router could do. For one use.
class ModeProgram {
 public:
  ModeProgram(const std::vector<Engines>& fleet, std::vector<Cohort> cohorts, std::size_t windows)
      : fleet_(fleet), cohorts_(std::move(cohorts)), windows_(windows) {}

  // At least the most requests that can be served in time.
  double Solve();

 private:
  using Terms = std::vector<std::pair<int, double>>;
  static constexpr double kUnbounded = std::numeric_limits<double>::max();  // Clp's infinity.

  // One deployment in one window.
  struct Slot {
    std::vector<int> steps;  // By mode.
    std::vector<int> time;
    std::vector<int> prefilled;
    std::vector<int> attended;
    std::vector<int> held;
    std::map<int, std::vector<int>> decoded;  // By pace.
    // What the cohorts do there.
    std::array<Terms, kQuantities> work;
    std::map<int, Terms> decoded_work;
    std::map<int, Terms> decode_time;
    std::vector<Terms> short_prefill;  // By mode: most tokens in steps of at most that duration.
  };

  int Column(double objective = 0) {
    objective_.push_back(objective);
    return static_cast<int>(objective_.size() - 1);
  }
  std::vector<int> Columns(std::size_t count) {
    std::vector<int> columns(count);
    for (int& column : columns) column = Column();
    return columns;
  }
  int Row(const Terms& terms, double low, double high) {
    for (const auto& [column, element] : terms) {
      row_of_.push_back(static_cast<int>(low_.size()));
      column_of_.push_back(column);
      element_.push_back(element);
    }
    low_.push_back(low);
    high_.push_back(high);
    return static_cast<int>(low_.size() - 1);
  }
  int AtMost(const Terms& terms, double most = 0) { return Row(terms, -kUnbounded, most); }
  int AtLeast(const Terms& terms, double least = 0) { return Row(terms, least, kUnbounded); }

  void AddModes();
  void AddMode(const Engines& engines, const Slot& slot, std::size_t mode);
  void AddCohort(const Cohort& cohort);
  void AddLinks(std::size_t d, std::size_t w);
  double Certify(const ClpSimplex& simplex) const;

  const std::vector<Engines>& fleet_;
  std::vector<Cohort> cohorts_;
  std::size_t windows_;
  std::vector<std::vector<Slot>> slots_;  // By deployment and window.
  // By cohort and deployment: the rows of its work, by quantity, and of its decode time. Empty: it
  // cannot go there.
  std::vector<std::vector<std::vector<int>>> cohort_rows_;
  std::vector<bool> of_kinds_;  // By row: whether it says how many of a kind there are.
  std::vector<double> objective_;
  std::vector<double> low_;
  std::vector<double> high_;
  std::vector<int> row_of_;
  std::vector<int> column_of_;
  std::vector<double> element_;
};

}  // namespace headrace::scenario
