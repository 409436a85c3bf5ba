// Shows profiles to people: several GPUs side by side, in a terminal and as a web page.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "base/units.h"
#include "profile/gpu_profile.h"

namespace headrace::render {

// A profile and what is to be said of it.
struct ProfileView {
  profile::GpuProfile profile;
  std::string origin;  // The file or Redis key it came from.
  std::vector<profile::ProfileFault> faults;
  std::string model = {};  // Empty where its source does not tell.
};

// How much of the SLO's target a request of this cell's centre leaves unused: 0.4 = 40 % of it,
// negative = missed, NaN = unknown or no SLO. Compared is what ranks a request: for `tpot` the E2E
// with tpot · output + ttft, for `ttft` the TTFT with it, for `tpat` the E2E with
// tpat · (input + output), for `e2e` the E2E with it; the first that is set, in this order. The
// statistic is the SLO's percentile where the profile holds it, else the mean.
double Headroom(const profile::GpuProfile& profile, profile::ProfileCell cell);

struct TextStyle {
  bool color = false;       // ANSI backgrounds of the 256-colour palette.
  std::size_t width = 100;  // Columns of the terminal; decides how many tables stand side by side.
};

// A line each: model, deployment, price, age at `now` (Unix time), SLO, cells of use, faults,
// origin.
std::string RenderList(std::span<const ProfileView> views, Seconds now);

// Tables of throughput, latencies and headroom, one per profile, then the faults. UTF-8. With
// colour every table is a heat map on a scale that its neighbours share.
std::string RenderText(std::span<const ProfileView> views, const TextStyle& style);

// The same as one self-contained page: inline SVG and CSS, no script, light and dark.
std::string RenderHtml(std::span<const ProfileView> views);

}  // namespace headrace::render
