#include "profile/check.h"

#include <string>
#include <utility>

#include "profile/text.h"

namespace headrace {
namespace {

using Severity = ProfileFault::Severity;

// " at output 128, input 2048 tokens"
std::string At(const GpuProfile& profile, ProfileCell cell) {
  return " at output " + std::to_string(profile.outputs.centres()[cell.output]) + ", input " +
         std::to_string(profile.inputs.centres()[cell.input]) + " tokens";
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

// How many cells something is true of, and the first of them.
struct Finding {
  std::size_t count = 0;
  ProfileCell first;

  void Add(ProfileCell cell) {
    if (count++ == 0) first = cell;
  }
};

std::string CellCount(const Finding& finding, const GpuProfile& profile) {
  return std::to_string(finding.count) + " of " +
         std::to_string(profile.outputs.size() * profile.inputs.size()) + " cells";
}

}  // namespace

std::vector<ProfileFault> CheckLatencies(const GpuProfile& profile, std::string_view name) {
  struct Latency {
    const char* key;
    const std::optional<BucketMatrix>& matrix;
    Seconds least;  // Below it, no engine of today is true.
    const char* consequence;
  };
  const Latency latencies[] = {
      {"e2e", profile.e2e, 1e-3, "load and ranks come out as next to nothing"},
      {"ttft", profile.ttft, 1e-3, "a TTFT SLO always seems met"},
      {"tpot", profile.tpot, 1e-5, "a TPOT SLO always seems met"},
  };
  std::vector<ProfileFault> faults;
  for (const Latency& latency : latencies) {
    if (!latency.matrix) continue;
    Finding finding;
    ForEachCell(profile, [&](ProfileCell cell) {
      const bool has_gaps =
          &latency.matrix != &profile.tpot || profile.outputs.centres()[cell.output] > 1;
      const bool usable = profile.tput.at(cell.output, cell.input) > 0;
      if (usable && has_gaps && latency.matrix->at(cell.output, cell.input) < latency.least) {
        finding.Add(cell);
      }
    });
    if (finding.count == 0) continue;
    const Seconds value = latency.matrix->at(finding.first.output, finding.first.input);
    faults.push_back({Severity::kWarning, finding.first,
                      std::string(name) + ": `" + latency.key + "` is too small to be true in " +
                          CellCount(finding, profile) + " (" + FormatDuration(value) +
                          At(profile, finding.first) + "), so " + latency.consequence +
                          "; measure tokens as they stream in, then generate the profile again."});
  }
  return faults;
}

}  // namespace headrace
