// What an open-loop run says about the steady state of a server.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/units.h"

namespace headrace::benchmark {

// Of one metric over the measured requests. Percentiles interpolate linearly between the order
// statistics, as numpy.percentile does.
struct SampleStatistics {
  double mean = 0;
  double p50 = 0;
  double p90 = 0;
  double p99 = 0;
};

// Statistics of a sample; sorts it. All zero when it is empty.
SampleStatistics Summarize(std::vector<double>& sample);

// The relative standard error of the mean of a series, by the method of batch means: the series, in
// order of time, is cut into ten batches, and their means, being nearly independent of each other,
// tell how much the whole one varies. In a queue close to saturation, where one busy period shapes
// hundreds of samples, the usual s/√n is far too small. Infinity for less than two samples a batch
// or a mean that is not positive. (Law & Kelton, Simulation Modeling and Analysis, ch. 9.)
double RelativeErrorOfMean(std::span<const double> series);

// One request of the run; times on one clock.
struct TimedRequest {
  Seconds arrival = 0;
  Seconds first_token = kNever;
  Seconds finished = kNever;  // kNever: still open.
};

// Whether more than `share` of what arrives between `begin` and `end` stays behind, and more than
// chance moves it: requests in flight, averaged over each half of the window.
bool BacklogGrew(std::span<const TimedRequest> requests, Seconds begin, Seconds end, double rate,
                 double share);

struct SteadyState {
  // Requests finished per second of the window, whoever they belong to: the rate of the steady
  // state, not the requests divided by a run with its drain.
  double tput = 0;
  SampleStatistics e2e;   // Seconds, as are the others; of those that arrived in the window and
  SampleStatistics ttft;  // have finished.
  SampleStatistics tpot;  // (E2E − TTFT) / (output − 1); 0 for one token.
  std::int64_t samples = 0;
  double e2e_error = 0;  // RelativeErrorOfMean of E2E, in order of arrival.
  bool grew = false;     // The backlog, by more than 5 %.
};

// `requests` in order of arrival, each of `output` tokens, offered at `rate` per second.
SteadyState MeasureWindow(std::span<const TimedRequest> requests, Seconds begin, Seconds end,
                          double rate, Tokens output);

}  // namespace headrace::benchmark
