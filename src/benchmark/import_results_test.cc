#include "benchmark/import_results.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <iterator>
#include <span>
#include <string>

namespace headrace::benchmark {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr std::string_view kVllm =
    R"({"model_id": "llama", "request_rate": 2.0, "max_concurrency": null, "completed": 100,
        "total_input_tokens": 12800, "total_output_tokens": 6400, "request_throughput": 1.95,
        "mean_ttft_ms": 50, "median_ttft_ms": 45, "p99_ttft_ms": 90, "mean_tpot_ms": 20,
        "median_tpot_ms": 19, "p90_tpot_ms": 25, "p95_tpot_ms": 28, "p99_tpot_ms": 30,
        "mean_e2el_ms": 1310,
        "median_e2el_ms": 1290, "p99_e2el_ms": 1900, "generated_texts": ["a"]})";
constexpr std::string_view kGuidellm = R"({"metadata": {}, "benchmarks": [
  {"config": {"strategy": {"type_": "constant", "rate": 4.0}, "backend": {"model": "llama"}},
   "requests": {"successful": [{"prompt_tokens": 1}]},
   "metrics": {
     "requests_per_second": {"successful": {"mean": 3.9}},
     "prompt_token_count": {"successful": {"mean": 128.2, "count": 200}},
     "output_token_count": {"successful": {"mean": 64}},
     "request_latency": {"successful": {"mean": 1.3, "median": 1.2, "count": 200,
                                        "percentiles": {"p90": 1.6, "p99": 1.9}}},
     "time_to_first_token_ms": {"successful": {"mean": 50, "median": 45,
                                               "percentiles": {"p90": 70, "p99": 90}}},
     "inter_token_latency_ms": {"successful": {"mean": 20, "median": 19,
                                               "percentiles": {"p90": 25, "p99": 30}}}}},
  {"config": {"strategy": {"type_": "concurrent", "streams": 8}, "backend": {"model": "llama"}},
   "metrics": {
     "requests_per_second": {"successful": {"mean": 6}},
     "prompt_token_count": {"successful": {"mean": 128}},
     "output_token_count": {"successful": {"mean": 64}},
     "request_latency": {"successful": {"mean": 1.4, "median": 1.3, "count": 300,
                                        "percentiles": {"p90": 1.7, "p99": 2}}},
     "time_to_first_token_ms": {"successful": {"mean": 60}},
     "inter_token_latency_ms": {"successful": {"mean": 21}}}}]})";
constexpr std::string_view kAiperf = R"({"schema_version": "1.0",
  "request_throughput": {"unit": "requests/sec", "avg": 1.45},
  "request_latency": {"unit": "ms", "avg": 2620.71, "p50": 2568.73, "p90": 3000,
                      "p95": 3300, "p99": 3371.24},
  "request_count": {"unit": "requests", "avg": 20.0},
  "time_to_first_token": {"unit": "ms", "avg": 100, "p50": 99, "p90": 120, "p99": 150},
  "inter_token_latency": {"unit": "ms", "avg": 25, "p50": 24, "p90": 28, "p99": 31},
  "input_sequence_length": {"unit": "tokens", "avg": 550},
  "output_sequence_length": {"unit": "tokens", "avg": 100},
  "input_config": {"endpoint": {"model_names": ["llama"]}, "loadgen": {"request_rate": 1.5}}})";

Measurement Only(const Result<ImportedResults>& imported) {
  EXPECT_TRUE(imported) << imported.error().message;
  return imported ? MeasurementOf(imported->rows) : Measurement{};
}

TEST(ImportResults, TakesARunOfVllm) {
  const auto imported = ImportResults(kVllm, "v.json", "");
  const Measurement measured = Only(imported);
  EXPECT_EQ(measured.point, (GridPoint{.input = 128, .output = 64, .rate = 2}));
  EXPECT_EQ(measured.samples, 100);
  EXPECT_DOUBLE_EQ(measured.tput, 1.95);
  EXPECT_DOUBLE_EQ(measured.tt, 124.8);
  EXPECT_DOUBLE_EQ(measured.e2e.p99, 1.9);
  EXPECT_DOUBLE_EQ(measured.ttft.p50, 0.045);
  EXPECT_DOUBLE_EQ(measured.tpot.p90, 0.025);
  EXPECT_DOUBLE_EQ(measured.tpot.p95, 0.028);
  EXPECT_TRUE(std::isnan(measured.ttft.p90)) << "the file does not hold it";
  EXPECT_EQ(imported->rows.front().model, "llama");
  EXPECT_THAT(imported->notes, IsEmpty());
  EXPECT_EQ(ToolOfResults(kVllm), "vllm bench serve");
}

