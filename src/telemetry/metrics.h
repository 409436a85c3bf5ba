// Counters, gauges and histograms for Prometheus. The metrics themselves: headrace_metrics.h.
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
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
  // `trace_id`: of the trace that shows what was observed; "": there is none. OpenMetrics names the
  // last one of each bucket.
  void Observe(double value, std::string_view trace_id = {});
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

  template <typename Handle>
  Handle Make(const MetricInfo& info, const std::vector<std::string_view>& labels);

  // Everything, in Prometheus' text format 0.0.4, …
  std::string Text() const;
  static constexpr std::string_view kContentType = "text/plain; version=0.0.4; charset=utf-8";
  // … and in that of OpenMetrics, with exemplars.
  std::string OpenMetrics() const;
  static constexpr std::string_view kOpenMetricsType =
      "application/openmetrics-text; version=1.0.0; charset=utf-8";

 private:
  friend class SeriesHandle;
  struct Impl;

  void Release(SeriesHandle::Series& series);

  std::unique_ptr<Impl> impl_;
};

template <>
inline Counter MetricsRegistry::Make(const MetricInfo& info,
                                     const std::vector<std::string_view>& labels) {
  return MakeCounter(info, labels);
}
template <>
inline Gauge MetricsRegistry::Make(const MetricInfo& info,
                                   const std::vector<std::string_view>& labels) {
  return MakeGauge(info, labels);
}
template <>
inline HistogramMetric MetricsRegistry::Make(const MetricInfo& info,
                                             const std::vector<std::string_view>& labels) {
  return MakeHistogram(info, labels);
}

// A series that appears when it is first used, because a zero says nothing. From any thread; later
// uses cost one look at a flag. `info` must outlive it, as the registry.
template <typename Handle>
class Lazy {
 public:
  Lazy(MetricsRegistry& registry, const MetricInfo& info,
       const std::vector<std::string_view>& labels)
      : state_(std::make_unique<State>(registry, info, labels)) {}

  Handle& operator*() {
    std::call_once(state_->made, [state = state_.get()] {
      state->handle = state->registry.template Make<Handle>(
          state->info, {state->labels.begin(), state->labels.end()});
    });
    return state_->handle;
  }
  Handle* operator->() { return &**this; }

 private:
  struct State {
    State(MetricsRegistry& its_registry, const MetricInfo& its_info,
          const std::vector<std::string_view>& its_labels)
        : registry(its_registry), info(its_info), labels(its_labels.begin(), its_labels.end()) {}

    MetricsRegistry& registry;
    const MetricInfo& info;
    const std::vector<std::string> labels;
    std::once_flag made;
    Handle handle;
  };

  std::unique_ptr<State> state_;
};

// One counter for each of a label's values, which are known beforehand; each appears when it first
// counts.
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
  std::vector<std::pair<std::string, Lazy<Counter>>> counters_;  // The last is `other`.
};

}  // namespace headrace::telemetry
