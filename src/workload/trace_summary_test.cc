#include "workload/trace_summary.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

#include "base/random.h"

namespace headrace::workload {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// `requests` of them, with gaps of this CV and a mean of 0.1 s.
RequestFile GammaFile(double cv, std::size_t requests) {
  Workload workload;
  workload.classes.push_back({.name = "a",
                              .arrivals = GammaArrivals{10, cv},
                              .lengths = DistributedLengths{FixedTokens{1}, FixedTokens{1}},
                              .slo = {},
                              .rate_changes = {}});
  WorkloadStream stream(workload, 1);
  RequestFile file{.format = "CSV", .rows = {}, .timed = true, .notes = {}};
  while (file.rows.size() < requests) file.rows.push_back({stream.Next()->at, {1, 1}});
  return file;
}

Workload Replay(Trace trace, double speed = 1, bool random_start = false) {
  Workload workload;
  workload.classes.push_back(
      {.name = "a",
       .arrivals =
           ReplayArrivals{std::make_shared<const Trace>(std::move(trace)), speed, random_start},
       .lengths = TraceLengths{},
       .slo = {},
       .rate_changes = {}});
  return workload;
}

TEST(TraceSummary, CountsLengthsByNearestRank) {
  RequestFile file{.format = "CSV", .rows = {}, .notes = {}};
  for (Tokens i = 1; i <= 100; ++i) file.rows.push_back({0, {i, 2 * i}});
  const TraceSummary summary = Summarize(file);
  EXPECT_EQ(summary.requests, 100);
  EXPECT_DOUBLE_EQ(summary.prompt.mean, 50.5);
  EXPECT_EQ(summary.prompt.p50, 50);
  EXPECT_EQ(summary.output.p99, 198);
  EXPECT_EQ(summary.output.most, 200);
  EXPECT_THAT(summary.prompt.doublings, ElementsAre(1, 2, 4, 8, 16, 32, 37));
  EXPECT_THAT(summary.rates, IsEmpty()) << "it has no times";
}

TEST(TraceSummary, TellsBurstsFromPoisson) {
  const TraceSummary poisson = Summarize(GammaFile(1, 20'000));
  EXPECT_NEAR(poisson.mean_rate, 10, 0.3);
  EXPECT_NEAR(poisson.gap_cv, 1, 0.05);
  ASSERT_EQ(poisson.bursts.size(), 3u) << "1 s, 10 s, 1 min; not ten times 10 min";
  for (const BurstSummary& bursts : poisson.bursts) {
    EXPECT_NEAR(bursts.dispersion, 1, 0.5) << bursts.window;
  }
  EXPECT_NEAR(*poisson.bursts[2].gap_cv, 1, 0.1);
  const TraceSummary bursty = Summarize(GammaFile(3, 20'000));
  EXPECT_NEAR(bursty.gap_cv, 3, 0.3);
  EXPECT_NEAR(bursty.bursts[1].dispersion, 9, 3) << "of a renewal process the gaps' CV squared";
  EXPECT_GT(bursty.bursts[0].peak_rate, poisson.bursts[0].peak_rate);
}

TEST(TraceSummary, TheRateOverTimeHoldsEveryRequest) {
  RequestFile file{.format = "CSV", .rows = {{10, {1, 1}}}, .timed = true, .notes = {}};
  for (int i = 0; i < 1199; ++i) file.rows.push_back({130, {1, 1}});
  const TraceSummary summary = Summarize(file);
  EXPECT_DOUBLE_EQ(summary.span, 120);
  EXPECT_DOUBLE_EQ(summary.rates.front(), 1);
  EXPECT_NEAR(summary.rates.back(), 1199, 1e-6);
}

TEST(TraceSummary, SaysWhatDoesNotFitIntoAContext) {
  const auto [prompts, outputs] =
      CountBeyond({{0, {100, 1}}, {0, {99, 1}}, {0, {50, 51}}, {0, {50, 50}}}, 100);
  EXPECT_EQ(prompts, 1);
  EXPECT_EQ(outputs, 1);
}

TEST(DescribeReplays, ATraceThatIsCutOrEndsEarlyIsSaid) {
  const Trace trace{{0, {1, 1}}, {30, {1, 1}}, {60, {1, 1}}};
  EXPECT_THAT(DescribeReplays(Replay(trace), 45),
              ElementsAre("class a: its trace lasts 60 s, the run 45 s: it has the first 2 of 3 "
                          "requests"));
  EXPECT_THAT(DescribeReplays(Replay(trace), 60), IsEmpty());
  EXPECT_THAT(DescribeReplays(Replay(trace, 2), 60),
              ElementsAre(HasSubstr("class a: its trace lasts 30 s at speed 2, the run 60 s, so "
                                    "nothing comes of it at the end; shorten the run")));
  EXPECT_THAT(DescribeReplays(Replay(trace), 60, 2), ElementsAre(HasSubstr("lasts 30 s")));
  EXPECT_THAT(DescribeReplays(Replay(trace, 1, true), 20),
              ElementsAre(HasSubstr("each run has 20 s of it, from a time that the seed draws")));
}

}  // namespace
}  // namespace headrace::workload
