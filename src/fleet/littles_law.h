// The load model of AIBrix's router: Little's law.
#pragma once

#include <memory>
#include <optional>

#include "fleet/load_model.h"

namespace headrace::fleet {

// A profile's cell sustains tput · e2e requests in flight, so each takes 1 / (tput · e2e) of an
// endpoint, and an endpoint's load is the sum over its requests. A cell that sustains less than one
// request in flight still takes one, alone. Blind to when tokens come: it only adds and takes
// off. An endpoint's weight divides its load; a single request always fits.
class LittlesLaw final : public LoadModel {
 public:
  std::unique_ptr<EndpointLoad> Join(const Deployment& deployment,
                                     const Endpoint& endpoint) const override;
  std::optional<Load> Share(const profile::GpuProfile& profile,
                            profile::ProfileCell cell) const override;
  Load HighestOrderWithRoom(Load share) const override { return kCapacity - share; }
};

}  // namespace headrace::fleet
