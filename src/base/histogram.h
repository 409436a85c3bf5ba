// A log-linear histogram, as HdrHistogram is: percentiles of any number of samples in flat memory.
// Own code, because it is a hundred lines and another dependency is not; its quantiles are within
// 0.5 % (docs/decisions/0006).
#pragma once

#include <cstdint>
#include <vector>

namespace headrace {

// Values from 1e-6 to about 1e6 (seconds, as used here) with a relative error of at most 0.4 %:
// each power of two is divided into 128 equal slots, and a value is returned as its slot's middle.
// Values below or above the range are counted in the first or last slot. Not thread-safe.
class Histogram {
 public:
  Histogram();

  void Add(double value) { AddMany(value, 1); }
  void AddMany(double value, std::uint64_t count);
  void Merge(const Histogram& other);

  std::uint64_t count() const { return count_; }
  double sum() const { return sum_; }
  // 0 if empty.
  double Mean() const;
  double max() const { return max_; }
  // The value at or below which a share `quantile` (0 … 1) of the samples is (nearest rank);
  // 0 if empty.
  double Quantile(double quantile) const;
  // Share of the samples at or below `value`, to the slot's width; 0 if empty.
  double ShareAtMost(double value) const;

 private:
  static std::size_t Slot(double value);

  std::vector<std::uint64_t> slots_;  // Grows to the highest slot in use.
  std::uint64_t count_ = 0;
  double sum_ = 0;
  double max_ = 0;
};

}  // namespace headrace
