// What a profile says of an engine's steps.
#pragma once

#include "fleet/step_learner.h"
#include "profile/gpu_profile.h"

namespace headrace::fleet {

// Each cell is a sample of what steps take: at its rate, tput, a request of that size takes e2e,
// and by Little's law it meets tput · e2e others. Cells without a rate say nothing; a profile
// without such cells leaves the generic prior. Good to some ten percent on profiles of emulated
// engines.
StepBelief StepsBy(const profile::GpuProfile& profile);

}  // namespace headrace::fleet
