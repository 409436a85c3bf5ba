// What each idea of slo-headroom is worth, and how much its constants matter.
#pragma once

#include <atomic>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "fleet/headroom_constants.h"
#include "render/table.h"
#include "scenario/scenario.h"

namespace headrace::evaluation {

// A scenario at one rate, to be run with changed policies.
struct Trial {
  std::string name;
  const scenario::Scenario* scenario = nullptr;
  double rate = 1;
};

// A row per idea without which slo-headroom runs, a column per trial: points of attainment against
// all ideas together. Bold where the 95 % interval of the paired differences over seeds does not
// contain 0. An error once `stop` is set.
Result<render::Table> AblationTable(const std::vector<Trial>& trials, unsigned threads,
                                    const std::atomic<bool>* stop = nullptr);

// A row per constant: the same with half of it and with twice as much.
Result<render::Table> SensitivityTable(const std::vector<Trial>& trials, unsigned threads,
                                       const std::atomic<bool>* stop = nullptr);

struct NamedConstant {
  const char* name;
  double fleet::HeadroomConstants::* member;
  double most = 1e18;  // Shares do not double beyond 1.
};
// All of them.
std::span<const NamedConstant> ConstantNames();

}  // namespace headrace::evaluation
