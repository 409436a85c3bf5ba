// Shows profiles to people: several GPUs side by side, in a terminal and as a web page.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "base/units.h"
#include "profile/gpu_profile.h"
#include "render/terminal.h"

namespace headrace::render {

// A profile with its origin and its faults.
struct ProfileView {
  profile::GpuProfile profile;
  std::string origin;  // The file or Redis key it came from.
  std::vector<profile::ProfileFault> faults;
  std::string model = {};  // Empty if its source does not name it.
};

// The share of the SLO's target time that a request of this cell's centre leaves unused: 0.4 = 40 %
// of it, negative = missed, NaN = unknown or no SLO. It is computed from the SLO's first target, in
// the order that the policies use too: `tpot` (E2E against tpot · output + ttft), `ttft`, `tpat`
// (E2E against tpat · (input + output)), `ntpot` (E2E against ntpot · output), `e2e`. The statistic
// is the SLO's percentile if the profile holds it, else the mean.
double Headroom(const profile::GpuProfile& profile, profile::ProfileCell cell);

// One line per profile: model, deployment, price, age at `now` (Unix time), SLO, usable cells,
// number of faults, origin.
std::string RenderList(std::span<const ProfileView> views, Seconds now);

// Tables of throughput, latencies and headroom, one per profile, then the faults; so many are side
// by side as fit. With colour (the 256-colour palette), every table is a heat map; the profiles
// share one scale.
std::string RenderText(std::span<const ProfileView> views, const TextStyle& style);

// The same as one self-contained page: inline SVG and CSS, no script, light and dark.
std::string RenderHtml(std::span<const ProfileView> views);

}  // namespace headrace::render
