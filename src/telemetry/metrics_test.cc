#include "telemetry/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <optional>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "telemetry/headrace_metrics.h"
#include "telemetry/open_metrics.h"

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
  EXPECT_EQ(registry.Text(), "");
  set["b"].Add();
  set["c"].Add();
  set["d"].Add();
  const std::string text = registry.Text();
  // What never occurred has no series.
  EXPECT_THAT(text, Not(HasSubstr("reason=\"a\"")));
  EXPECT_THAT(text, HasSubstr("reason=\"b\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("reason=\"other\"} 2\n"));
}

TEST(Metrics, ALazySeriesAppearsWhenItIsUsedFromAnyThread) {
  MetricsRegistry registry;
  Lazy<HistogramMetric> histogram(registry, kHistogram, {"m", "r"});
  EXPECT_EQ(registry.Text(), "");
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 500; ++i) histogram->Observe(0.5);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(registry.Text(), HasSubstr("t_seconds_count{model=\"m\",reason=\"r\"} 2000\n"));
}

// --- OpenMetrics

TEST(OpenMetrics, HasTheFormatsOwnNamesAndItsEnd) {
  MetricsRegistry registry;
  Counter counter = registry.MakeCounter(kCounter, {"a\"b\\c\nd", "r"});
  Gauge gauge = registry.MakeGauge(kGauge, {"m", "r"});
  HistogramMetric histogram = registry.MakeHistogram(kHistogram, {"m", "r"});
  counter.Add(2);
  gauge.Set(std::numeric_limits<double>::quiet_NaN());
  histogram.Observe(0.05);
  histogram.Observe(0.5, "4bf92f3577b34da6a3ce929d0e0e4736");
  histogram.Observe(5);
  const std::string text = registry.OpenMetrics();
  EXPECT_THAT(text, HasSubstr("# TYPE t counter\n# HELP t Things.\n"
                              R"(t_total{model="a\"b\\c\nd",reason="r"} 2)"
                              "\n"));
  EXPECT_THAT(text, HasSubstr("# TYPE t_now gauge\n"));
  EXPECT_THAT(text, HasSubstr("t_now{model=\"m\",reason=\"r\"} NaN\n"));
  EXPECT_THAT(text, HasSubstr("t_seconds_bucket{model=\"m\",reason=\"r\",le=\"0.1\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("t_seconds_bucket{model=\"m\",reason=\"r\",le=\"1.0\"} 2 # "
                              "{trace_id=\"4bf92f3577b34da6a3ce929d0e0e4736\"} 0.5 "));
  EXPECT_THAT(text, HasSubstr("le=\"+Inf\"} 3\nt_seconds_count{model=\"m\",reason=\"r\"} 3\n"));
  EXPECT_TRUE(text.ends_with("\n# EOF\n"));
}

TEST(OpenMetrics, TheLastTraceOfABucketIsItsExemplar) {
  MetricsRegistry registry;
  HistogramMetric histogram = registry.MakeHistogram(kHistogram, {"m", "r"});
  histogram.Observe(0.1, "first");  // A bound belongs to its bucket.
  histogram.Observe(0.02, "second");
  histogram.Observe(0.03);
  histogram.Observe(7, "slow");
  const std::string text = registry.OpenMetrics();
  EXPECT_THAT(text, Not(HasSubstr("first")));
  EXPECT_THAT(text, HasSubstr("le=\"0.1\"} 3 # {trace_id=\"second\"} 0.02 "));
  EXPECT_THAT(text, HasSubstr("le=\"1.0\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("le=\"+Inf\"} 4 # {trace_id=\"slow\"} 7 "));
  EXPECT_THAT(registry.Text(), Not(HasSubstr("slow")));
}