TEST(ImportResults, WithoutTheWholeLatencyItsMeanIsTheSumOfItsParts) {
  std::string text(kVllm);
  for (const std::string key : {"mean_e2el_ms", "median_e2el_ms", "p99_e2el_ms"}) {
    text.replace(text.find(key), key.size(), "x");
  }
  text.replace(text.find("\"request_rate\": 2.0"), 19, "\"request_rate\": \"inf\"");
  const auto imported = ImportResults(text, "v.json", "other");
  const Measurement measured = Only(imported);
  EXPECT_NEAR(measured.e2e.mean, 0.05 + 63 * 0.02, 1e-6);
  EXPECT_TRUE(std::isnan(measured.e2e.p99));
  EXPECT_DOUBLE_EQ(measured.point.rate, 1.95);
  EXPECT_EQ(imported->rows.front().model, "other");
  EXPECT_THAT(imported->notes,
              ElementsAre(HasSubstr("v.json: it offers no rate (a closed loop, or all at once)"),
                          HasSubstr("use `generate` with --percentile 0")));
}

TEST(ImportResults, PythonsNaNIsAMissingNumber) {
  std::string text(kVllm);
  text.replace(text.find("\"p90_tpot_ms\": 25"), 17, "\"p90_tpot_ms\": NaN");
  text.replace(text.find("\"request_rate\": 2.0"), 19, "\"request_rate\": Infinity");
  const Measurement measured = Only(ImportResults(text, "v.json", ""));
  EXPECT_TRUE(std::isnan(measured.tpot.p90));
  EXPECT_DOUBLE_EQ(measured.point.rate, 1.95);
  EXPECT_EQ(ToolOfResults(text), "vllm bench serve");
}

TEST(ImportResults, TakesEveryBenchmarkOfGuidellm) {
  const auto imported = ImportResults(kGuidellm, "g.json", "");
  ASSERT_TRUE(imported) << imported.error().message;
  ASSERT_EQ(imported->rows.size(), 10u);
  const Measurement first = MeasurementOf(std::span(imported->rows).first(5));
  EXPECT_EQ(first.point, (GridPoint{.input = 128, .output = 64, .rate = 4}));
  EXPECT_EQ(first.samples, 200);
  EXPECT_DOUBLE_EQ(first.e2e.p90, 1.6);
  EXPECT_DOUBLE_EQ(first.tpot.p99, 0.03);
  EXPECT_DOUBLE_EQ(MeasurementOf(std::span(imported->rows).last(5)).point.rate, 6);
  EXPECT_THAT(imported->notes, ElementsAre(HasSubstr("g.json: benchmark 2: it offers no rate")));
  EXPECT_EQ(ToolOfResults(kGuidellm), "guidellm");
}

TEST(ImportResults, TakesASummaryOfAiperf) {
  const Measurement measured = Only(ImportResults(kAiperf, "a.json", ""));
  EXPECT_EQ(measured.point, (GridPoint{.input = 550, .output = 100, .rate = 1.5}));
  EXPECT_NEAR(measured.e2e.p99, 3.37124, 1e-6);
  EXPECT_NEAR(measured.e2e.p95, 3.3, 1e-6);
  EXPECT_DOUBLE_EQ(measured.tpot.mean, 0.025);
  EXPECT_EQ(ToolOfResults(kAiperf), "aiperf");
}

