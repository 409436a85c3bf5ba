// Learns what the steps of a deployment's engines take, from the requests that end there.
#pragma once

#include <array>
#include <cstdint>

#include "base/units.h"
#include "fleet/headroom_constants.h"

namespace headrace::fleet {

// What one step of a continuous-batching engine is believed to take, in seconds:
// a + c·B + d·KV + b·P for B sequences that decode and hold KV tokens, and P prompt tokens that are
// prefilled. The defaults are the prior for an engine of which nothing is known: a 7B model on a
// GPU of the middle class (compare data/gpus.json).
struct StepBelief {
  Seconds a = 0.020;
  Seconds b = 0.000120;
  Seconds c = 0.000060;
  Seconds d = 0.0000004;

  // A step without prefill.
  Seconds Decode(double sequences, double held) const { return a + c * sequences + d * held; }
  StepBelief ScaledBy(double factor) const {
    return {a * factor, b * factor, c * factor, d * factor};
  }
};

// What an engine did in some time, as far as the router can tell: the regressors of a step's time.
struct StepSample {
  double steps = 0;           // In which a sequence got a token.
  double sequence_steps = 0;  // Σ over these steps of the sequences that decoded.
  double held_steps = 0;      // Σ over these steps of the tokens that they held.
  double prefilled = 0;       // Prompt tokens taken in.
  Seconds seconds = 0;

  Seconds Predicted(const StepBelief& belief) const {
    return belief.a * steps + belief.c * sequence_steps + belief.d * held_steps +
           belief.b * prefilled;
  }
};

// Recursive least squares on relative errors, from a prior. The prior's uncertainty is mostly
// common to all four terms: a GPU that is slower is slower in everything, so a few samples move all
// of them together, and many tell them apart. An estimate stays within a factor of 8 of the prior,
// one sample counts as at most 50 % off, and about the last 2,000 samples count. Not thread-safe.
class StepLearner {
 public:
  explicit StepLearner(const StepBelief& prior = {}, const HeadroomConstants& constants = {});

  // `weight`: as how many samples it counts.
  void Learn(const StepSample& sample, double weight = 1);

  const StepBelief& belief() const { return belief_; }
  std::int64_t samples() const { return samples_; }

 private:
  static constexpr int kTerms = 4;
  using Vector = std::array<double, kTerms>;

  HeadroomConstants constants_;
  StepBelief prior_;
  StepBelief belief_;
  std::int64_t samples_ = 0;
  Vector theta_;  // The belief in units of the prior: a, c, d, b.
  std::array<Vector, kTerms> covariance_;
  double prior_variance_ = 0;
};

}  // namespace headrace::fleet
