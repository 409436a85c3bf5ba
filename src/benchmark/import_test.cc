#include "benchmark/import.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "benchmark/generate.h"

namespace headrace::benchmark {
namespace {

using ::testing::HasSubstr;

constexpr const char* kHeader =
    "model,isl,osl,prefix,concurrency,request_rate,bs,ttft,tpot,request_latency,seq/s,seq/s/gpu,"
    "num_total_gpus,tp,pp,dp,parallel,backend\n";

std::string Row(const std::string& concurrency, const std::string& latency, const std::string& rate,
                const std::string& parallel = "tp1pp1dp1") {
  return "m,512,128,0," + concurrency + "," + rate + ",1,57,11.5," + latency + "," + rate + "," +
         rate + ",1,1,1,1," + parallel + ",vllm\n";
}

TEST(ImportAiConfigurator, MakesABenchmarkThatGivesAProfile) {
  const auto rows = ImportAiConfigurator(
      kHeader + Row("8", "1000", "8") + "\n" + Row("64", "2000", "32") + Row("256", "9000", "28.4"),
      "pareto.csv", "");
  ASSERT_TRUE(rows) << rows.error().message;
  EXPECT_EQ(rows->rows.size(), 15U);
  GenerateOptions options;
  options.deployment = "h200";
  options.slo.e2e = 3;
  const auto generated = GenerateProfile(Benchmark{.rows = rows->rows}, options);
  ASSERT_TRUE(generated);
  const profile::GpuProfile& profile = generated->profile;
  EXPECT_EQ(profile.inputs.centres()[0], 512);
  EXPECT_EQ(profile.outputs.centres()[0], 128);
  EXPECT_EQ(profile.tput.at(0, 0), 32);
  EXPECT_EQ(profile.e2e->at(0, 0), 2);
  EXPECT_DOUBLE_EQ(profile.ttft->at(0, 0), 0.057);
  EXPECT_DOUBLE_EQ(profile.tpot->at(0, 0), 0.0115);
}

TEST(ImportAiConfigurator, ReadsQuotedCells) {
  const auto rows = ImportAiConfigurator(
      "isl,osl,seq/s,request_latency,ttft,tpot,parallel,model\n"
      "512,128,8,1000,57,11.5,tp1pp1dp1,\"m, \"\"instruct\"\"\"\n",
      "f.csv", "");
  ASSERT_TRUE(rows) << rows.error().message;
  EXPECT_EQ(rows->rows.front().model, "m, \"instruct\"");
}

TEST(ImportAiConfigurator, AProfileIsOfOneConfiguration) {
  const std::string csv = kHeader + Row("8", "1000", "8") + Row("8", "700", "11", "tp2pp1dp1");
  EXPECT_THAT(ImportAiConfigurator(csv, "f.csv", "").error().message,
              HasSubstr("tp1pp1dp1, tp2pp1dp1; choose one with --parallel"));
  EXPECT_THAT(ImportAiConfigurator(csv, "f.csv", "tp4").error().message, HasSubstr("choose one"));
  const auto rows = ImportAiConfigurator(csv, "f.csv", "tp2pp1dp1");
  ASSERT_TRUE(rows);
  EXPECT_EQ(rows->rows.front().request_rate, 11);
}

TEST(ImportAiConfigurator, ALastLineThatBreaksOffIsLeftOutAndSaid) {
  const auto imported =
      ImportAiConfigurator(kHeader + Row("8", "1000", "8") + "m,512,128,0,8", "f.csv", "");
  ASSERT_TRUE(imported) << imported.error().message;
  EXPECT_EQ(imported->rows.size(), 5U);
  EXPECT_THAT(imported->notes,
              testing::ElementsAre("f.csv:3: the last line breaks off and is left out"));
}

TEST(ImportAiConfigurator, NamesWhatIsWrong) {
  EXPECT_THAT(ImportAiConfigurator("", "f.csv", "").error().message, HasSubstr("no line"));
  EXPECT_THAT(ImportAiConfigurator("isl,osl\n", "f.csv", "").error().message,
              HasSubstr("no column `seq/s`"));
  EXPECT_THAT(ImportAiConfigurator("isl,(p)parallel\n", "f.csv", "").error().message,
              HasSubstr("disaggregated"));
  EXPECT_THAT(ImportAiConfigurator(kHeader + Row("8", "x", "8"), "f.csv", "").error().message,
              HasSubstr("f.csv:2: `request_latency`"));
}

constexpr const char* kMelange =
    R"({"gpu_info": {"A100-80GB": {"cost": 3.67, "tputs": [[20, 2, 1], [50, 20, 0]]}},
        "workload_distribution": [[1]], "total_request_rate": 1.0, "slice_factor": 1})";

TEST(ImportMelange, TransposesItsTable) {
  const auto profile = ImportMelange(kMelange, "f.json", "A100-80GB", {25, 100}, {25, 100, 400});
  ASSERT_TRUE(profile) << profile.error().message;
  EXPECT_EQ(profile->cost, 3.67);
  EXPECT_EQ(profile->tput.at(1, 0), 2);
  EXPECT_EQ(profile->tput.at(0, 1), 50);
  EXPECT_EQ(profile->tput.at(2, 1), 0);
  // What is written can be read.
  EXPECT_TRUE(profile::ParseGpuProfile(profile::FormatGpuProfile(*profile), "written"));
}

TEST(ImportMelange, NamesWhatIsWrong) {
  EXPECT_THAT(ImportMelange("{}", "f", "A", {1}, {1}).error().message, HasSubstr("gpu_info"));
  EXPECT_THAT(ImportMelange(kMelange, "f", "A10", {1}, {1}).error().message,
              HasSubstr("no GPU A10, but A100-80GB"));
  EXPECT_THAT(ImportMelange(kMelange, "f", "A100-80GB", {1, 2}, {1, 2}).error().message,
              HasSubstr("2 rows, one per input, of 2 numbers"));
}

}  // namespace
}  // namespace headrace::benchmark
