#include "profile/check.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "base/text.h"

namespace headrace::profile {
namespace {

using Severity = ProfileFault::Severity;

// " at output 128, input 2048 tokens"
std::string At(const GpuProfile& profile, ProfileCell cell) {
  return " at " +
         CellName(profile.outputs.centres()[cell.output], profile.inputs.centres()[cell.input]);
}

// Calls `visit(cell)` for every cell, in file order.
template <typename Visit>
void ForEachCell(const GpuProfile& profile, Visit visit) {
  for (std::size_t output = 0; output < profile.outputs.size(); ++output) {
    for (std::size_t input = 0; input < profile.inputs.size(); ++input) {
      visit(ProfileCell{output, input});
    }
  }
}

// The number of cells with a fault, and the worst of them (the first among equals).
struct Finding {
  std::size_t count = 0;
  ProfileCell cell;
  double badness = 0;

  void Add(ProfileCell at, double how_bad = 0) {
    if (count++ > 0 && how_bad <= badness) return;
    cell = at;
    badness = how_bad;
  }
};

// Collects the faults of one profile.
class Checker {
 public:
  Checker(const GpuProfile& profile, std::string_view name) : profile_(profile), name_(name) {}

  void CheckLatencies();
  void CheckAll(std::optional<Seconds> now);
  std::vector<ProfileFault> Take() { return std::move(faults_); }

 private:
  void Warn(const std::string& what, std::optional<ProfileCell> cell = std::nullopt) {
    faults_.push_back({Severity::kWarning, cell, std::string(name_) + ": " + what + "."});
  }
  std::string Count(const Finding& finding) const {
    return std::to_string(finding.count) + " of " +
           std::to_string(profile_.outputs.size() * profile_.inputs.size()) + " cells";
  }
  bool Usable(ProfileCell cell) const { return profile_.tput.at(cell.output, cell.input) > 0; }

  void CheckZeros();
  void CheckHoles(const char* key, const std::optional<BucketMatrix>& matrix);
  void CheckTrend(const char* key, const BucketMatrix& matrix, bool should_rise);
  void CheckConsistency();
  void CheckSlo();
  void CheckAge(std::optional<Seconds> now);

