#include "profile/check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>

namespace headrace::profile {
namespace {

using Severity = ProfileFault::Severity;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr Seconds kNow = 1.8e9;

BucketMatrix Matrix(std::initializer_list<std::initializer_list<double>> rows) {
  BucketMatrix matrix(rows.size(), rows.begin()->size(), 0);
  std::size_t output = 0;
  for (const auto& row : rows) {
    std::size_t input = 0;
    for (const double value : row) matrix.at(output, input++) = value;
    ++output;
  }
  return matrix;
}

// 3 output × 2 input buckets, nothing to find.
GpuProfile Clean() {
  GpuProfile profile;
  profile.deployment = "a10";
  profile.cost = 1;
  profile.created = kNow - 3600;
  profile.outputs = BucketAxis({16, 64, 256});
  profile.inputs = BucketAxis({128, 1024});
  profile.tput = Matrix({{8, 4}, {4, 2}, {1, 0}});
  profile.e2e = Matrix({{0.5, 1}, {2, 2.5}, {4.5, 9}});
  profile.ttft = Matrix({{0.1, 0.3}, {0.1, 0.3}, {0.1, 0.3}});
  profile.tpot = Matrix({{0.02, 0.02}, {0.02, 0.02}, {0.02, 0.02}});
  profile.slo.e2e = 5;
  return profile;
}

// The only fault.
std::string Only(const GpuProfile& profile) {
  const auto faults = CheckProfile(profile, "a10.json", kNow);
  EXPECT_EQ(faults.size(), 1U);
  for (std::size_t i = 1; i < faults.size(); ++i) ADD_FAILURE() << faults[i].message;
  return faults.empty() ? "" : faults[0].message;
}

TEST(CheckProfile, FindsNothingInACleanProfile) {
  EXPECT_THAT(CheckProfile(Clean(), "a10.json", kNow), IsEmpty());
  EXPECT_THAT(CheckProfile(Clean(), "a10.json", std::nullopt), IsEmpty());
}

TEST(CheckProfile, ThroughputThatRisesWithLength) {
  GpuProfile profile = Clean();
  profile.tput = Matrix({{8, 4}, {4, 7}, {1, 0}});
  EXPECT_EQ(
      Only(profile),
      "a10.json: `tputs` rises with length in 2 places, most from 4 req/s at output 16, input "
      "1024 tokens to 7 req/s at output 64, input 1024 tokens; measure these cells again, "
      "with more requests or a finer grid of rates.");
}

TEST(CheckProfile, AShorterRequestUnservedWhereALongerOneIs) {
  GpuProfile profile = Clean();
  profile.tput = Matrix({{8, 4}, {0, 2}, {1, 0}});
  EXPECT_THAT(Only(profile), HasSubstr("`tputs` rises with length in 2 places, most from 0 req/s"));
}

TEST(CheckProfile, E2eThatFallsWithLength) {
  GpuProfile profile = Clean();
  profile.e2e->at(1, 0) = 0.1 + 0.2;
  EXPECT_THAT(Only(profile), HasSubstr("`e2e` falls with length in 1 place, from 500 ms at "
                                       "output 16, input 128 tokens to 300 ms at output 64"));
}

TEST(CheckProfile, SmallStepsTheWrongWayAreNoise) {
  GpuProfile profile = Clean();
  profile.tput = Matrix({{8, 8.5}, {8.5, 2}, {1, 0}});
  profile.e2e->at(1, 0) = 0.45;
  EXPECT_THAT(CheckProfile(profile, "a10.json", kNow), IsEmpty());
}

TEST(CheckProfile, HolesAreCountedWhereTheyMatter) {
  GpuProfile profile = Clean();
  profile.e2e->at(2, 1) = NAN;  // tput 0 there.
  EXPECT_THAT(CheckProfile(profile, "a10.json", kNow), IsEmpty());
  profile.e2e->at(0, 1) = NAN;
  EXPECT_EQ(Only(profile),
            "a10.json: `e2e` is unknown in 1 of 6 cells, first at output 16, input 1024 tokens; "
            "measure them.");
  profile = Clean();
  profile.tput.at(2, 0) = NAN;
  const auto faults = CheckProfile(profile, "a10.json", kNow);
  ASSERT_EQ(faults.size(), 2U);  // And no 256-token answer can be served at all.
  EXPECT_THAT(faults[0].message, HasSubstr("no request of about 256 output tokens"));
  EXPECT_THAT(faults[1].message, HasSubstr("`tputs` is unknown in 1 of 6 cells"));
}

TEST(CheckProfile, RowsAndColumnsOfZeros) {
  GpuProfile profile = Clean();
  profile.tput = Matrix({{8, 0}, {4, 0}, {1, 0}});
  EXPECT_THAT(Only(profile), HasSubstr("no request of about 1024 prompt tokens can be served"));
}

TEST(CheckProfile, NothingButZerosIsAWarning) {
  GpuProfile profile = Clean();
  profile.tput = BucketMatrix(3, 2, 0);
  EXPECT_THAT(Only(profile), HasSubstr("no cell of `tputs` is above 0"));
  EXPECT_EQ(CheckProfile(profile, "x", kNow)[0].severity, Severity::kWarning);
}

TEST(CheckProfile, LatenciesThatCannotBe) {
  GpuProfile profile = Clean();
  profile.ttft = BucketMatrix(3, 2, 17.5e-6);
  EXPECT_THAT(Only(profile), HasSubstr("`ttft` is too small to be true in 5 of 6 cells (17.5 µs"));
  profile = Clean();
  profile.ttft->at(0, 0) = 0.7;
  EXPECT_THAT(Only(profile), HasSubstr("`e2e` is below `ttft` in 1 of 6 cells"));
  profile = Clean();
  profile.e2e->at(2, 0) = 6;
  EXPECT_THAT(Only(profile), HasSubstr("misses the profile's own SLO of 5 s in 1 of 6 cells"));
  profile = Clean();
  profile.slo.e2e = 5000;
  profile.e2e = Matrix({{500, 1000}, {2000, 2500}, {4500, 9000}});
  EXPECT_THAT(Only(profile), HasSubstr("looks like milliseconds"));
}

TEST(CheckProfile, WhatKeepsAProfileFromRanking) {
  GpuProfile profile = Clean();
  profile.slo = {};
  EXPECT_THAT(Only(profile), HasSubstr("has no latency SLO"));
  profile = Clean();
  profile.e2e.reset();
  EXPECT_THAT(Only(profile), HasSubstr("has no `e2e`"));
  profile = Clean();
  profile.slo = {};
  profile.slo.ttft = 1;
  profile.ttft.reset();
  EXPECT_THAT(Only(profile), HasSubstr("has a TTFT SLO but no `ttft`"));
}

TEST(CheckProfile, AgeIsAskedOnlyWithAClock) {
  GpuProfile profile = Clean();
  profile.created = kNow - 200 * 86400.0;
  EXPECT_THAT(Only(profile), HasSubstr("is 200 days old"));
  EXPECT_THAT(CheckProfile(profile, "x", std::nullopt), IsEmpty());
  profile.created = kNow + 3 * 86400.0;
  EXPECT_THAT(Only(profile), HasSubstr("3 days in the future"));
}

TEST(AllFaults, SaysNothingTwice) {
  GpuProfile profile = Clean();
  profile.ttft = BucketMatrix(3, 2, 17.5e-6);
  const auto parsed = ParseGpuProfile(FormatGpuProfile(profile), "a10.json");
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->faults.size(), 1U);
  EXPECT_EQ(AllFaults(*parsed, "a10.json", kNow), parsed->faults);
}

}  // namespace
}  // namespace headrace::profile
