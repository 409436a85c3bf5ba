#include "step/time_model.h"

#include <algorithm>
#include <cmath>

namespace headrace::step {

// The root lies between M + C (overlap 0) and |M − C| (overlap 1), so half of it and of the sum
// lies between the sum and the longer one.
Seconds TimeModel::Dense(Seconds compute) const {
  const double difference = a - compute;
  const double root = std::sqrt(difference * difference + 4 * (1 - overlap) * a * compute);
  return 0.5 * (a + compute + root);
}

TimeModel::Tangent TimeModel::DenseTangent(double share) const {
  const double memory = 1 - share;
  const double norm = std::sqrt(1 - 4 * overlap * memory * share);
  return {.memory = 0.5 * (1 + (1 - 2 * overlap * share) / norm),
          .compute = 0.5 * (1 + (1 - 2 * overlap * memory) / norm)};
}

Seconds TimeModel::Duration(const Work& work) const {
  return overhead + overhead_per_sequence * work.decoding +
         Dense(b * work.prefilled + c * work.decoding) + d * static_cast<double>(work.held) +
         e * work.attended;
}

// Step i of a run holds held + B·i tokens, so d counts k·held + B·k·(k + 1)/2 times.
TimeModel::Run TimeModel::RunOf(int decoding, std::int64_t held) const {
  const double quadratic = 0.5 * d * decoding;
  return {.linear = overhead + overhead_per_sequence * decoding + Dense(c * decoding) +
                    d * static_cast<double>(held) + quadratic,
          .quadratic = quadratic};
}

Seconds TimeModel::DecodeRun(std::int64_t steps, int decoding, std::int64_t held) const {
  return RunOf(decoding, held).Duration(steps);
}

std::int64_t TimeModel::StepsToFill(Seconds duration, std::int64_t limit, int decoding,
                                    std::int64_t held) const {
  if (!(duration > 0) || limit <= 1) return 1;
  const Run run = RunOf(decoding, held);
  if (run.Duration(limit) <= duration) return limit;
  // The positive root of quadratic·k² + linear·k = duration, in the form that stays exact for a
  // tiny quadratic part.
  const double p = run.linear;
  const double root = 2 * duration / (p + std::sqrt(p * p + 4 * run.quadratic * duration));
  auto steps = std::clamp(static_cast<std::int64_t>(std::ceil(root)), std::int64_t{1}, limit);
  while (steps > 1 && run.Duration(steps - 1) >= duration) --steps;
  while (steps < limit && run.Duration(steps) < duration) ++steps;
  return steps;
}

TimeModel TimeModel::SlowedBy(double factor) const {
  TimeModel slowed = *this;
  for (Seconds* term : {&slowed.a, &slowed.b, &slowed.c, &slowed.d, &slowed.e, &slowed.overhead,
                        &slowed.overhead_per_sequence}) {
    *term *= factor;
  }
  return slowed;
}

}  // namespace headrace::step
