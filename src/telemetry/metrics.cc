#include "telemetry/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <cassert>
#include <functional>
#include <map>
#include <sstream>

#include "system/clock.h"
#include "system/mutex.h"
#include "telemetry/open_metrics.h"

namespace headrace::telemetry {

namespace {

// The last exemplar of each bucket.
struct Exemplars {
  explicit Exemplars(std::span<const double> buckets)
      : bounds(buckets.begin(), buckets.end()), by_bucket(buckets.size() + 1) {}

  const std::vector<double> bounds;
  system::Mutex mutex;
  std::vector<Exemplar> by_bucket HEADRACE_GUARDED_BY(mutex);
};

}  // namespace

struct SeriesHandle::Series {
  std::pair<std::string, std::map<std::string, std::string>> key;  // Name and labels.
  std::size_t handles = 0;
  void* metric = nullptr;
  std::function<void()> remove;          // Takes it out of its family.
  std::unique_ptr<Exemplars> exemplars;  // Of a histogram.
};

SeriesHandle::~SeriesHandle() {
  if (series_ != nullptr) registry_->Release(*series_);
}

void Counter::Add(double amount) { static_cast<prometheus::Counter*>(metric_)->Increment(amount); }

void Gauge::Set(double value) { static_cast<prometheus::Gauge*>(metric_)->Set(value); }

void Gauge::Add(double amount) { static_cast<prometheus::Gauge*>(metric_)->Increment(amount); }

void HistogramMetric::Observe(double value, std::string_view trace_id) {
  static_cast<prometheus::Histogram*>(metric_)->Observe(value);
  if (trace_id.empty()) return;
  Exemplars& exemplars = *series_->exemplars;
  const auto bucket = std::ranges::lower_bound(exemplars.bounds, value) - exemplars.bounds.begin();
  const Seconds now = system::UnixNow();
  const system::MutexLock lock(exemplars.mutex);
  exemplars.by_bucket[static_cast<std::size_t>(bucket)] = {std::string(trace_id), value, now};
}

CounterSet::CounterSet(MetricsRegistry& registry, const MetricInfo& info,
                       const std::vector<std::string_view>& before,
                       const std::vector<std::string_view>& values) {
  std::vector<std::string_view> labels = before;
  labels.emplace_back();
  for (const std::string_view value : values) {
    labels.back() = value;
    counters_.emplace_back(value, Lazy<Counter>(registry, info, labels));
  }
  labels.back() = "other";
  counters_.emplace_back("other", Lazy<Counter>(registry, info, labels));
}

Counter& CounterSet::operator[](std::string_view value) {
  for (auto& [name, counter] : counters_) {
    if (name == value) return *counter;
  }
  return *counters_.back().second;
}

struct MetricsRegistry::Impl {
  using Series = SeriesHandle::Series;

  // The one way in: counts a handle, and makes the series with `add` when it is the first.
  template <typename Add>
  Series& Acquire(const MetricInfo& info, const std::vector<std::string_view>& values,
                  const Add& add) {
    assert(values.size() == info.labels.size());
    std::map<std::string, std::string> labels;
    for (std::size_t i = 0; i < info.labels.size(); ++i) labels.emplace(info.labels[i], values[i]);
    std::pair key(std::string(info.name), labels);
    const system::MutexLock lock(mutex);
    std::unique_ptr<Series>& series = all[key];
    if (series == nullptr) {
      series = std::make_unique<Series>();
      series->key = std::move(key);
      add(*series, labels);
    }
    ++series->handles;
    return *series;
  }

  template <typename T, typename... Args>
  static void AddTo(prometheus::Family<T>& family, Series& series,
                    const std::map<std::string, std::string>& labels, const Args&... args) {
    T& metric = family.Add(labels, args...);
    series.metric = &metric;
    series.remove = [&family, &metric] { family.Remove(&metric); };
  }

  prometheus::Registry registry;
  system::Mutex mutex;
  std::map<std::pair<std::string, std::map<std::string, std::string>>, std::unique_ptr<Series>> all
      HEADRACE_GUARDED_BY(mutex);
};

MetricsRegistry::MetricsRegistry() : impl_(std::make_unique<Impl>()) {}
MetricsRegistry::~MetricsRegistry() = default;

// BuildCounter() and its like return the existing family, if there is one.
Counter MetricsRegistry::MakeCounter(const MetricInfo& info,
                                     const std::vector<std::string_view>& labels) {
  assert(info.type == MetricType::kCounter);
  SeriesHandle::Series& series =
      impl_->Acquire(info, labels, [&](SeriesHandle::Series& made, const auto& names) {
        Impl::AddTo(prometheus::BuildCounter()
                        .Name(std::string(info.name))
                        .Help(std::string(info.help))
                        .Register(impl_->registry),
                    made, names);
      });
  return {*this, series, series.metric};
}

Gauge MetricsRegistry::MakeGauge(const MetricInfo& info,
                                 const std::vector<std::string_view>& labels) {
  assert(info.type == MetricType::kGauge);
  SeriesHandle::Series& series =
      impl_->Acquire(info, labels, [&](SeriesHandle::Series& made, const auto& names) {
        Impl::AddTo(prometheus::BuildGauge()
                        .Name(std::string(info.name))
                        .Help(std::string(info.help))
                        .Register(impl_->registry),
                    made, names);
      });
  return {*this, series, series.metric};
}

HistogramMetric MetricsRegistry::MakeHistogram(const MetricInfo& info,
                                               const std::vector<std::string_view>& labels) {
  assert(info.type == MetricType::kHistogram);
  SeriesHandle::Series& series =
      impl_->Acquire(info, labels, [&](SeriesHandle::Series& made, const auto& names) {
        Impl::AddTo(
            prometheus::BuildHistogram()
                .Name(std::string(info.name))
                .Help(std::string(info.help))
                .Register(impl_->registry),
            made, names,
            prometheus::Histogram::BucketBoundaries(info.buckets.begin(), info.buckets.end()));
        made.exemplars = std::make_unique<Exemplars>(info.buckets);
      });
  return {*this, series, series.metric};
}

void MetricsRegistry::Release(SeriesHandle::Series& series) {
  const system::MutexLock lock(impl_->mutex);
  if (--series.handles > 0) return;
  series.remove();
  const auto key = std::move(series.key);
  impl_->all.erase(key);
}

std::string MetricsRegistry::Text() const {
  std::ostringstream text;
  prometheus::TextSerializer().Serialize(text, impl_->registry.Collect());
  return text.str();
}

std::string MetricsRegistry::OpenMetrics() const {
  const auto exemplars = [this](const std::string& name,
                                const std::map<std::string, std::string>& labels) {
    const system::MutexLock lock(impl_->mutex);
    const auto found = impl_->all.find({name, labels});
    if (found == impl_->all.end()) return std::vector<Exemplar>();
    Exemplars& of_series = *found->second->exemplars;
    const system::MutexLock exemplars_lock(of_series.mutex);
    return of_series.by_bucket;
  };
  return OpenMetricsText(impl_->registry.Collect(), exemplars);
}

}  // namespace headrace::telemetry
