#include "base/histogram.h"

#include <algorithm>
#include <cmath>

namespace headrace {
namespace {

constexpr double kSmallest = 1e-6;
constexpr std::size_t kSlotsPerOctave = 128;
constexpr std::size_t kOctaves = 40;
constexpr std::size_t kSlots = kSlotsPerOctave * kOctaves;

double SlotMiddle(std::size_t slot) {
  const auto octave = static_cast<int>(slot / kSlotsPerOctave);
  const double within = (static_cast<double>(slot % kSlotsPerOctave) + 0.5) / kSlotsPerOctave;
  return kSmallest * std::ldexp(1 + within, octave);
}

}  // namespace

Histogram::Histogram() = default;

std::size_t Histogram::Slot(double value) {
  const double scaled = value / kSmallest;
  if (!(scaled >= 1)) return 0;
  int exponent = 0;
  const double mantissa = std::frexp(scaled, &exponent);  // [0.5, 1)
  const auto within = static_cast<std::size_t>((mantissa * 2 - 1) * kSlotsPerOctave);
  return std::min((static_cast<std::size_t>(exponent) - 1) * kSlotsPerOctave + within, kSlots - 1);
}

void Histogram::AddMany(double value, std::uint64_t count) {
  const std::size_t slot = Slot(value);
  if (slot >= slots_.size()) slots_.resize(slot + 1);
  slots_[slot] += count;
  count_ += count;
  sum_ += value * static_cast<double>(count);
  max_ = std::max(max_, value);
}

void Histogram::Merge(const Histogram& other) {
  if (other.slots_.size() > slots_.size()) slots_.resize(other.slots_.size());
  for (std::size_t i = 0; i < other.slots_.size(); ++i) slots_[i] += other.slots_[i];
  count_ += other.count_;
  sum_ += other.sum_;
  max_ = std::max(max_, other.max_);
}

double Histogram::Mean() const { return count_ == 0 ? 0 : sum_ / static_cast<double>(count_); }

double Histogram::Quantile(double quantile) const {
  if (count_ == 0) return 0;
  const double wanted = std::ceil(std::clamp(quantile, 0.0, 1.0) * static_cast<double>(count_));
  const auto rank = std::max<std::uint64_t>(1, static_cast<std::uint64_t>(wanted));
  std::uint64_t seen = 0;
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    seen += slots_[i];
    if (seen >= rank) return std::min(SlotMiddle(i), max_);
  }
  return max_;
}

double Histogram::ShareAtMost(double value) const {
  if (count_ == 0) return 0;
  const std::size_t last = Slot(value);
  std::uint64_t seen = 0;
  for (std::size_t i = 0; i < std::min(last + 1, slots_.size()); ++i) seen += slots_[i];
  return static_cast<double>(seen) / static_cast<double>(count_);
}

}  // namespace headrace
