#include "telemetry/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "telemetry/headrace_metrics.h"

namespace headrace::telemetry {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr std::string_view kLabels[] = {"model", "reason"};
constexpr double kBuckets[] = {0.1, 1};
constexpr MetricInfo kCounter{"t_total", MetricType::kCounter, kLabels, "Things.", {}};
constexpr MetricInfo kGauge{"t_now", MetricType::kGauge, kLabels, "Things now.", {}};
constexpr MetricInfo kHistogram{"t_seconds", MetricType::kHistogram, kLabels, "Time.", kBuckets};

TEST(Metrics, AreWrittenInPrometheusTextFormat) {
  MetricsRegistry registry;
  Counter counter = registry.MakeCounter(kCounter, {"m", "r"});
  Gauge gauge = registry.MakeGauge(kGauge, {"m", "r"});
  HistogramMetric histogram = registry.MakeHistogram(kHistogram, {"m", "r"});
  counter.Add();
  counter.Add(2);
  gauge.Set(5);
  gauge.Add(-1.5);
  histogram.Observe(0.05);
  histogram.Observe(0.5);
  histogram.Observe(5);
  const std::string text = registry.Text();
  EXPECT_THAT(text, HasSubstr("# HELP t_total Things.\n# TYPE t_total counter\n"
                              "t_total{model=\"m\",reason=\"r\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("t_now{model=\"m\",reason=\"r\"} 3.5\n"));
  EXPECT_THAT(text, HasSubstr("t_seconds_bucket{model=\"m\",reason=\"r\",le=\"0.1\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("t_seconds_bucket{model=\"m\",reason=\"r\",le=\"1\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("t_seconds_bucket{model=\"m\",reason=\"r\",le=\"+Inf\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("t_seconds_count{model=\"m\",reason=\"r\"} 3\n"));
}

TEST(Metrics, LabelsAreEscaped) {
  MetricsRegistry registry;
  const Counter counter = registry.MakeCounter(kCounter, {"a\"b\\c\nd", "r"});
  EXPECT_THAT(registry.Text(), HasSubstr(R"(t_total{model="a\"b\\c\nd",reason="r"} 0)"));
}

TEST(Metrics, HandlesOfTheSameLabelsShareASeriesUntilTheLastIsGone) {
  MetricsRegistry registry;
  std::optional<Counter> first = registry.MakeCounter(kCounter, {"m", "r"});
  std::optional<Counter> second = registry.MakeCounter(kCounter, {"m", "r"});
  first->Add();
  first.reset();
  second->Add();
  EXPECT_THAT(registry.Text(), HasSubstr("} 2\n"));
  second.reset();
  EXPECT_THAT(registry.Text(), Not(HasSubstr("t_total{")));
  const Counter third = registry.MakeCounter(kCounter, {"m", "r"});
  EXPECT_THAT(registry.Text(), HasSubstr("t_total{model=\"m\",reason=\"r\"} 0\n"));
}

TEST(Metrics, ACounterSetCountsUnknownValuesAsOther) {
  MetricsRegistry registry;
  CounterSet set(registry, kCounter, {"m"}, {"a", "b"});
  set["b"].Add();
  set["c"].Add();
  set["d"].Add();
  const std::string text = registry.Text();
  EXPECT_THAT(text, HasSubstr("reason=\"a\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("reason=\"b\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("reason=\"other\"} 2\n"));
}

TEST(Metrics, NothingIsLostBetweenThreads) {
  MetricsRegistry registry;
  Counter counter = registry.MakeCounter(kCounter, {"all", "r"});
  HistogramMetric histogram = registry.MakeHistogram(kHistogram, {"all", "r"});
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 2000; ++i) {
        counter.Add();
        histogram.Observe(0.5);
        // Series come and go beside them, the same ones from all threads.
        Counter passing = registry.MakeCounter(kCounter, {std::to_string(i % 3), "r"});
        passing.Add();
        if (i % 100 == 0) {
          EXPECT_THAT(registry.Text(), HasSubstr("model=\"all\""));
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const std::string text = registry.Text();
  EXPECT_THAT(text, HasSubstr("t_total{model=\"all\",reason=\"r\"} 8000\n"));
  EXPECT_THAT(text, HasSubstr("t_seconds_count{model=\"all\",reason=\"r\"} 8000\n"));
  EXPECT_THAT(text, Not(HasSubstr("model=\"1\"")));
}

const MetricLabels& SomeLabels() {
  static const MetricLabels kValues{{"slo", "random"}, {"queue_full"}, {"no_profile"}};
  return kValues;
}

TEST(HeadraceMetrics, EveryRequestIsCountedByItsEndAndPolicy) {
  MetricsRegistry registry;
  ModelMetrics model(registry, "m", SomeLabels());
  model.CountRequest(Outcome::kCompleted, "slo");
  model.CountRequest(Outcome::kRefused, "");
  model.CountRequest(Outcome::kFailed, "no-such-policy");
  model.refused["queue_full"].Add();
  const std::string text = registry.Text();
  EXPECT_THAT(text, HasSubstr("headrace_requests_total{model=\"m\",outcome=\"completed\","
                              "policy=\"slo\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("outcome=\"refused\",policy=\"none\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("outcome=\"failed\",policy=\"other\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("headrace_refused_total{model=\"m\",reason=\"queue_full\"} 1\n"));
}

TEST(HeadraceMetrics, AnEndpointsSeriesLeaveWithIt) {
  MetricsRegistry registry;
  std::optional<EndpointMetrics> endpoint;
  endpoint.emplace(registry, "m", "d", "10.0.0.7:8000");
  endpoint->load.Set(0.5);
  EXPECT_THAT(registry.Text(),
              HasSubstr("headrace_endpoint_load{deployment=\"d\",endpoint=\"10.0.0.7:8000\","
                        "model=\"m\"} 0.5\n"));
  endpoint.reset();
  EXPECT_THAT(registry.Text(), Not(HasSubstr("10.0.0.7")));
}

TEST(HeadraceMetrics, WhatIsWrittenIsWhatIsDeclared) {
  MetricsRegistry registry;
  GatewayMetrics gateway(registry, "1.0");
  ConfigMetrics config(registry);
  ModelMetrics model(registry, "m", SomeLabels());
  DeploymentMetrics deployment(registry, "m", "d", SomeLabels());
  deployment.profile_age_seconds.Set(std::numeric_limits<double>::quiet_NaN());
  deployment.SetProfileOrigin("d.json");
  const EndpointMetrics endpoint(registry, "m", "d", "e");
  const ReplicaMetrics replicas(registry);
  const ReplicaPoolMetrics of_model(registry, "m");
  std::set<std::string> written;
  std::istringstream lines(registry.Text());
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("# HELP ")) written.insert(line.substr(7, line.find(' ', 7) - 7));
  }
  std::set<std::string> declared;
  for (const MetricInfo* info : HeadraceMetrics()) {
    EXPECT_TRUE(declared.emplace(info->name).second) << info->name << " is declared twice";
    EXPECT_TRUE(info->name.starts_with("headrace_")) << info->name;
    EXPECT_EQ(info->name.ends_with("_total"), info->type == MetricType::kCounter) << info->name;
    EXPECT_EQ(info->buckets.empty(), info->type != MetricType::kHistogram) << info->name;
    EXPECT_TRUE(std::is_sorted(info->buckets.begin(), info->buckets.end())) << info->name;
  }
  EXPECT_EQ(written, declared);
}

TEST(HeadraceMetrics, TheCommittedReferenceIsCurrent) {
  const std::string path = "docs/metrics.md";
  if (std::getenv("HEADRACE_UPDATE_DOCS") != nullptr)
    std::ofstream(path) << MetricsReferenceMarkdown();
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  EXPECT_EQ(text.str(), MetricsReferenceMarkdown())
      << path << " is stale: `make docs` writes it anew";
}

}  // namespace
}  // namespace headrace::telemetry
