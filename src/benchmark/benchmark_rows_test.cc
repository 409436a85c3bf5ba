#include "benchmark/benchmark_rows.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>

namespace headrace::benchmark {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

const std::string kRow =
    R"({"input_tokens": 128, "output_tokens": 4, "request_rate": 1.0, "seed": 3, "model": "m",)"
    R"( "samples": 100, "metric": "E2E", "mean": 0.5, "P50": 0.25, "P90": 1.5, "P99": 3.5})";

std::string ErrorOf(std::string_view jsonl) {
  const auto parsed = ParseBenchmark(jsonl, "b.jsonl");
  return parsed ? "parsed" : parsed.error().message;
}

TEST(Benchmark, ReadsARow) {
  const auto benchmark = ParseBenchmark(kRow, "b.jsonl");
  ASSERT_TRUE(benchmark);
  ASSERT_EQ(benchmark->rows.size(), 1U);
  const BenchmarkRow& row = benchmark->rows[0];
  EXPECT_EQ(row.input_tokens, 128);
  EXPECT_EQ(row.output_tokens, 4);
  EXPECT_EQ(row.request_rate, 1);
  EXPECT_EQ(row.seed, 3);
  EXPECT_EQ(row.model, "m");
  EXPECT_EQ(row.samples, 100);
  EXPECT_EQ(row.metric, Metric::kE2e);
  EXPECT_EQ(row.value.At(0), 0.5);
  EXPECT_EQ(row.value.At(50), 0.25);
  EXPECT_EQ(row.value.At(90), 1.5);
  EXPECT_EQ(row.value.At(99), 3.5);
}

TEST(Benchmark, BlankLinesExtraKeysAndMissingStatisticsAreFine) {
  const auto benchmark = ParseBenchmark(
      "\n\r\n  \n"
      R"({"input_tokens": 8, "output_tokens": 4.0, "request_rate": Infinity, "metric": "TPUT",)"
      R"( "mean": NaN, "P50": null, "extra": [1]})"
      "\r\n\n",
      "b.jsonl");
  ASSERT_TRUE(benchmark);
  ASSERT_EQ(benchmark->rows.size(), 1U);
  EXPECT_TRUE(std::isnan(benchmark->rows[0].value.mean));
  EXPECT_TRUE(std::isnan(benchmark->rows[0].value.p99));
  EXPECT_TRUE(std::isinf(benchmark->rows[0].request_rate));
}

TEST(Benchmark, ALastLineThatBreaksOffIsLeftOutAndKnown) {
  const auto cut = ParseBenchmark(kRow + "\n" + kRow.substr(0, 50), "b.jsonl");
  ASSERT_TRUE(cut) << cut.error().message;
  EXPECT_EQ(cut->rows.size(), 1U);
  EXPECT_TRUE(cut->broken_off);
  EXPECT_FALSE(ParseBenchmark(kRow, "b.jsonl")->broken_off);
  EXPECT_THAT(ErrorOf(kRow + "\n" + kRow.substr(0, 50) + "\n"), HasSubstr("line 2"));
  EXPECT_THAT(ErrorOf("{\n\"metric\": \"E2E\"\n}\n"),
              HasSubstr("is one JSON document over several"));
}

TEST(Benchmark, OfRepeatedRowsTheFirstCountsAndUnknownMetricsAreLeftOut) {
  std::string again = kRow;
  again.replace(again.find("0.5"), 3, "9.9");
  std::string other = kRow;
  other.replace(other.find("E2E"), 3, "ITL");
  const auto benchmark = ParseBenchmark(kRow + "\n" + again + "\n" + other + "\n", "b.jsonl");
  ASSERT_TRUE(benchmark);
  ASSERT_EQ(benchmark->rows.size(), 1U);
  EXPECT_EQ(benchmark->rows[0].value.mean, 0.5);
  EXPECT_EQ(benchmark->repeated_rows, 1U);
  EXPECT_EQ(benchmark->unknown_metric_rows, 1U);
}

TEST(Benchmark, ErrorsNameTheLine) {
  const auto second = [](std::string line) { return "\n" + kRow + "\n" + std::move(line) + "\n"; };
  const auto with = [](const std::string& from, const std::string& to) {
    std::string row = kRow;
    return row.replace(row.find(from), from.size(), to);
  };
  const struct {
    std::string jsonl, says;
  } cases[] = {
      {"", "holds no measurement"},
      {"\n \n", "holds no measurement"},
      {second("{\"input_tokens\": 128, "), "line 3, column 23: the JSON ends in the middle"},
      {second("{oops}"), "line 3, column 2: not JSON"},
      {second("[1]"), "line 3 is not a JSON object"},
      {second("{}"), "line 3 has no text under `metric`"},
      {second(with("128", "0")), "line 3: `input_tokens` must be a whole number from 1"},
      {second(with("128", "\"x\"")), "line 3: `input_tokens` must be a whole number from 1"},
      {second(with("\"output_tokens\": 4", "\"output_tokens\": 1e300")), "`output_tokens` must be"},
      {second(with("1.0", "-1")), "line 3: `request_rate` must be a number above 0"},
      {second(with("1.0", "NaN")), "line 3: `request_rate` must be a number above 0"},
  };
  for (const auto& [jsonl, says] : cases) {
    EXPECT_THAT(ErrorOf(jsonl), AllOf(HasSubstr("b.jsonl: "), HasSubstr(says)));
  }
}

TEST(Benchmark, AFileIsOfOneDeploymentAndOneModel) {
  const auto row = [](const std::string& key, const std::string& value) {
    std::string text = kRow;
    text.insert(text.size() - 1, ", \"" + key + "\": \"" + value + "\"");
    return text + "\n";
  };
  EXPECT_EQ(ErrorOf(row("deployment", "d1") + row("deployment", "d2")),
            "b.jsonl: line 2 is of the deployment \"d2\", and the rows above are of \"d1\"; keep "
            "the rows of one in a file.");
  std::string other = kRow;
  other.replace(other.find("\"m\""), 3, "\"n\"");
  EXPECT_THAT(ErrorOf(kRow + "\n" + other), HasSubstr("line 2 is of the model \"n\""));
  // What says nothing contradicts nothing.
  EXPECT_EQ(ErrorOf(kRow + "\n" + row("deployment", "d1")), "parsed");
}

TEST(Benchmark, WritesWhatItReads) {
  BenchmarkRow row;
  row.input_tokens = 2048;
  row.output_tokens = 512;
  row.request_rate = 0.1;
  row.seed = -7;
  row.model = "a \"quoted\" name";
  row.samples = 60;
  for (const Metric metric :
       {Metric::kTput, Metric::kTt, Metric::kE2e, Metric::kTtft, Metric::kTpot}) {
    row.metric = metric;
    row.value.mean = 0.1 + 0.2;
    row.value.p50 = 1e-9;
    row.value.p95 = 0.25;
    const std::string line = FormatBenchmarkRow(row);
    EXPECT_EQ(line.find('\n'), line.size() - 1);
    const auto read = ParseBenchmark(line, "b.jsonl");
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(read->rows[0].metric, metric);
    EXPECT_EQ(read->rows[0].seed, -7);
    EXPECT_EQ(read->rows[0].model, row.model);
    EXPECT_EQ(read->rows[0].value.mean, row.value.mean);
    const bool latency = metric != Metric::kTput && metric != Metric::kTt;
    EXPECT_EQ(read->rows[0].value.p50 == row.value.p50, latency);
    EXPECT_EQ(read->rows[0].value.At(95) == 0.25, latency);
    EXPECT_TRUE(std::isnan(read->rows[0].value.p99));
  }
}

TEST(MeasurementOf, ReadsBackWhatRowsOfWrote) {
  Measurement measured{.point = {.input = 16, .output = 4, .rate = 2}};
  measured.tput = 1.9;
  measured.tt = 7.6;
  measured.e2e = {1, 1.5, 2, 2.5, 3};
  measured.ttft = {0.5, 0.6, 0.7, 0.75, 0.8};
  measured.tpot = {0.1, 0.2, 0.3, 0.35, 0.4};
  measured.samples = 60;
  for (const bool sustained : {true, false}) {
    measured.sustained = sustained;
    const Measurement read = MeasurementOf(RowsOf(measured, 7, "m"));
    EXPECT_EQ(read.point, measured.point);
    EXPECT_EQ(read.tput, 1.9);
    EXPECT_EQ(read.tt, 7.6);
    EXPECT_EQ(read.e2e.p50, 1.5);
    EXPECT_EQ(read.ttft.p99, 0.8);
    EXPECT_EQ(read.samples, 60);
    EXPECT_EQ(read.sustained, sustained);
    // A rate that is not sustained has no TPOT row.
    EXPECT_EQ(std::isnan(read.tpot.mean), !sustained);
  }
}

}  // namespace
}  // namespace headrace::benchmark
