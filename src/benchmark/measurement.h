// One measurement of a benchmark: where on the grid it was made, and its result.
#pragma once

#include <compare>
#include <cstdint>
#include <limits>

#include "base/units.h"
#include "slo/slo.h"

namespace headrace::benchmark {

// NaN = not measured.
struct Statistics {
  double mean = std::numeric_limits<double>::quiet_NaN();
  double p50 = std::numeric_limits<double>::quiet_NaN();
  double p90 = std::numeric_limits<double>::quiet_NaN();
  double p95 = std::numeric_limits<double>::quiet_NaN();
  double p99 = std::numeric_limits<double>::quiet_NaN();

  // `percentile` is 0 (the mean), 50, 90, 95 or 99.
  double At(int percentile) const;
};

// The load that is offered: requests of one length at one rate.
struct GridPoint {
  Tokens input = 0;
  Tokens output = 0;
  double rate = 0;  // Requests per second.

  auto operator<=>(const GridPoint&) const = default;
};

// The relative standard error of the mean E2E up to which a measurement counts as settled: a second
// one agrees within 10 % in more than nine of ten cases.
inline constexpr double kSettled = 0.03;
// A rate is sustained when at least this share of it is finished per second, as in AIBrix's
// gen_profile.py.
inline constexpr double kSustained = 0.9;
// How often a measurement that has not settled is given twice the time.
inline constexpr int kMaxDoublings = 3;

// The result at one point, in the steady state.
struct Measurement {
  GridPoint point;
  double tput = 0;  // Requests finished per second.
  double tt = 0;    // Output tokens of those, per second.
  Statistics e2e;   // Seconds, as are the others; NaN if no request has finished.
  Statistics ttft;
  Statistics tpot;           // (E2E − TTFT) / (output − 1); 0 for one token.
  std::int64_t samples = 0;  // Requests behind e2e, ttft and tpot.
  // False: the rate is beyond the server (the backlog grew), or the mean E2E has not settled. So
  // close to saturation the latencies depend on chance and on how long the measurement was.
  bool sustained = true;
  // Relative standard error of e2e.mean (RelativeErrorOfMean, in order of arrival).
  double e2e_error = 0;
  // How late the client sent its requests in the mean; 0 in virtual time. Latencies count from when
  // requests were due, so they include it.
  Seconds send_lag = 0;

  bool Settled() const { return e2e_error <= kSettled; }
  // As much of the rate as a profile asks for.
  bool Finishes() const { return tput >= kSustained * point.rate; }
  // The client was the limit, not the server: its lag is more than a twentieth of the mean E2E.
  bool ClientOverloaded() const { return samples > 0 && send_lag > 0.05 * e2e.mean; }
};

// Whether a profile may be built on this rate: sustained, kSustained of it finished per second,
// every latency target met (strictly below it, as in GenerateProfile).
bool IsKept(const Measurement& measured, const slo::Slo& slo);

}  // namespace headrace::benchmark
