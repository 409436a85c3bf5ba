#include "telemetry/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <cassert>
#include <functional>
#include <map>
#include <sstream>

#include "system/mutex.h"

namespace headrace::telemetry {

struct SeriesHandle::Series {
  std::pair<std::string, std::map<std::string, std::string>> key;  // Name and labels.
  std::size_t handles = 0;
  void* metric = nullptr;
  std::function<void()> remove;  // Takes it out of its family.
};

SeriesHandle::~SeriesHandle() {
  if (series_ != nullptr) registry_->Release(*series_);
}

void Counter::Add(double amount) { static_cast<prometheus::Counter*>(metric_)->Increment(amount); }

void Gauge::Set(double value) { static_cast<prometheus::Gauge*>(metric_)->Set(value); }

void Gauge::Add(double amount) { static_cast<prometheus::Gauge*>(metric_)->Increment(amount); }

void HistogramMetric::Observe(double value) {
  static_cast<prometheus::Histogram*>(metric_)->Observe(value);
}

CounterSet::CounterSet(MetricsRegistry& registry, const MetricInfo& info,
                       const std::vector<std::string_view>& before,
                       const std::vector<std::string_view>& values) {
  std::vector<std::string_view> labels = before;
  labels.emplace_back();
  for (const std::string_view value : values) {
    labels.back() = value;
    counters_.emplace_back(value, registry.MakeCounter(info, labels));
  }
  labels.back() = "other";
  counters_.emplace_back("other", registry.MakeCounter(info, labels));
}

Counter& CounterSet::operator[](std::string_view value) {
  for (auto& [name, counter] : counters_) {
    if (name == value) return counter;
  }
  return counters_.back().second;
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

}  // namespace headrace::telemetry
