#include "profile/gpu_profile.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "base/random.h"

namespace headrace::profile {
namespace {

using Severity = ProfileFault::Severity;
using ::testing::AllOf;
using ::testing::HasSubstr;

// A clean profile with 2 output and 3 input buckets; `extra` is appended to the object.
std::string Json(const std::string& tputs = "[[8, 4, 2], [4, 2, 1]]",
                 const std::string& extra = "") {
  return R"({"gpu": "a10", "cost": 1.5, "tputs": )" + tputs +
         R"(, "indexes": [[64, 256], [128, 512, 2048]], "created": 1748888478.258241)" + extra +
         "}";
}

const std::string kE2e = R"(, "e2e": [[1, 1.5, 2], [3, 3.5, 4]])";

std::string ErrorOf(std::string_view json) {
  const auto parsed = ParseGpuProfile(json, "a10.json");
  return parsed ? "parsed" : parsed.error().message;
}

ParsedProfile Parse(std::string_view json) {
  auto parsed = ParseGpuProfile(json, "a10.json");
  EXPECT_TRUE(parsed) << parsed.error().message;
  return parsed ? *parsed : ParsedProfile{};
}

TEST(GpuProfile, ReadsEveryKey) {
  const auto [profile, faults] =
      Parse(Json("[[8, 4, 2], [4, 2, 1]]", kE2e + R"(, "ttft": [[0.1, 0.2, 0.3], [0.1, 0.2, 0.3]],
                      "tpot": [[0.02, 0.02, 0.02], [0.03, 0.03, 0.03]],
                      "slos": {"percentile": 99, "tput": 1, "tt": 2, "e2e": 5, "ttft": 3,
                               "tpat": 0.05, "ntpot": 0.1, "tpot": 0.04},
                      "e2e_p99": [[1, 2, 3], [4, 5, 6]], "samples": [[100, 100, 9], [1, 2, 3]])"));
  EXPECT_THAT(faults, ::testing::IsEmpty());
  EXPECT_EQ(profile.deployment, "a10");
  EXPECT_EQ(profile.cost, 1.5);
  EXPECT_EQ(profile.created, 1748888478.258241);
  EXPECT_THAT(profile.outputs.centres(), ::testing::ElementsAre(64, 256));
  EXPECT_THAT(profile.inputs.centres(), ::testing::ElementsAre(128, 512, 2048));
  EXPECT_EQ(profile.tput.at(0, 2), 2);
  EXPECT_EQ(profile.tput.at(1, 0), 4);
  EXPECT_EQ(profile.e2e->at(1, 2), 4);
  EXPECT_EQ(profile.ttft->at(0, 1), 0.2);
  EXPECT_EQ(profile.tpot->at(1, 1), 0.03);
  EXPECT_EQ(profile.slo, (slo::Slo{.percentile = 99,
                                   .ttft = 3,
                                   .tpot = 0.04,
                                   .tpat = 0.05,
                                   .ntpot = 0.1,
                                   .e2e = 5,
                                   .tput = 1,
                                   .tt = 2}));
  EXPECT_EQ(profile.detail.e2e_p99->at(1, 2), 6);
  EXPECT_EQ(profile.detail.samples->at(0, 2), 9);
  EXPECT_FALSE(profile.detail.rates);
}

TEST(GpuProfile, AnOlderGenerationHasNoLatencyAndNoSlo) {
  const auto [profile, faults] = Parse(Json());
  EXPECT_THAT(faults, ::testing::IsEmpty());
  EXPECT_FALSE(profile.e2e || profile.ttft || profile.tpot);
  EXPECT_FALSE(profile.slo.HasLatency());
}

TEST(GpuProfile, CellsThatAreNoMeasurementBecomeHolesAndNamedFaults) {
  const auto [profile, faults] = Parse(
      Json("[[NaN, 4, Infinity], [-1, 2, null]]", kE2e + R"(, "note": "NaN, \"Infinity\" stay")"));
  EXPECT_TRUE(std::isnan(profile.tput.at(0, 0)));
  EXPECT_TRUE(std::isnan(profile.tput.at(0, 2)));
  EXPECT_TRUE(std::isnan(profile.tput.at(1, 0)));
  EXPECT_TRUE(std::isnan(profile.tput.at(1, 2)));
  EXPECT_EQ(profile.tput.at(1, 1), 2);
  ASSERT_EQ(faults.size(), 4U);
  EXPECT_EQ(faults[0].severity, Severity::kError);
  EXPECT_EQ(faults[1].cell, (ProfileCell{0, 2}));
  EXPECT_EQ(faults[1].message,
            "a10.json: `tputs` at output 64, input 2048 tokens is inf, so the cell is unknown; "
            "measure it again.");
  EXPECT_THAT(faults[2].message, HasSubstr("output 256, input 128 tokens is -1"));
}

TEST(GpuProfile, AMatrixOfHolesIsReportedInFewWords) {
  std::string row = "[NaN";
  for (int i = 1; i < 200; ++i) row += ", NaN";
  std::string inputs = "[1";
  for (int i = 2; i <= 200; ++i) inputs += ", " + std::to_string(i);
  const auto [profile, faults] =
      Parse(R"({"gpu": "x", "cost": 1, "created": 1, "tputs": [)" + row + "], [1" + row.substr(4) +
            "]], \"indexes\": [[1, 2], " + inputs + "]]}");
  EXPECT_LT(faults.size(), 20U);
  EXPECT_THAT(faults.back().message, HasSubstr("391 more such cells"));
}

TEST(GpuProfile, AnImpossibleE2eIsAHoleWhereTheCellIsUsable) {
  const auto [profile, faults] =
      Parse(Json("[[8, 4, 2], [4, 2, 0]]", R"(, "e2e": [[1, 0, 2], [3, 3.5, 0]])"));
  EXPECT_TRUE(std::isnan(profile.e2e->at(0, 1)));
  EXPECT_EQ(profile.e2e->at(1, 2), 0);  // tput 0: nobody divides by it.
  ASSERT_EQ(faults.size(), 1U);
  EXPECT_THAT(faults[0].message, HasSubstr("`e2e` at output 64, input 512 tokens is 0 s"));
}

TEST(GpuProfile, AHoleWhereNothingIsRoutedIsOnlyAWarning) {
  const auto [profile, faults] =
      Parse(Json("[[8, 4, 2], [4, 2, 0]]", R"(, "e2e": [[1, 1, 2], [3, NaN, null]])"));
  ASSERT_EQ(faults.size(), 2U);
  EXPECT_EQ(faults[0].severity, Severity::kError);
  EXPECT_EQ(faults[1].severity, Severity::kWarning);
  EXPECT_THAT(faults[1].message, HasSubstr("no request is routed there"));
}

TEST(GpuProfile, ABrokenOptionalPartDoesNotLoseTheProfile) {
  const struct {
    std::string extra, says;
  } cases[] = {
      {R"(, "e2e": [[1, 2], [3, 4]])",
       "`e2e` has 2 numbers in row 1, but `indexes` asks for 2 rows"},
      {R"(, "ttft": [[1, 2, 3]])", "`ttft` has 1 rows"},
      {R"(, "tpot": "fast")", "`tpot` is not a list"},
      {R"(, "tpot": [[1, 2, 3], 4])", "`tpot` has a row 2 that is no list"},
      {R"(, "e2e": [[1, "2", 3], [3, 4, 5]])",
       "`e2e` has a cell in row 1, column 2 that is no number"},
      {R"(, "slos": [5])", "`slos` is not an object"},
      {R"(, "slos": {"percentile": 75})", "`slos.percentile` must be 0"},
      {R"(, "slos": {"e2e": -5})", "`slos.e2e` is no number above 0"},
      {R"(, "slos": {"e2e": NaN})", "`slos.e2e` is no number above 0"},
      {R"(, "rates": 5)", "`rates` is not a list"},
  };
  for (const auto& [extra, says] : cases) {
    const auto [profile, faults] = Parse(Json("[[8, 4, 2], [4, 2, 1]]", extra));
    ASSERT_EQ(faults.size(), 1U) << extra;
    EXPECT_EQ(faults[0].severity, Severity::kError) << extra;
    EXPECT_THAT(faults[0].message, AllOf(HasSubstr("a10.json: "), HasSubstr(says)));
    EXPECT_FALSE(profile.e2e || profile.ttft || profile.tpot || profile.slo.e2e);
    EXPECT_EQ(profile.tput.at(0, 0), 8);
  }
}

TEST(GpuProfile, AnSloOfZeroOrInfinityIsNotSet) {
  const auto [profile, faults] =
      Parse(Json("[[8, 4, 2], [4, 2, 1]]", R"(, "slos": {"e2e": Infinity, "ttft": 0, "tput": 0})"));
  EXPECT_THAT(faults, ::testing::IsEmpty());
  EXPECT_EQ(profile.slo, slo::Slo{});
}

TEST(GpuProfile, CostAndCreatedMayBeMissing) {
  const auto [profile, faults] =
      Parse(R"({"gpu": "x", "tputs": [[1]], "indexes": [[1], [1]], "created": "today"})");
  ASSERT_EQ(faults.size(), 2U);
  EXPECT_THAT(faults[0].message, HasSubstr("has no `cost`"));
  EXPECT_THAT(faults[1].message, HasSubstr("`created` is no number"));
  EXPECT_EQ(faults[0].severity, Severity::kWarning);
}

TEST(GpuProfile, LatenciesTooSmallToBeTrueAreWarnedOfOncePerMatrix) {
  const auto [profile, faults] =
      Parse(Json("[[8, 4, 2], [4, 2, 0]]", R"(, "ttft": [[1.75e-5, 2e-5, 0], [0.2, 0.2, 0]])"));
  ASSERT_EQ(faults.size(), 1U);
  EXPECT_EQ(faults[0].severity, Severity::kWarning);
  EXPECT_THAT(faults[0].message,
              HasSubstr("`ttft` is too small to be true in 3 of 6 cells (17.5 µs at output 64, "
                        "input 128 tokens)"));
  EXPECT_EQ(profile.ttft->at(0, 0), 1.75e-5);
}

// It says that its SLO is met nowhere; whether it may be used is not for the reader to say.
TEST(GpuProfile, MayHaveNoUsableCell) {
  const auto [profile, faults] = Parse(Json("[[0, 0, 0], [0, 0, 0]]"));
  EXPECT_THAT(faults, ::testing::IsEmpty());
  EXPECT_FALSE(HasUsableCell(profile));
}

TEST(GpuProfile, RefusesWithASentence) {
  const struct {
    std::string json, says;
  } cases[] = {
      {"", "a10.json: is empty"},
      {" \n", "a10.json: is empty"},
      {"{\"gpu\": \"x\",\n \"cost\": NaN,\n oops}", "a10.json: line 3, column 2: not JSON"},
      {Json().substr(0, 60), "line 1, column 61: the JSON ends in the middle (truncated?)"},
      {"{\"cost\": NaNs}", "not JSON"},
      {"{\"cost\": 1e999}", "too large for a double"},
      {"[]", "is not a JSON object"},
      {R"({"tputs": [[1]], "indexes": [[1], [1]]})", "no text under `gpu`"},
      {R"({"gpu": "x", "tputs": [[1]]})", "`indexes` must be [[output tokens], [input tokens]]"},
      {R"({"gpu": "x", "indexes": [[1], [1]]})", "has no `tputs`"},
      {R"({"gpu": "x", "tputs": [[1]], "indexes": [[1], []]})", "the input tokens, must be a list"},
      {R"({"gpu": "x", "tputs": [[1]], "indexes": [[0.5], [1]]})", "entry 1 is not"},
      {R"({"gpu": "x", "tputs": [[1]], "indexes": [[NaN], [1]]})", "entry 1 is not"},
      {R"({"gpu": "x", "tputs": [[1]], "indexes": [[8, 4], [1]]})", "must ascend, but 4 follows 8"},
      {R"({"gpu": "x", "tputs": [[1]], "indexes": [[4], [1, 2]]})",
       "`tputs` has 1 numbers in row 1"},
  };
  for (const auto& [json, says] : cases) {
    EXPECT_THAT(ErrorOf(json), AllOf(HasSubstr("a10.json: "), HasSubstr(says)));
  }
}

TEST(GpuProfile, TruncationAnywhereIsAnErrorOrTheSameProfile) {
  const std::string json = FormatGpuProfile(Parse(Json("[[8, 4, 2], [4, NaN, 1]]", kE2e)).profile);
  for (std::size_t length = 0; length + 2 < json.size(); ++length) {
    EXPECT_THAT(ErrorOf(json.substr(0, length)), HasSubstr("a10.json: "));
  }
}

TEST(GpuProfile, DamagedTextNeverCrashes) {
  Rng rng(7);
  const std::string json = Json("[[NaN, 4, 2], [4, -Infinity, 1]]", kE2e);
  for (int round = 0; round < 3000; ++round) {
    std::string damaged = json;
    for (int i = 0; i < 3; ++i) {
      damaged[rng.Below(damaged.size())] = static_cast<char>(rng.Below(256));
    }
    const auto parsed = ParseGpuProfile(damaged, "x");
    if (parsed) {
      EXPECT_EQ(parsed->profile.tput.outputs(), parsed->profile.outputs.size());
    }
  }
}

TEST(GpuProfile, FormatIsTheInverse) {
  const std::string json =
      Json("[[8.123456789012345, 4, 2], [4, 2, 0]]",
           R"(, "e2e": [[1, null, 2], [3, 3.5, 0]], "tpot": [[0.1, 0.1, 0.1], [0.1, 0.1, 0.1]],
              "slos": {"percentile": 99, "tpat": 0.05}, "rates": [[8, 4, 2], [4, 2, null]])");
  const GpuProfile once = Parse(json).profile;
  const std::string written = FormatGpuProfile(once);
  const GpuProfile again = Parse(written).profile;
  EXPECT_EQ(again.deployment, once.deployment);
  EXPECT_EQ(again.cost, once.cost);
  EXPECT_EQ(again.created, once.created);
  EXPECT_EQ(again.outputs, once.outputs);
  EXPECT_EQ(again.inputs, once.inputs);
  EXPECT_EQ(again.tput, once.tput);
  EXPECT_EQ(again.tpot, once.tpot);
  EXPECT_EQ(again.slo, once.slo);
  EXPECT_EQ(FormatGpuProfile(again), written);
  EXPECT_TRUE(std::isnan(again.e2e->at(0, 1)));
  EXPECT_TRUE(std::isnan(again.detail.rates->at(1, 2)));
}

TEST(GpuProfile, AnSloOfP95KeepsItsMatrices) {
  const std::string json =
      Json("[[8, 4, 2], [4, 2, 1]]",
           R"(, "slos": {"percentile": 95, "e2e": 5}, "e2e_p95": [[1, 2, 3], [4, 5, 6]])");
  const ParsedProfile parsed = Parse(json);
  EXPECT_EQ(parsed.profile.slo.percentile, 95);
  EXPECT_EQ(Parse(FormatGpuProfile(parsed.profile)).profile.detail.e2e_p95->at(1, 2), 6);
}

// AIBrix's gateway is Go, whose JSON reader refuses a whole file for one bare NaN; its optimizer is
// Python, which compares every tput with 0 and fails on null.
TEST(GpuProfile, WhatIsWrittenHasNoBareNanAndNumbersForEveryTput) {
  const std::string json = FormatGpuProfile(
      Parse(Json("[[NaN, 4, 2], [4, 2, 1]]", R"(, "e2e": [[1, NaN, 2], [3, 3.5, 4]])")).profile);
  EXPECT_THAT(json, ::testing::Not(HasSubstr("NaN")));
  EXPECT_THAT(json, HasSubstr(R"("tputs": [[0, 4, 2])"));
  EXPECT_THAT(json, HasSubstr(R"("e2e": [[1, null, 2])"));
}

// The definition, in extended precision. Below 2^20 two neighbouring values differ by far more than
// its rounding; a value exactly on a border is decided in integers.
std::size_t NaiveFind(const std::vector<Tokens>& centres, Tokens tokens) {
  if (tokens <= centres.front()) return 0;
  if (tokens >= centres.back()) return centres.size() - 1;
  std::size_t low = 0;
  while (centres[low + 1] <= tokens) ++low;
  if (std::int64_t{tokens} * tokens == std::int64_t{centres[low]} * centres[low + 1])
    return low + 1;
  const long double low_log = std::log2(static_cast<long double>(centres[low]));
  const long double high_log = std::log2(static_cast<long double>(centres[low + 1]));
  const long double border = low_log + 0.5L * (high_log - low_log);
  return std::log2(static_cast<long double>(tokens)) < border ? low : low + 1;
}

TEST(BucketAxis, FindIsTheNearestCentreInLog2Space) {
  Rng rng(3);
  for (int round = 0; round < 400; ++round) {
    std::vector<Tokens> centres;
    Tokens centre = 1 + static_cast<Tokens>(rng.Below(50));
    for (std::size_t i = 0, count = 1 + rng.Below(14); i < count && centre < (1 << 20); ++i) {
      centres.push_back(centre);
      centre = centre + 1 + static_cast<Tokens>(rng.Below(static_cast<std::uint64_t>(centre) * 2));
    }
    const BucketAxis axis(centres);
    for (int i = 0; i < 200; ++i) {
      const auto tokens = static_cast<Tokens>(std::exp2(rng.Uniform() * 20));
      ASSERT_EQ(axis.Find(tokens), NaiveFind(centres, tokens)) << tokens;
    }
    for (std::size_t i = 1; i < centres.size(); ++i) {
      const auto border = static_cast<Tokens>(
          std::sqrt(static_cast<double>(centres[i - 1]) * static_cast<double>(centres[i])));
      for (Tokens tokens = border - 1; tokens <= border + 2; ++tokens) {
        ASSERT_EQ(axis.Find(tokens), NaiveFind(centres, tokens)) << tokens;
      }
    }
  }
}

TEST(BucketAxis, ExactBordersGoUpAndTheEndsHold) {
  const BucketAxis axis({4, 16, 64, 256});
  EXPECT_EQ(axis.Find(7), 0U);
  EXPECT_EQ(axis.Find(8), 1U);  // √(4·16)
  EXPECT_EQ(axis.Find(31), 1U);
  EXPECT_EQ(axis.Find(32), 2U);
  EXPECT_EQ(axis.Find(127), 2U);
  EXPECT_EQ(axis.Find(128), 3U);
  EXPECT_EQ(axis.Find(0), 0U);
  EXPECT_EQ(axis.Find(-5), 0U);
  EXPECT_EQ(axis.Find(std::numeric_limits<Tokens>::max()), 3U);
  EXPECT_EQ(BucketAxis({512}).Find(1), 0U);
  EXPECT_EQ(BucketAxis({512}).Find(100000), 0U);
}

TEST(Slo, DescribesItself) {
  slo::Slo slo;
  EXPECT_EQ(slo::Describe(slo), "none");
  slo.tput = 3;
  EXPECT_EQ(slo::Describe(slo), "none");
  slo.tpat = 0.05;
  EXPECT_EQ(slo::Describe(slo), "tpat 50 ms");
  slo.ttft = 1;
  slo.e2e = 12.5;
  EXPECT_EQ(slo::Describe(slo), "ttft 1 s, tpat 50 ms, e2e 12.5 s");
}

}  // namespace
}  // namespace headrace::profile
