#include "benchmark/generate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <array>
#include <cmath>
#include <string>

namespace headrace::benchmark {
namespace {

using ::testing::HasSubstr;

// Plain files too.
std::string ReadGzip(const std::string& path) {
  std::string text;
  gzFile file = gzopen(path.c_str(), "rb");
  EXPECT_NE(file, nullptr) << path;
  if (!file) return text;
  std::array<char, 65536> buffer{};
  for (int count = 0; (count = gzread(file, buffer.data(), buffer.size())) > 0;) {
    text.append(buffer.data(), count);
  }
  gzclose(file);
  return text;
}

slo::Slo E2eSlo(int percentile, Seconds e2e) {
  slo::Slo slo;
  slo.percentile = percentile;
  slo.e2e = e2e;
  return slo;
}

GenerateOptions Options(const slo::Slo& slo) { return {"a10", 1, slo, 1}; }

// Builds a benchmark row by row.
class Measurements {
 public:
  Measurements& Add(Tokens output, Tokens input, double rate, Metric metric, double mean,
                    double p99 = NAN) {
    BenchmarkRow row;
    row.output_tokens = output;
    row.input_tokens = input;
    row.request_rate = rate;
    row.samples = static_cast<std::int64_t>(100 * rate);
    row.metric = metric;
    row.value.mean = mean;
    row.value.p99 = std::isnan(p99) ? mean * 2 : p99;
    benchmark_.rows.push_back(row);
    return *this;
  }
  // All five metrics of one rate.
  Measurements& AddRate(Tokens output, Tokens input, double rate, double tput, Seconds e2e) {
    return Add(output, input, rate, Metric::kTput, tput)
        .Add(output, input, rate, Metric::kTt, tput * output)
        .Add(output, input, rate, Metric::kE2e, e2e)
        .Add(output, input, rate, Metric::kTtft, e2e / 10)
        .Add(output, input, rate, Metric::kTpot, e2e / output);
  }

  GeneratedProfile Generate(const slo::Slo& slo) const {
    auto generated = GenerateProfile(benchmark_, Options(slo));
    EXPECT_TRUE(generated) << generated.error().message;
    return generated ? *generated : GeneratedProfile{};
  }
  const Benchmark& benchmark() const { return benchmark_; }

