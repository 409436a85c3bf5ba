#include "benchmark/grid_search.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "base/random.h"
#include "benchmark/benchmark_rows.h"
#include "benchmark/generate.h"

namespace headrace::benchmark {
namespace {

using ::testing::ElementsAre;

// A queue with a service time that grows with the lengths: M/M/1 in spirit, and without noise.
struct FakeGpu {
  double per_input = 1e-4;
  double per_output = 2e-3;
  double base = 5e-3;

  Measurement Measure(const GridPoint& point) const {
    const double service = base + per_input * point.input + per_output * point.output;
    const double load = point.rate * service;
    Measurement measured{.point = point};
    measured.sustained = load < 0.97;
    measured.tput = std::min(point.rate, 1 / service);
    measured.tt = measured.tput * point.output;
    const double wait = measured.sustained ? service / (1 - load) : 1e3;
    const Seconds e2e = wait + 10 * per_output * point.output;
    measured.e2e = {e2e, e2e, 1.5 * e2e, 1.8 * e2e, 2 * e2e};
    measured.ttft = {wait, wait, 1.5 * wait, 1.8 * wait, 2 * wait};
    const Seconds gap = point.output > 1 ? (e2e - wait) / (point.output - 1) : 0;
    measured.tpot = {gap, gap, gap, gap, gap};
    measured.samples = 100;
    return measured;
  }
};

GridPlan Plan() {
  GridPlan plan;
  plan.inputs = {16, 64, 256, 1024, 4096};
  plan.outputs = {4, 16, 64, 256, 1024};
  plan.rates = RateLadder(0.01, 200, 1.1);
  return plan;
}

struct Walked {
  std::vector<BenchmarkRow> rows;
  std::size_t measurements = 0;
  GeneratedProfile generated;
};

Walked Search(const GridPlan& plan, const FakeGpu& gpu) {
  Walked walked;
  const auto measure = [&](const GridPoint& point, const GridProgress&) -> Result<Measurement> {
    const Measurement measured = gpu.Measure(point);
    ++walked.measurements;
    for (auto& row : RowsOf(measured, 7, "m")) walked.rows.push_back(row);
    return measured;
  };
  EXPECT_TRUE(SearchGrid(plan, measure));
  GenerateOptions options;
  options.deployment = "d";
  options.slo = plan.slo;
  const auto generated = GenerateProfile(Benchmark{walked.rows, 0, 0}, options);
  EXPECT_TRUE(generated);
  walked.generated = *generated;
  return walked;
}

TEST(RateLadder, IsGeometricRoundedAndEndsInTime) {
  EXPECT_THAT(RateLadder(0.5, 4, 2), ElementsAre(0.5, 1, 2, 4));
  EXPECT_THAT(RateLadder(1, 1.2, 1.1), ElementsAre(1, 1.1));
  EXPECT_THAT(RateLadder(1, 1.0002, 1.00001), ElementsAre(1));
  EXPECT_TRUE(RateLadder(2, 1, 1.1).empty());
}

TEST(SearchGrid, FindsTheProfileOfTheFullGridWithAFractionOfItsMeasurements) {
  Rng rng(3);
  for (int round = 0; round < 60; ++round) {
    const FakeGpu gpu{.per_input = 1e-5 * std::exp(3 * rng.Uniform()),
                      .per_output = 2e-4 * std::exp(3 * rng.Uniform()),
                      .base = 1e-3 * std::exp(3 * rng.Uniform())};
    GridPlan plan = Plan();
    plan.slo.percentile = rng.Below(2) == 0 ? 99 : 0;
    if (rng.Below(2) == 0) plan.slo.tpat = 0.002 * std::exp(4 * rng.Uniform());
    if (rng.Below(4) == 0) plan.slo.ntpot = 0.005 * std::exp(4 * rng.Uniform());
    if (rng.Below(2) == 0) plan.slo.e2e = 0.1 * std::exp(5 * rng.Uniform());
    if (rng.Below(2) == 0) plan.slo.ttft = 0.01 * std::exp(5 * rng.Uniform());
    const Walked adaptive = Search(plan, gpu);
    plan.full = true;
    const Walked full = Search(plan, gpu);
    EXPECT_EQ(full.measurements, plan.inputs.size() * plan.outputs.size() * plan.rates.size());
    EXPECT_LE(adaptive.measurements, full.measurements / 4);

    std::map<std::pair<Tokens, Tokens>, double> searched;
    for (const CellReport& cell : adaptive.generated.cells) {
      searched[{cell.output_tokens, cell.input_tokens}] = cell.why_zero.empty() ? cell.rate : 0;
    }
    for (const CellReport& cell : full.generated.cells) {
      const double rate = searched[{cell.output_tokens, cell.input_tokens}];
      EXPECT_EQ(rate, cell.why_zero.empty() ? cell.rate : 0)
          << "round " << round << ", output " << cell.output_tokens << ", input "
          << cell.input_tokens;
    }
  }
}

TEST(SearchGrid, MeasuresNoPointTwiceAndTellsHowFarItIs) {
  std::set<GridPoint> seen;
  std::size_t cells_done = 0;
  GridPlan plan = Plan();
  plan.slo.e2e = 1;
  const auto measure = [&](const GridPoint& point,
                           const GridProgress& progress) -> Result<Measurement> {
    EXPECT_TRUE(seen.insert(point).second);
    EXPECT_GE(progress.cells_done, cells_done);
    EXPECT_LT(progress.cells_done, progress.cells);
    EXPECT_EQ(progress.cells, plan.inputs.size() * plan.outputs.size());
    cells_done = progress.cells_done;
    return FakeGpu().Measure(point);
  };
  EXPECT_TRUE(SearchGrid(plan, measure));
}

TEST(SearchGrid, PassesOverWhatDoesNotFitAndStopsAtAnError) {
  GridPlan plan = Plan();
  plan.fits = [](Tokens input, Tokens output) { return input + output <= 1100; };
  const Walked walked = Search(plan, FakeGpu());
  for (const BenchmarkRow& row : walked.rows) {
    EXPECT_LE(row.input_tokens + row.output_tokens, 1100);
  }
  int calls = 0;
  const auto measure = [&](const GridPoint&, const GridProgress&) -> Result<Measurement> {
    ++calls;
    return Fail("enough");
  };
  const auto stopped = SearchGrid(plan, measure);
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().message, "enough");
  EXPECT_EQ(calls, 1);
}

TEST(SearchGrid, ReachesBothEndsOfTheLadder) {
  GridPlan plan = Plan();
  plan.rates = RateLadder(0.01, 0.1, 1.5);
  EXPECT_EQ(Search(plan, FakeGpu()).generated.profile.tput.at(0, 0), plan.rates.back());
  plan.slo.e2e = 1e-6;
  const Walked none = Search(plan, FakeGpu());
  EXPECT_FALSE(profile::HasUsableCell(none.generated.profile));
  // The first cell decides all others.
  EXPECT_LE(none.measurements, plan.rates.size());
}

TEST(RowsOf, ARateThatIsNotSustainedIsKeptByNoGenerator) {
  Measurement measured{.point = {.input = 16, .output = 4, .rate = 1}};
  measured.tput = 0.96;  // Looks fine to the 0.9 rule.
  measured.e2e = {1, 1, 1, 1, 1};
  measured.ttft = measured.tpot = {0.1, 0.1, 0.1, 0.1, 0.1};
  measured.sustained = false;
  EXPECT_FALSE(IsKept(measured, {}));
  const auto rows = RowsOf(measured, 0, "m");
  EXPECT_EQ(rows.size(), 4U);
  GenerateOptions options;
  options.deployment = "d";
  const auto generated = GenerateProfile(Benchmark{rows, 0, 0}, options);
  ASSERT_TRUE(generated);
  EXPECT_EQ(generated->profile.tput.at(0, 0), 0);
  EXPECT_EQ(generated->profile.e2e->at(0, 0), 1);
}

TEST(IsKept, BoundsTheChosenStatisticStrictly) {
  Measurement measured{.point = {.input = 6, .output = 4, .rate = 1}};
  measured.tput = 1;
  measured.e2e = {1, 0.9, 2, 3, 4};
  measured.ttft = {0.5, 0.4, 1, 1.5, 2};
  measured.tpot = {0.05, 0.04, 0.1, 0.15, 0.2};
  EXPECT_TRUE(IsKept(measured, {.percentile = 99, .e2e = 4.01, .tput = 5}));
  EXPECT_FALSE(IsKept(measured, {.percentile = 99, .e2e = 4}));
  EXPECT_TRUE(IsKept(measured, {.percentile = 0, .tpat = 0.101}));
  EXPECT_FALSE(IsKept(measured, {.percentile = 0, .tpat = 0.1}));
  EXPECT_TRUE(IsKept(measured, {.percentile = 0, .ntpot = 0.251}));
  EXPECT_FALSE(IsKept(measured, {.percentile = 0, .ntpot = 0.25}));
  EXPECT_FALSE(IsKept(measured, {.percentile = 50, .ttft = 0.4}));
  EXPECT_FALSE(IsKept(measured, {.percentile = 90, .tpot = 0.1}));
  measured.tput = 0.89;
  EXPECT_FALSE(IsKept(measured, {}));
}

}  // namespace
}  // namespace headrace::benchmark
