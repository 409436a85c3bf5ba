// What a request takes of an endpoint, and whether it fits.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>

#include "base/units.h"
#include "profile/gpu_profile.h"

namespace headrace::fleet {

// A share of one endpoint, in billionths. Integers, so that what was added is taken off exactly and
// an idle endpoint's load is zero, not 1e-16.
using Load = std::int64_t;
inline constexpr Load kCapacity = 1'000'000'000;

inline double LoadFraction(Load load) {
  return static_cast<double>(load) / static_cast<double>(kCapacity);
}

// The seam between "how much" and "where": the scheduler asks it what a request would take and adds
// and removes exactly that. Stateless and thread-compatible; the state is the endpoints' load.
class LoadModel {
 public:
  virtual ~LoadModel() = default;

  // The share of one endpoint that a request of this size takes while it runs there.
  // nullopt: nothing is known (no profile matrix, or a hole). 0: its SLO cannot be met there even
  // on an idle endpoint.
  virtual std::optional<Load> Share(const profile::GpuProfile& profile,
                                    profile::ProfileCell cell) const = 0;

  // Whether an endpoint that carries `load` takes `share` now; if not now, then later, because no
  // share is above kCapacity.
  virtual bool Fits(Load load, Load share) const = 0;
};

// Little's law: a cell sustains tput · e2e requests in flight, so each takes 1 / (tput · e2e). A
// cell that sustains less than one request in flight still takes one, alone.
class LittlesLawLoad final : public LoadModel {
 public:
  std::optional<Load> Share(const profile::GpuProfile& profile,
                            profile::ProfileCell cell) const override {
    const double tput = profile.tput.at(cell.output, cell.input);
    if (tput == 0) return 0;
    if (!profile.e2e) return std::nullopt;
    const double in_flight = tput * profile.e2e->at(cell.output, cell.input);
    if (!(in_flight > 0)) return std::nullopt;
    const auto share = std::llround(static_cast<double>(kCapacity) / in_flight);
    return std::clamp<Load>(share, 1, kCapacity);
  }

  bool Fits(Load load, Load share) const override { return load + share <= kCapacity; }
};

}  // namespace headrace::fleet
