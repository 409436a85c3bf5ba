// GPU profiles measured on emulated engines.
#pragma once

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "engine/engine_model.h"
#include "profile/generate.h"

namespace headrace {

// The cells to measure. Cells beyond the engine's context length are left out.
struct MeasureGrid {
  std::vector<Tokens> inputs = {32, 64, 128, 256, 512, 1024, 2048, 4096};
  std::vector<Tokens> outputs = {8, 16, 32, 64, 128, 256, 512, 1024};
  // Offered, ascending. A cell's higher rates are not measured once one is beyond the engine.
  std::vector<double> rates = {0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1,  1.5, 2,  3,
                               4,    5,   6,   8,    10,  12,   16, 24,  32, 64};
  int samples = 200;  // Requests per cell and rate, at least.
  std::uint64_t seed = 1;
};

// Offers every cell's rates to an idle engine of its own and turns the figures into a profile by
// the rules of GenerateProfile. Errors: as GenerateProfile; no usable cell at all (the SLO cannot
// be met on this engine). Same arguments, same profile.
Result<GeneratedProfile> MeasureProfile(const EngineConfig& engine, const MeasureGrid& grid,
                                        const GenerateOptions& options);

// The profile that a mistaken benchmark would have made: rates `rates` times and latencies
// `latencies` times the true ones. A benchmark of a GPU that is as much faster has latencies =
// 1 / rates, which leaves the load by Little's law (1 / (rate · latency)) as it was and moves
// deadlines only; to get the load wrong as well, change one of the two.
GpuProfile WithProfileError(const GpuProfile& profile, double rates, double latencies);

}  // namespace headrace
