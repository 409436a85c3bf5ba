// The steady state of a server, from an open-loop run.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/units.h"
#include "benchmark/measurement.h"

namespace headrace::benchmark {

// Statistics of a sample; sorts it. Percentiles interpolate linearly between the order statistics,
// as numpy.percentile does. All NaN if the sample is empty.
Statistics Summarize(std::vector<double>& sample);

// The relative standard error of the mean of a series, by the method of batch means: the series, in
// order of time, is cut into ten batches. Their means are nearly independent of each other and show
// how much the mean of the whole varies. In a queue close to saturation, where one busy period
// shapes hundreds of samples, the usual s/√n is far too small. Infinity for fewer than two samples
// per batch or a mean that is not positive. (Law & Kelton, Simulation Modeling and Analysis,
// ch. 9.)
double RelativeErrorOfMean(std::span<const double> series);

// One request of the run; times on one clock.
struct TimedRequest {
  Seconds arrival = 0;
  Seconds first_token = kNever;
  Seconds finished = kNever;  // kNever: still open.
};

// Whether the requests in flight, averaged over each half of the window from `begin` to `end`, grew
// by more than `share` of the arrivals of half a window, and by more than chance explains.
bool BacklogGrew(std::span<const TimedRequest> requests, Seconds begin, Seconds end, double rate,
                 double share);

// The measurement of a window of an open-loop run at `point`; `requests` are in order of arrival.
// Throughput counts the requests that finish in the window, no matter when they arrived: the rate
// of the steady state, not the requests divided by a run with its drain. Latencies are those of the
// requests that arrived in the window and have finished. Not sustained: the backlog grew by more
// than 5 %.
Measurement MeasureWindow(std::span<const TimedRequest> requests, Seconds begin, Seconds end,
                          const GridPoint& point);

}  // namespace headrace::benchmark