TEST(OpenMetrics, IsForThoseWhoAskForIt) {
  EXPECT_TRUE(PrefersOpenMetrics("application/openmetrics-text"));
  EXPECT_TRUE(PrefersOpenMetrics("application/openmetrics-text; version=\"1.0.0\", */*;q=0.1"));
  // Prometheus 2.42 and 3.5.
  EXPECT_TRUE(
      PrefersOpenMetrics("application/openmetrics-text;version=1.0.0,"
                         "application/openmetrics-text;version=0.0.1;q=0.75,"
                         "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"));
  EXPECT_TRUE(
      PrefersOpenMetrics("application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
                         "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.5,*/*;q=0.2"));
  for (const char* plain :
       {"", "*/*", "text/plain", "text/html,application/xhtml+xml,*/*;q=0.8",
        "application/openmetrics-text;version=2.0.0,text/plain;q=0.5",
        "application/openmetrics-text;q=0,text/plain", "application/openmetrics-text;q=x",
        "application/openmetrics-text;q=0.2,text/plain;q=0.9", ",;,q="}) {
    EXPECT_FALSE(PrefersOpenMetrics(plain)) << plain;
  }
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

// A zero is said where a rate has to be right from the first request on, and of what is counted
// anyhow; of the rest a zero says nothing.
TEST(HeadraceMetrics, AModelThatServesNothingHasFewSeries) {
  MetricsRegistry registry;
  const ModelMetrics model(registry, "m", SomeLabels());
  const DeploymentMetrics deployment(registry, "m", "d", SomeLabels());
  std::set<std::string> names;
  std::istringstream lines(registry.Text());
  for (std::string line; std::getline(lines, line);) {
    const std::string name = line.substr(0, line.find('{'));
    if (!line.starts_with('#') && !name.ends_with("_bucket")) names.insert(name);
  }
  EXPECT_THAT(names, testing::UnorderedElementsAre(
                         "headrace_queue_length", "headrace_queue_bytes",
                         "headrace_endpoint_source_up", "headrace_decision_seconds_count",
                         "headrace_decision_seconds_sum", "headrace_slo_attained_total",
                         "headrace_slo_missed_total", "headrace_profile_age_seconds",
                         "headrace_profile_faults", "headrace_profile_current"));
}

TEST(HeadraceMetrics, WhatIsWrittenIsWhatIsDeclared) {
  MetricsRegistry registry;
  GatewayMetrics gateway(registry, "1.0");
  gateway.invalid_requests["400"].Add();
  TracingMetrics traces(registry);
  traces.spans["sent"].Add();
  ConfigMetrics config(registry);
  config.reloads["ok"].Add();
  CounterSet refused = AdminRefusals(registry);
  refused["token"].Add();
  TlsMetrics tls(registry, "listen", {"closed"});
  tls.failed["closed"].Add();
  ModelMetrics model(registry, "m", SomeLabels());
  model.CountRequest(Outcome::kCompleted, "slo");
  for (CounterSet* set : {&model.refused, &model.fallback, &model.retries}) (*set)["a"].Add();
  model.retry_budget_exhausted->Add();
  model.output_length_ratio->Observe(1);
  model.prompt_tokens_ratio->Observe(1);
  DeploymentMetrics deployment(registry, "m", "d", SomeLabels());
  for (Lazy<HistogramMetric>* histogram :
       {&deployment.ttft, &deployment.tpot, &deployment.tpat, &deployment.e2e,
        &deployment.queue_seconds, &deployment.ttft_ratio, &deployment.e2e_ratio,
        &deployment.miss_probability_attained, &deployment.miss_probability_missed}) {
    (*histogram)->Observe(1);
  }
  deployment.ejections["connect"].Add();
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

// Dashboards and alerts, and the queries of the documentation.
TEST(HeadraceMetrics, WhatDashboardsAndAlertsNameExists) {
  std::set<std::string> declared;
  for (const MetricInfo* info : HeadraceMetrics()) {
    const std::string name(info->name);
    if (info->type == MetricType::kHistogram) {
      for (const char* part : {"_bucket", "_count", "_sum"}) declared.insert(name + part);
    } else {
      declared.insert(name);
    }
  }
  for (const char* path :
       {"deploy/grafana/headrace.json", "deploy/prometheus/headrace-rules.yaml"}) {
    std::ifstream file(path);
    std::ostringstream text;
    text << file.rdbuf();
    const std::string content = text.str();
    int named = 0;
    const std::regex name("headrace_[a-z0-9_]+");
    for (std::sregex_iterator it(content.begin(), content.end(), name), end; it != end; ++it) {
      EXPECT_TRUE(declared.contains(it->str())) << path << " names " << it->str();
      ++named;
    }
    EXPECT_GT(named, 0) << path;
  }
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
