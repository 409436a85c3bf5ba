// Counters, gauges and histograms for Prometheus. The metrics themselves: headrace_metrics.h.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace headrace::telemetry {

enum class MetricType { kCounter, kGauge, kHistogram };

// A metric's declaration.
struct MetricInfo {
  std::string_view name;
  MetricType type;
  std::span<const std::string_view> labels;
  std::string_view help;            // One sentence; with the unit where there is one.
  std::span<const double> buckets;  // Upper bounds, of a histogram.
};

class MetricsRegistry;

// Handles: resolved once, kept, used from any thread. A handle keeps its time series alive; several
// may share one; the series leaves the output with the last of them. Moved-from handles may only be
// destroyed or assigned to. The registry must outlive its handles.
class SeriesHandle {
 public:
  SeriesHandle() = default;
  SeriesHandle(SeriesHandle&& other) noexcept { *this = std::move(other); }
  SeriesHandle& operator=(SeriesHandle&& other) noexcept {
    std::swap(registry_, other.registry_);
    std::swap(series_, other.series_);
    std::swap(metric_, other.metric_);
    return *this;
  }
  ~SeriesHandle();

 protected:
  friend class MetricsRegistry;
  struct Series;
  SeriesHandle(MetricsRegistry& registry, Series& series, void* metric)
      : registry_(&registry), series_(&series), metric_(metric) {}

  MetricsRegistry* registry_ = nullptr;
  Series* series_ = nullptr;
  void* metric_ = nullptr;  // Of the library's type.
};

// Add and Set cost an atomic operation.
class Counter : public SeriesHandle {
 public:
  using SeriesHandle::SeriesHandle;
  void Add(double amount = 1);  // ≥ 0.
};

class Gauge : public SeriesHandle {
 public:
  using SeriesHandle::SeriesHandle;
  void Set(double value);
  void Add(double amount);
};

// Observe takes the series' own lock for some tens of nanoseconds.
class HistogramMetric : public SeriesHandle {
 public:
  using SeriesHandle::SeriesHandle;
  void Observe(double value);
};

// One counter for each of a label's values, which are known beforehand.
class CounterSet {
 public:
  CounterSet() = default;
  // `before` has the other labels' values; the set's own label is the last of the declaration.
  CounterSet(MetricsRegistry& registry, const MetricInfo& info,
             const std::vector<std::string_view>& before,
             const std::vector<std::string_view>& values);

  // The counter of a value; of `other` when the value is none of those given. For a handful of
  // values: they are compared one by one.
  Counter& operator[](std::string_view value);

 private:
  std::vector<std::pair<std::string, Counter>> counters_;  // The last is `other`.
};

// A process has one. Thread-safe.
class MetricsRegistry {
 public:
  MetricsRegistry();
  ~MetricsRegistry();

  // The series of these labels, new at zero or shared with the handles that are there. `info` must
  // be of the type asked for and have as many labels.
  Counter MakeCounter(const MetricInfo& info, const std::vector<std::string_view>& labels);
  Gauge MakeGauge(const MetricInfo& info, const std::vector<std::string_view>& labels);
  HistogramMetric MakeHistogram(const MetricInfo& info,
                                const std::vector<std::string_view>& labels);

  // Everything, in Prometheus' text format 0.0.4.
  std::string Text() const;
  static constexpr std::string_view kContentType = "text/plain; version=0.0.4; charset=utf-8";

 private:
  friend class SeriesHandle;
  struct Impl;

  void Release(SeriesHandle::Series& series);

  std::unique_ptr<Impl> impl_;
};

}  // namespace headrace::telemetry
