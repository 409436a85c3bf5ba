// How long one iteration ("step") of a continuous-batching engine takes.
#pragma once

#include <cstdint>

#include "base/units.h"

namespace headrace::step {

// What one step does: `decoding` sequences decode a token each and hold `held` tokens in total (the
// new ones included), and `prefilled` prompt tokens are computed in chunks.
struct Work {
  int decoding = 0;
  std::int64_t held = 0;
  Tokens prefilled = 0;
  double attended = 0;  // Tokens that the prompt tokens attend to, summed up over them.

  // `chunk` tokens of one prompt, after `context` tokens that are computed already: each attends to
  // all before the chunk, and on average to half of the chunk. Over a prompt of n tokens that is
  // n²/2, however it is cut.
  constexpr void AddChunk(Tokens chunk, Tokens context) {
    prefilled += chunk;
    attended += static_cast<double>(chunk) * (context + 0.5 * chunk);
  }
  // One chunk alone.
  static constexpr Work Prefill(Tokens chunk, Tokens context = 0) {
    Work work;
    work.AddChunk(chunk, context);
    return work;
  }
};

// In seconds, for a step in which B sequences decode, hold ΣKV tokens and P prompt tokens are
// prefilled:
//
//   overhead + overhead_per_sequence·B + longer(a, b·P + c·B) + d·ΣKV + e·attended
//
// The kernels run one after the other. The dense layers read the weights (a) and compute for every
// token (b, c); how far the two overlap is `overlap`: 0 adds them up, 1 takes the longer one.
// Attention reads the keys and values of the decoding sequences (d), and computes, for every prompt
// token, with all tokens before it (e). The engine's own work (scheduler, sampler, detokenizer)
// comes on top, and so does what each decoding sequence costs apart from its dense layers. A step
// of pure decode grows with ΣKV alone, so a run of such steps has a closed form.
struct TimeModel {
  Seconds a = 0;         // Per step.
  Seconds b = 0;         // Per prefilled token.
  Seconds c = 0;         // Per decoding sequence.
  Seconds d = 0;         // Per token held by the decoding sequences.
  Seconds e = 0;         // Per token that a prefilled token attends to.
  double overlap = 0;    // Of a with b·P + c·B: 0 … 1.
  Seconds overhead = 0;  // Per step.
  Seconds overhead_per_sequence = 0;

  // The time of the dense layers: the soft maximum of a and `compute`.
  Seconds Dense(Seconds compute) const;

  // Over any number of steps, the dense layers take at least memory·Σa + compute·Σ(their compute
  // times): a tangent of the soft maximum, which bends upwards. It touches where compute is `share`
  // (not 1/2) of the sum of the two.
  struct Tangent {
    double memory = 0;
    double compute = 0;
  };
  Tangent DenseTangent(double share) const;

  Seconds Duration(const Work& work) const;

  // `steps` pure decode steps in a row: `held` tokens before the first one, one more for each of
  // the `decoding` sequences in each step.
  Seconds DecodeRun(std::int64_t steps, int decoding, std::int64_t held) const;

  // The fewest pure decode steps (at least 1, at most `limit`) that take `duration` or longer.
  std::int64_t StepsToFill(Seconds duration, std::int64_t limit, int decoding,
                           std::int64_t held) const;

  // A GPU that is `factor` times slower (throttled, or the ± 30 % sweep of a modelled one).
  TimeModel SlowedBy(double factor) const;

  bool operator==(const TimeModel&) const = default;

 private:
  // A run of pure decode of k steps takes linear·k + quadratic·k².
  struct Run {
    double linear = 0;
    double quadratic = 0;

    Seconds Duration(std::int64_t steps) const {
      const auto k = static_cast<double>(steps);
      return k * (linear + quadratic * k);
    }
  };
  Run RunOf(int decoding, std::int64_t held) const;
};

}  // namespace headrace::step