// A file that a tool wrote in a real run, cut to a few requests.
std::string RealFile(const std::string& name) {
  std::ifstream file("tests/data/results/" + name);
  EXPECT_TRUE(file) << "run it from the repository's root";
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(ImportResults, TakesARealFileOfGuidellm) {
  const auto imported = ImportResults(RealFile("guidellm-0.8.1.json"), "g.json", "");
  ASSERT_TRUE(imported) << imported.error().message;
  ASSERT_EQ(imported->rows.size(), 18u);
  EXPECT_EQ(imported->rows.front().model, "m");
  const Measurement offered = MeasurementOf(std::span(imported->rows).first(5));
  EXPECT_EQ(offered.point, (GridPoint{.input = 15, .output = 16, .rate = 2}));
  EXPECT_EQ(offered.samples, 6);
  EXPECT_NEAR(offered.e2e.p50, 0.24689, 1e-5);
  EXPECT_NEAR(offered.e2e.p95, 0.29271, 1e-5);
  EXPECT_NEAR(offered.ttft.mean, 0.06671, 1e-5);
  EXPECT_NEAR(offered.tpot.mean, 0.00959, 1e-5);
  const Measurement closed = MeasurementOf(std::span(imported->rows).subspan(5, 5));
  EXPECT_NEAR(closed.point.rate, 13.1488, 1e-4) << "no rate is offered: what was served";
  const Measurement failing = MeasurementOf(std::span(imported->rows).subspan(10, 5));
  EXPECT_EQ(failing.samples, 4) << "two of six requests failed";
  const Measurement whole = MeasurementOf(std::span(imported->rows).last(3));
  EXPECT_NEAR(whole.e2e.mean, 0.06561, 1e-5);
  EXPECT_TRUE(std::isnan(whole.ttft.mean)) << "its answers were not streamed: no TTFT, not 0";
  EXPECT_TRUE(std::isnan(whole.tpot.mean));
  EXPECT_THAT(imported->notes,
              ElementsAre(HasSubstr("benchmark 2: it offers no rate"),
                          HasSubstr("benchmark 3: 2 of 6 requests failed; the figures are those"),
                          HasSubstr("benchmark 3: it offers no rate"),
                          HasSubstr("benchmark 4: it offers no rate"),
                          HasSubstr("g.json: benchmark 4: it has no TTFT and no TPOT")));
}

TEST(ImportResults, TakesRealFilesOfVllm) {
  const auto offered = ImportResults(RealFile("vllm-0.32.0-detailed.json"), "v.json", "");
  const Measurement measured = Only(offered);
  EXPECT_EQ(measured.point, (GridPoint{.input = 35, .output = 16, .rate = 4}));
  EXPECT_EQ(measured.samples, 8);
  EXPECT_NEAR(measured.tput, 3.68908, 1e-5);
  EXPECT_NEAR(measured.e2e.p99, 0.31773, 1e-5);
  EXPECT_NEAR(measured.ttft.p50, 0.05221, 1e-5);
  EXPECT_NEAR(measured.tpot.p90, 0.014376, 1e-6);
  EXPECT_THAT(offered->notes, IsEmpty());
  const auto closed = ImportResults(RealFile("vllm-0.32.0.json"), "v.json", "");
  EXPECT_NEAR(Only(closed).point.rate, 10.7936, 1e-4);
  EXPECT_THAT(closed->notes, ElementsAre(HasSubstr("it offers no rate (a closed loop"),
                                         HasSubstr("no percentiles of the whole latency")));
}

TEST(ImportResults, TakesARealFileOfAiperf) {
  const auto imported = ImportResults(RealFile("aiperf-0.13.0.json"), "a.json", "");
  const Measurement measured = Only(imported);
  EXPECT_EQ(measured.point, (GridPoint{.input = 28, .output = 12, .rate = 4}));
  EXPECT_EQ(measured.samples, 8);
  EXPECT_NEAR(measured.tput, 4.34621, 1e-5);
  EXPECT_NEAR(measured.e2e.p99, 0.234716, 1e-6);
  EXPECT_NEAR(measured.ttft.mean, 0.0522307, 1e-6);
  EXPECT_NEAR(measured.tpot.mean, 0.00683719, 1e-7);
  EXPECT_EQ(imported->rows.front().model, "m");
  EXPECT_THAT(imported->notes, IsEmpty());
}

TEST(ImportResults, TakesALinePerRun) {
  std::string line(kVllm);
  std::erase(line, '\n');
  const auto imported = ImportResults(line + "\n" + line + "\n", "v.jsonl", "");
  ASSERT_TRUE(imported) << imported.error().message;
  EXPECT_EQ(imported->rows.size(), 10u);
  EXPECT_EQ(ToolOfResults(line + "\n" + line + "\n"), "vllm bench serve");
}

// Three answers, one of which came in one piece: the mean TPOT of the file has a 0 in it.
TEST(ImportResults, AnAnswerInOnePieceHasNoTpot) {
  std::string text(kVllm);
  text.replace(text.find("\"generated_texts\""), 17,
               R"("output_lens": [11, 11, 11, 1, 0], "ttfts": [0.5, 0.5, 0.5, 0.5, 0.0],
                  "latencies": [0.7, 0.5, 0.9, 0.5, 0.0], "generated_texts")");
  const auto imported = ImportResults(text, "v.json", "");
  const Measurement measured = Only(imported);
  EXPECT_NEAR(measured.tpot.mean, 0.03, 1e-9);
  EXPECT_NEAR(measured.tpot.p50, 0.03, 1e-9);
  EXPECT_THAT(imported->notes,
              ElementsAre("v.json: 1 of 3 answers came in one piece and have no TPOT; it is that "
                          "of the others"));

  std::string whole(kVllm);
  whole.replace(whole.find("\"mean_tpot_ms\": 20"), 18, "\"mean_tpot_ms\": 0");
  const auto none = ImportResults(whole, "v.json", "");
  EXPECT_TRUE(std::isnan(Only(none).tpot.mean));
  EXPECT_THAT(none->notes, ElementsAre(HasSubstr("came in one piece each, and have no TPOT")));

  std::string listed(kGuidellm);
  listed.replace(listed.find("{\"prompt_tokens\": 1}"), 20,
                 R"({"inter_token_latency_ms": 0}, {"inter_token_latency_ms": 30},)"
                 R"( {"inter_token_latency_ms": null})");
  const auto guidellm = ImportResults(listed, "g.json", "");
  ASSERT_TRUE(guidellm) << guidellm.error().message;
  EXPECT_NEAR(MeasurementOf(std::span(guidellm->rows).first(5)).tpot.mean, 0.03, 1e-9);
  EXPECT_THAT(guidellm->notes, Contains(HasSubstr("benchmark 1: 1 of 2 answers came in one")));

  std::string least(kAiperf);
  least.replace(least.find("\"avg\": 25,"), 10, "\"min\": 0, \"avg\": 25,");
  EXPECT_THAT(ImportResults(least, "a.json", "")->notes,
              ElementsAre(HasSubstr("some answers came in one piece; their TPOT counts as 0")));
}

TEST(ImportResults, OtherFormsOfARunAreNamed) {
  const auto fault = [](std::string_view text) {
    const auto imported = ImportResults(text, "f", "");
    return imported ? "none" : imported.error().message;
  };
  const std::string records = RealFile("aiperf-0.13.0.jsonl");
  EXPECT_THAT(fault(records), HasSubstr("holds aiperf's records of single requests; `headrace "
                                        "profile import results` takes the profile_export_aiperf"));
  EXPECT_THAT(fault("Run Info,Run Info,Benchmark\nRun ID,Run Index,Type\n,,\n1,2,3\n"),
              HasSubstr("is guidellm's CSV; `headrace profile import results` takes its "
                        "benchmarks.json"));
  EXPECT_THAT(
      fault("benchmarks:\n- config:\n    run_id: x\nmetadata:\n  guidellm_version: 0.8.1\n"),
      HasSubstr("is guidellm's YAML"));
  EXPECT_EQ(OtherFormOfResults("{}"), "");
  EXPECT_EQ(OtherFormOfResults(kVllm), "");
  EXPECT_EQ(OtherFormOfResults(""), "");
}

TEST(ImportResults, ALastLineThatBreaksOffIsLeftOutAndSaid) {
  std::string line(kVllm);
  std::erase(line, '\n');
  const auto imported = ImportResults(line + "\n" + line.substr(0, 99), "v.jsonl", "");
  ASSERT_TRUE(imported) << imported.error().message;
  EXPECT_EQ(imported->rows.size(), 5u);
  EXPECT_THAT(imported->notes, ElementsAre(HasSubstr("v.jsonl:2: the last line breaks off")));
}

TEST(ImportResults, ErrorsNameFileAndFix) {
  const auto fault = [](std::string_view text) {
    const auto imported = ImportResults(text, "f", "");
    return imported ? "none" : imported.error().message;
  };
  EXPECT_THAT(fault("{}"), HasSubstr("f: is no result of `vllm bench serve` (--save-result)"));
  EXPECT_THAT(fault("hello"), HasSubstr("f:1: is no result of `vllm bench serve`"));
  EXPECT_THAT(fault(""), HasSubstr("f: is no result"));
  EXPECT_THAT(fault("\n\n"), HasSubstr("f: is no result"));
  std::string text(kVllm);
  text.replace(text.find("model_id"), 8, "x");
  EXPECT_THAT(fault(text), HasSubstr("f: it names no model; give --model"));
  EXPECT_THAT(fault(R"({"request_throughput": 0, "total_input_tokens": 0, "model_id": "m"})"),
              HasSubstr("no request has finished in it"));
  EXPECT_FALSE(ToolOfResults("[1, 2]"));
  EXPECT_FALSE(ToolOfResults("metric,mean\n"));
}

}  // namespace
}  // namespace headrace::benchmark
