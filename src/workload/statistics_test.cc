#include "workload/statistics.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace headrace::workload {
namespace {

TEST(Statistics, EveryMissCountsAgainstAttainment) {
  RunStatistics statistics({"chat", "code"});
  slo::Slo slo;
  slo.ttft = 1;
  for (int i = 0; i < 5; ++i) statistics.Offer(0);
  EXPECT_TRUE(statistics.Complete(0, {0.5, 2, 10, 4}, 0.1, slo));
  EXPECT_FALSE(statistics.Complete(0, {1.5, 2, 10, 4}, 0.1, slo));
  EXPECT_TRUE(statistics.Complete(0, {1.5, 2, 10, 4}, 0.1, std::nullopt));
  statistics.Refuse(0);
  statistics.TimeOut(0);
  EXPECT_DOUBLE_EQ(statistics.of(0).Attainment(), 0.4);
  EXPECT_EQ(statistics.of(1).Attainment(), 0);
}

TEST(Statistics, TotalIsOverClasses) {
  RunStatistics statistics({"a", "b"});
  for (std::size_t i : {0, 1}) {
    statistics.Offer(i);
    statistics.Complete(i, {1, 2, 10, static_cast<Tokens>(1 + i)}, 0, std::nullopt);
  }
  const ClassReport total = statistics.Total();
  EXPECT_EQ(total.offered, 2u);
  EXPECT_EQ(total.attained, 2u);
  EXPECT_EQ(total.e2e.count(), 2u);
  EXPECT_EQ(total.tpot.count(), 1u);  // One token has no gap.
}

nlohmann::json JsonOf(const RunStatistics& statistics) {
  JsonWriter json;
  json.BeginObject();
  WriteStatistics(statistics, 10, json);
  return nlohmann::json::parse(json.EndObject().Take());
}

TEST(Statistics, JsonHasTheShapeOfTheSummary) {
  RunStatistics statistics({"a \"quoted\" one"});
  statistics.Offer(0);
  statistics.Complete(0, {1, 3, 10, 5}, 0.25, std::nullopt);
  const auto json = JsonOf(statistics);
  EXPECT_EQ(json["offered"], 1);
  EXPECT_DOUBLE_EQ(json["throughput_rps"], 0.1);
  EXPECT_DOUBLE_EQ(json["goodput_rps"], 0.1);
  EXPECT_DOUBLE_EQ(json["prompt_tokens_per_s"], 1);
  EXPECT_DOUBLE_EQ(json["output_tokens_per_s"], 0.5);
  EXPECT_NEAR(json["ttft_s"]["mean"], 1, 1e-9);
  EXPECT_NEAR(json["ttft_without_queue_s"]["p95"], 0.75, 0.005);
  EXPECT_NEAR(json["tpot_s"]["p99"], 0.5, 0.005);
  EXPECT_NEAR(json["tpat_s"]["p50"], 0.2, 0.002);
  EXPECT_NEAR(json["ntpot_s"]["p50"], 0.6, 0.006);
  EXPECT_EQ(json["classes"]["a \"quoted\" one"]["completed"], 1);
  RunStatistics empty({"a"});
  EXPECT_TRUE(JsonOf(empty)["ttft_s"]["p50"].is_null());
}

TEST(Statistics, AWholeAnswerHasNoFirstToken) {
  ClassReport report;
  report.offered = 2;
  report.Complete({.ttft = {}, .e2e = 3, .prompt_tokens = 10, .output_tokens = 5}, std::nullopt,
                  false);
  JsonWriter json;
  json.BeginObject();
  WriteReport(report, RatesOf(report, 0), json, std::vector<double>{50, 99.9});
  const auto written = nlohmann::json::parse(json.EndObject().Take());
  for (const char* latency : {"ttft_s", "tpot_s", "queue_s", "ttft_without_queue_s"}) {
    EXPECT_TRUE(written[latency]["mean"].is_null()) << latency;
    EXPECT_TRUE(written[latency]["p99.9"].is_null()) << latency;
  }
  EXPECT_NEAR(written["e2e_s"]["p99.9"], 3, 0.02);
  EXPECT_FALSE(written["e2e_s"].contains("p95")) << "only those that were asked for";
  EXPECT_TRUE(written["goodput_rps"].is_null()) << "no time has passed";
}

}  // namespace
}  // namespace headrace::workload