 private:
  Benchmark benchmark_;
};

void ExpectNear(const profile::BucketMatrix& actual, const profile::BucketMatrix& expected) {
  ASSERT_EQ(actual.outputs(), expected.outputs());
  ASSERT_EQ(actual.inputs(), expected.inputs());
  for (std::size_t output = 0; output < expected.outputs(); ++output) {
    for (std::size_t input = 0; input < expected.inputs(); ++input) {
      EXPECT_NEAR(actual.at(output, input), expected.at(output, input), 1e-9);
    }
  }
}

TEST(GenerateProfile, ReproducesAibrixsProfileFromItsBenchmark) {
  const std::string folder = "tests/data/profiles/aibrix-simulator-llama2-7b-a100";
  const auto benchmark =
      ParseBenchmark(ReadGzip(folder + ".benchmark.jsonl.gz"), folder + ".benchmark.jsonl.gz");
  ASSERT_TRUE(benchmark) << benchmark.error().message;
  const auto expected = profile::ParseGpuProfile(ReadGzip(folder + ".json"), folder + ".json");
  ASSERT_TRUE(expected) << expected.error().message;

  const auto generated = GenerateProfile(
      *benchmark, {"simulator-llama2-7b-a100", 1, E2eSlo(99, 5), expected->profile.created});
  ASSERT_TRUE(generated) << generated.error().message;
  // Through the file, as users have it.
  const auto written =
      profile::ParseGpuProfile(profile::FormatGpuProfile(generated->profile), "written");
  ASSERT_TRUE(written) << written.error().message;
  for (const profile::GpuProfile* profile : {&generated->profile, &written->profile}) {
    EXPECT_EQ(profile->deployment, expected->profile.deployment);
    EXPECT_EQ(profile->cost, expected->profile.cost);
    EXPECT_EQ(profile->created, expected->profile.created);
    EXPECT_EQ(profile->outputs, expected->profile.outputs);
    EXPECT_EQ(profile->inputs, expected->profile.inputs);
    EXPECT_EQ(profile->slo, expected->profile.slo);
    ExpectNear(profile->tput, expected->profile.tput);
    ExpectNear(*profile->e2e, *expected->profile.e2e);
    EXPECT_TRUE(profile->tpot && profile->ttft);
  }
  for (const CellReport& cell : generated->cells) {
    EXPECT_EQ(cell.rates_measured, 7U);
    EXPECT_EQ(cell.why_zero.empty(), cell.rates_kept > 0);
    if (cell.output_tokens == 512 && cell.input_tokens == 128) {
      EXPECT_THAT(cell.why_zero, HasSubstr("the best E2E P99 is"));
      EXPECT_THAT(cell.why_zero, HasSubstr("the SLO 5 s"));
    }
  }
}

TEST(GenerateProfile, TakesTheHighestSustainedRateOfThoseThatMeetTheSlo) {
  const auto [profile, cells] = Measurements()
                                    .AddRate(64, 128, 4, 3.8, 1)  // Sustained.
                                    .AddRate(64, 128, 1, 0.99, 0.5)
                                    .AddRate(64, 128, 8, 6, 2)      // Backlog grows.
                                    .AddRate(64, 128, 16, 15.9, 9)  // Misses the SLO.
                                    .Generate(E2eSlo(0, 5));
  EXPECT_EQ(profile.tput.at(0, 0), 3.8);
  EXPECT_EQ(profile.e2e->at(0, 0), 1);
  EXPECT_EQ(profile.ttft->at(0, 0), 0.1);
  EXPECT_EQ(profile.tpot->at(0, 0), 1.0 / 64);
  EXPECT_EQ(profile.detail.rates->at(0, 0), 4);
  EXPECT_EQ(profile.detail.samples->at(0, 0), 400);
  EXPECT_EQ(profile.detail.e2e_p99->at(0, 0), 2);
  EXPECT_FALSE(profile.detail.e2e_p50);
  EXPECT_EQ(cells[0].rates_measured, 4U);
  EXPECT_EQ(cells[0].rates_kept, 3U);
  EXPECT_EQ(cells[0].rate, 4);
  EXPECT_EQ(cells[0].why_zero, "");
  EXPECT_FALSE(cells[0].unbounded);
}

TEST(GenerateProfile, TakesTheLowestKeptRateWhenNoneIsSustained) {
  const auto [profile, cells] =
      Measurements().AddRate(64, 128, 8, 3, 2).AddRate(64, 128, 4, 2.5, 1).Generate(E2eSlo(0, 5));
  EXPECT_EQ(profile.tput.at(0, 0), 2.5);
  EXPECT_EQ(profile.e2e->at(0, 0), 1);
}

TEST(GenerateProfile, SaysThatTheRowsAreOfAnotherDeploymentOrSlo) {
  Benchmark benchmark = Measurements().AddRate(64, 128, 4, 3.8, 1).benchmark();
  for (BenchmarkRow& row : benchmark.rows) {
    row.deployment = "d1";
    row.slo = "e2e 5 s (P99)";
  }
  const auto generated = GenerateProfile(benchmark, Options(E2eSlo(0, 5)));
  ASSERT_TRUE(generated);
  const std::string said = DescribeGeneration(benchmark, *generated);
  EXPECT_THAT(said, testing::HasSubstr(
                        "The rows are of the deployment \"d1\", and the profile is for \"a10\"."));
  EXPECT_THAT(said, testing::HasSubstr("The rates were searched for the SLO e2e 5 s (P99); with "
                                       "e2e 5 s (mean) a better one"));
}

TEST(GenerateProfile, TellsIfTheHighestMeasuredRateStillMetTheSlo) {
  const auto [profile, cells] =
      Measurements().AddRate(64, 128, 1, 1, 1).AddRate(64, 128, 2, 2, 1).Generate({});
  EXPECT_EQ(profile.tput.at(0, 0), 2);
  EXPECT_TRUE(cells[0].unbounded);
}

TEST(GenerateProfile, ACellThatMissesTheSloIsZeroWithTheFirstRowsLatencyAndAReason) {
  const auto [profile, cells] = Measurements()
                                    .AddRate(64, 128, 2, 2, 7)
                                    .AddRate(64, 128, 1, 1, 6)
                                    .AddRate(4, 128, 1, 1, 0.5)
                                    .Generate(E2eSlo(99, 5));
  EXPECT_EQ(profile.tput.at(1, 0), 0);
  EXPECT_EQ(profile.e2e->at(1, 0), 7);
  EXPECT_EQ(profile.detail.rates->at(1, 0), 2);
  EXPECT_EQ(cells[1].rates_kept, 0U);
  EXPECT_EQ(cells[1].why_zero, "the best E2E P99 is 12 s (at 1 req/s), the SLO 5 s");
  EXPECT_EQ(profile.tput.at(0, 0), 1);
}

TEST(GenerateProfile, TargetsAreStrictForLatencyAndInclusiveForThroughput) {
  slo::Slo slo = E2eSlo(0, 2);
  const Measurements measured = Measurements().AddRate(64, 128, 1, 1, 2);
  EXPECT_EQ(measured.Generate(slo).profile.tput.at(0, 0), 0);
  slo.e2e = 2.001;
  slo.tput = 1;
  slo.tt = 64;
  EXPECT_EQ(measured.Generate(slo).profile.tput.at(0, 0), 1);
  slo.tt = 64.001;
  EXPECT_EQ(measured.Generate(slo).cells[0].why_zero,
            "the best TT mean is 64 tokens/s (at 1 req/s), the SLO 64 tokens/s");
}

TEST(GenerateProfile, EveryLatencySloBoundsItsOwnStatistic) {
  const Measurements measured = Measurements().AddRate(64, 128, 1, 1, 1.92);
  const struct {
    std::optional<Seconds> slo::Slo::* slo;
    Seconds mean;
  } cases[] = {{&slo::Slo::e2e, 1.92},
               {&slo::Slo::ttft, 0.192},
               {&slo::Slo::tpot, 0.03},
               {&slo::Slo::tpat, 0.01},
               {&slo::Slo::ntpot, 0.03}};
  for (const auto& [member, mean] : cases) {
    for (const int percentile : {0, 99}) {
      slo::Slo slo;
      slo.percentile = percentile;
      const Seconds value = percentile == 0 ? mean : 2 * mean;
      slo.*member = value * 1.01;
      EXPECT_EQ(measured.Generate(slo).profile.tput.at(0, 0), 1);
      slo.*member = value * 0.99;
      EXPECT_EQ(measured.Generate(slo).profile.tput.at(0, 0), 0);
    }
  }
}

TEST(GenerateProfile, AMetricWithoutRowsGivesZeroWithAReason) {
  const auto [profile, cells] = Measurements()
                                    .Add(64, 128, 1, Metric::kTput, 1)
                                    .Add(64, 128, 1, Metric::kTt, 64)
                                    .Add(64, 128, 1, Metric::kE2e, 1)
                                    .Add(64, 128, 1, Metric::kTtft, 1)
                                    .Generate(E2eSlo(0, 5));
  EXPECT_EQ(profile.tput.at(0, 0), 0);
  EXPECT_EQ(profile.e2e->at(0, 0), 1);
  EXPECT_FALSE(profile.tpot);
  EXPECT_EQ(cells[0].why_zero, "there is no TPOT mean at the rates that passed so far");
}

TEST(GenerateProfile, AnUnmeasuredCellIsZeroAndAHole) {
  const auto [profile, cells] =
      Measurements().AddRate(64, 128, 1, 1, 1).AddRate(256, 512, 1, 1, 1).Generate(E2eSlo(0, 5));
  EXPECT_EQ(profile.tput.at(0, 1), 0);
  EXPECT_TRUE(std::isnan(profile.e2e->at(0, 1)));
  EXPECT_EQ(cells[1].why_zero, "nothing was measured");
  EXPECT_EQ(cells[1].input_tokens, 512);
}

TEST(GenerateProfile, P95IsInTheProfileWhereTheSloIsOfIt) {
  std::string rows;
  for (const std::string_view metric : {"TPUT", "TT", "E2E", "TTFT", "TPOT"}) {
    rows += R"({"input_tokens": 8, "output_tokens": 4, "request_rate": 1, "metric": ")" +
            std::string(metric) + R"(", "mean": 1, "P50": 1, "P90": 2, "P95": 3, "P99": 9})" + "\n";
  }
  const Benchmark benchmark = *ParseBenchmark(rows, "b");
  const auto usable = [&benchmark](int percentile, Seconds e2e) {
    const auto generated = GenerateProfile(benchmark, Options(E2eSlo(percentile, e2e)));
    EXPECT_EQ(generated->profile.detail.e2e_p95.has_value(), percentile == 95);
    return profile::HasUsableCell(generated->profile);
  };
  EXPECT_TRUE(usable(95, 3.1));
  EXPECT_FALSE(usable(95, 2.9));
  EXPECT_TRUE(usable(90, 2.1));
  EXPECT_FALSE(usable(99, 3.1));
}

TEST(GenerateProfile, APercentileThatIsNotMeasuredPassesNothing) {
  slo::Slo slo;
  slo.percentile = 50;
  const auto [profile, cells] = Measurements().AddRate(64, 128, 1, 1, 1).Generate(slo);
  EXPECT_EQ(profile.tput.at(0, 0), 0);
  EXPECT_THAT(cells[0].why_zero, HasSubstr("no E2E P50"));
  EXPECT_FALSE(profile::HasUsableCell(profile));
}

TEST(GenerateProfile, RefusesInvalidOptions) {
  const Measurements measured = Measurements().AddRate(64, 128, 1, 1, 1);
  EXPECT_FALSE(GenerateProfile({}, Options({})));
  EXPECT_FALSE(GenerateProfile(measured.benchmark(), Options(E2eSlo(75, 5))));
  EXPECT_FALSE(GenerateProfile(measured.benchmark(), {"", 1, {}, 1}));
  EXPECT_FALSE(GenerateProfile(measured.benchmark(), {"a10", NAN, {}, 1}));
}

}  // namespace
}  // namespace headrace::benchmark