  const GpuProfile& profile_;
  std::string_view name_;
  std::vector<ProfileFault> faults_;
};

void Checker::CheckLatencies() {
  struct Latency {
    const char* key;
    const std::optional<BucketMatrix>& matrix;
    Seconds least;  // No engine of today is faster.
    const char* consequence;
  };
  const Latency latencies[] = {
      {"e2e", profile_.e2e, 1e-3, "load and ranks are computed as almost 0"},
      {"ttft", profile_.ttft, 1e-3, "a TTFT SLO always seems met"},
      {"tpot", profile_.tpot, 1e-5, "a TPOT SLO always seems met"},
  };
  for (const Latency& latency : latencies) {
    if (!latency.matrix) continue;
    Finding finding;
    ForEachCell(profile_, [&](ProfileCell cell) {
      // A response of one token has no time between tokens.
      const bool has_gaps =
          &latency.matrix != &profile_.tpot || profile_.outputs.centres()[cell.output] > 1;
      const double value = latency.matrix->at(cell.output, cell.input);
      if (Usable(cell) && has_gaps && value < latency.least) finding.Add(cell);
    });
    if (finding.count == 0) continue;
    const Seconds value = latency.matrix->at(finding.cell.output, finding.cell.input);
    Warn(std::string("`") + latency.key + "` is too small to be true in " + Count(finding) + " (" +
             FormatDuration(value) + At(profile_, finding.cell) + "), so " + latency.consequence +
             "; measure with streamed responses, then generate the profile again",
         finding.cell);
  }
}

void Checker::CheckAll(std::optional<Seconds> now) {
  CheckZeros();
  CheckHoles("tputs", profile_.tput);
  CheckHoles("e2e", profile_.e2e);
  CheckHoles("ttft", profile_.ttft);
  CheckHoles("tpot", profile_.tpot);
  CheckTrend("tputs", profile_.tput, /*should_rise=*/false);
  if (profile_.e2e) CheckTrend("e2e", *profile_.e2e, /*should_rise=*/true);
  CheckLatencies();
  CheckConsistency();
  CheckSlo();
  CheckAge(now);
}

void Checker::CheckZeros() {
  if (!HasUsableCell(profile_)) {
    Warn(
        "no cell of `tputs` is above 0, so the SLO is met with no size of request, and a gateway "
        "routes the deployment by its fallback; loosen the SLO or measure lower request rates, "
        "then generate the profile again");
    return;
  }
  const auto all_zero = [&](bool by_output, std::size_t index) {
    const std::size_t count = by_output ? profile_.inputs.size() : profile_.outputs.size();
    for (std::size_t other = 0; other < count; ++other) {
      if (Usable(by_output ? ProfileCell{index, other} : ProfileCell{other, index})) return false;
    }
    return true;
  };
  for (std::size_t output = 0; output < profile_.outputs.size(); ++output) {
    if (!all_zero(true, output)) continue;
    Warn("no request of about " + std::to_string(profile_.outputs.centres()[output]) +
             " output tokens can be served within the SLO, with any prompt (`tputs` is 0 there); "
             "loosen the SLO if that is not intended",
         ProfileCell{output, 0});
  }
  for (std::size_t input = 0; input < profile_.inputs.size(); ++input) {
    if (!all_zero(false, input)) continue;
    Warn("no request of about " + std::to_string(profile_.inputs.centres()[input]) +
             " prompt tokens can be served within the SLO, with any response (`tputs` is 0 there); "
             "loosen the SLO if that is not intended",
         ProfileCell{0, input});
  }
}

void Checker::CheckHoles(const char* key, const std::optional<BucketMatrix>& matrix) {
  if (!matrix) return;
  const bool is_tput = std::string_view(key) == "tputs";
  Finding finding;
  ForEachCell(profile_, [&](ProfileCell cell) {
    // Where no request can be routed, no latency is needed.
    if (!is_tput && !Usable(cell)) return;
    if (std::isnan(matrix->at(cell.output, cell.input))) finding.Add(cell);
  });
  if (finding.count == 0) return;
  Warn(std::string("`") + key + "` is unknown in " + Count(finding) + ", first" +
           At(profile_, finding.cell) + "; measure them",
       finding.cell);
}

void Checker::CheckTrend(const char* key, const BucketMatrix& matrix, bool should_rise) {
  // Rates are measured on a grid, and latencies at the chosen rate, so small steps in the wrong
  // direction are normal.
  constexpr double kTolerance = 1.25;
  Finding finding;
  ProfileCell before;
  const auto compare = [&](ProfileCell shorter, ProfileCell longer) {
    if (!Usable(shorter)) {
      if (should_rise || !Usable(longer)) return;
      // A longer request is served where a shorter one is not.
      if (profile_.tput.at(shorter.output, shorter.input) != 0) return;
    } else if (!Usable(longer)) {
      return;
    }
    const double less = matrix.at(shorter.output, shorter.input);
    const double more = matrix.at(longer.output, longer.input);
    const double wrong_way = should_rise ? less / more : more / less;
    if (!(wrong_way > kTolerance)) return;
    if (wrong_way > finding.badness) before = shorter;
    finding.Add(longer, wrong_way);
  };
  ForEachCell(profile_, [&](ProfileCell cell) {
    if (cell.output > 0) compare({cell.output - 1, cell.input}, cell);
    if (cell.input > 0) compare({cell.output, cell.input - 1}, cell);
  });
  if (finding.count == 0) return;
  const auto text = [&](ProfileCell cell) {
    const double value = matrix.at(cell.output, cell.input);
    return (should_rise ? FormatDuration(value) : FormatNumber(value) + " req/s") +
           At(profile_, cell);
  };
  Warn(std::string("`") + key + "` " + (should_rise ? "falls" : "rises") + " with length in " +
           std::to_string(finding.count) +
           (finding.count == 1 ? " place, from " : " places, most from ") + text(before) + " to " +
           text(finding.cell) +
           "; measure these cells again, with more requests or a finer grid of rates",
       finding.cell);
}

void Checker::CheckConsistency() {
  if (!profile_.e2e) return;
  const BucketMatrix& e2e_matrix = *profile_.e2e;
  const Seconds target = profile_.slo.e2e.value_or(kNever);
  Finding below_ttft, huge, missed;
  ForEachCell(profile_, [&](ProfileCell cell) {
    if (!Usable(cell)) return;
    const Seconds e2e = e2e_matrix.at(cell.output, cell.input);
    if (profile_.ttft && e2e < profile_.ttft->at(cell.output, cell.input)) below_ttft.Add(cell);
    // No request keeps an engine busy for an hour.
    if (e2e > 3600) huge.Add(cell, e2e);
    if (e2e >= target) missed.Add(cell, e2e);
  });
  const auto e2e_at = [&](const Finding& finding) {
    return FormatDuration(e2e_matrix.at(finding.cell.output, finding.cell.input)) +
           At(profile_, finding.cell);
  };
  if (below_ttft.count > 0) {
    Warn("`e2e` is below `ttft` in " + Count(below_ttft) + ", first" +
             At(profile_, below_ttft.cell) + ", which it includes; measure again",
         below_ttft.cell);
  }
  if (huge.count > 0) {
    Warn("`e2e` is over an hour in " + Count(huge) + " (" + e2e_at(huge) +
             "), which looks like milliseconds; write seconds",
         huge.cell);
  } else if (missed.count > 0) {
    Warn("`e2e` misses the profile's own SLO of " + FormatDuration(target) + " in " +
             Count(missed) + " that `tputs` counts as served (" + e2e_at(missed) +
             "); generate the profile again",
         missed.cell);
  }
}

void Checker::CheckSlo() {
  const slo::Slo& slo = profile_.slo;
  if (!profile_.e2e) {
    Warn(
        "has no `e2e`, so neither load nor ranks can be computed and requests fall back to "
        "least-request; generate the profile again with a current generator");
  }
  if (!slo.HasLatency()) {
    Warn(
        "has no latency SLO in `slos`, so it routes only requests or models that have an SLO; "
        "generate it with --e2e, --ttft, --tpot, --tpat or --ntpot");
  }
  if (slo.ttft && !slo.tpot && !profile_.ttft) {
    Warn(
        "has a TTFT SLO but no `ttft`, so it cannot rank requests by it; generate the profile "
        "again");
  }
}

void Checker::CheckAge(std::optional<Seconds> now) {
  if (profile_.cost == 0) Warn("`cost` is 0, so costs of GPUs cannot be compared; set a price");
  if (!now || profile_.created == 0) return;
  constexpr Seconds kDay = 86400;
  const Seconds age = *now - profile_.created;
  if (age > kStaleAfter) {
    Warn("is " + FormatNumber(std::floor(age / kDay)) +
         " days old; measure again if the engine, its version or its flags have changed since");
  } else if (age < -kDay) {
    Warn("was created " + FormatNumber(std::ceil(-age / kDay)) +
         " days in the future; correct `created` (Unix seconds) or the clock");
  }
}

}  // namespace

std::vector<ProfileFault> CheckLatencies(const GpuProfile& profile, std::string_view name) {
  Checker checker(profile, name);
  checker.CheckLatencies();
  return checker.Take();
}

std::vector<ProfileFault> CheckProfile(const GpuProfile& profile, std::string_view name,
                                       std::optional<Seconds> now) {
  Checker checker(profile, name);
  checker.CheckAll(now);
  return checker.Take();
}

std::vector<ProfileFault> AllFaults(const ParsedProfile& parsed, std::string_view name,
                                    std::optional<Seconds> now) {
  std::vector<ProfileFault> faults = parsed.faults;
  for (ProfileFault& fault : CheckProfile(parsed.profile, name, now)) {
    if (std::ranges::find(faults, fault) == faults.end()) faults.push_back(std::move(fault));
  }
  return faults;
}

}  // namespace headrace::profile
