#include "fleet/profile_steps.h"

#include <algorithm>
#include <cstddef>
#include <vector>

namespace headrace::fleet {
namespace {

// All cells together count as many samples: they are means over requests that queued too, and few
// of them would tell the terms apart if each were taken at its word.
constexpr double kWeight = 5;

}  // namespace

StepBelief StepsBy(const profile::GpuProfile& profile) {
  if (!profile.e2e) return {};
  std::vector<StepSample> samples;
  for (std::size_t output = 0; output < profile.outputs.size(); ++output) {
    for (std::size_t input = 0; input < profile.inputs.size(); ++input) {
      const double tput = profile.tput.at(output, input);
      const Seconds e2e = profile.e2e->at(output, input);
      if (!(tput > 0) || !(e2e > 0)) continue;
      const double prompt = profile.inputs.centres()[input];
      const double steps = profile.outputs.centres()[output];
      const double sequences = 1 + tput * e2e;
      samples.push_back({.steps = steps,
                         .sequence_steps = steps * sequences,
                         .held_steps = steps * sequences * (prompt + steps / 2),
                         .prefilled = sequences * prompt,
                         .seconds = e2e});
    }
  }
  if (samples.empty()) return {};
  // From the generic prior at the speed of this GPU.
  std::vector<double> speeds;
  for (const StepSample& sample : samples) {
    speeds.push_back(sample.seconds / sample.Predicted(StepBelief{}));
  }
  const auto median = speeds.begin() + static_cast<std::ptrdiff_t>(speeds.size() / 2);
  std::ranges::nth_element(speeds, median);
  StepLearner learner(StepBelief{}.ScaledBy(*median));
  const double weight = std::min(1.0, kWeight / static_cast<double>(samples.size()));
  for (const StepSample& sample : samples) learner.Learn(sample, weight);
  return learner.belief();
}

}  // namespace headrace::fleet
