// How far a measured mean can be trusted when neighbouring samples resemble each other.
#pragma once

#include <cmath>
#include <limits>
#include <span>

namespace headrace {

// The relative standard error of the mean of a series, by the method of batch means: the series, in
// order of time, is cut into ten batches, and their means, being nearly independent of each other,
// tell how much the whole one varies. In a queue close to saturation, where one busy period shapes
// hundreds of samples, the usual s/√n is far too small. Infinity for less than two samples a batch
// or a mean that is not positive. (Law & Kelton, Simulation Modeling and Analysis, ch. 9.)
inline double RelativeErrorOfMean(std::span<const double> series) {
  constexpr int kBatches = 10;
  const std::size_t length = series.size() / kBatches;
  if (length < 2) return std::numeric_limits<double>::infinity();
  double sum = 0;
  double squares = 0;
  for (int batch = 0; batch < kBatches; ++batch) {
    double mean = 0;
    for (const double value : series.subspan(batch * length, length)) mean += value;
    mean /= static_cast<double>(length);
    sum += mean;
    squares += mean * mean;
  }
  const double mean = sum / kBatches;
  if (!(mean > 0)) return std::numeric_limits<double>::infinity();
  const double variance = std::fmax(0, squares / kBatches - mean * mean);
  return std::sqrt(variance / (kBatches - 1)) / mean;
}

}  // namespace headrace
