#include "evaluation/bars.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace headrace::evaluation {
namespace {

using ::testing::HasSubstr;

// What a policy attained of 100 requests of each of two classes.
struct Outcome {
  const char* policy;
  scenario::Policy::Kind kind;
  int chat;
  int code;
};

class Outcomes {
 public:
  explicit Outcomes(const std::vector<Outcome>& outcomes) {
    scenario_.seeds = 1;
    scenario_.rates = {1};
    scenario_.workload.classes.resize(2);
    scenario_.workload.classes[0].name = "chat";
    scenario_.workload.classes[1].name = "code";
    study_.scenario = &scenario_;
    for (const Outcome& outcome : outcomes) {
      scenario_.policies.push_back({.name = outcome.policy, .kind = outcome.kind});
      scenario::Run& run = study_.runs.emplace_back();
      run.result.statistics = workload::RunStatistics({"chat", "code"});
      for (std::size_t k = 0; k < 2; ++k) {
        for (int i = 0; i < 100; ++i) {
          run.result.statistics.Offer(k);
          if (i < (k == 0 ? outcome.chat : outcome.code)) {
            run.result.statistics.Complete(
                k, {.ttft = 1, .e2e = 2, .prompt_tokens = 1, .output_tokens = 1}, 0, std::nullopt);
          } else {
            run.result.statistics.Refuse(k);
          }
        }
      }
    }
  }

  Case At(bool carried = true) const {
    return {.name = "case", .study = &study_, .rate = 0, .carried = carried};
  }
  std::string Margins(bool carried = true) const { return MarginsTable({At(carried)}); }

 private:
  scenario::Scenario scenario_;
  scenario::Study study_;
};

using Kind = scenario::Policy::Kind;

TEST(Margins, AllIsWellWhereNobodyIsBetter) {
  const Outcomes outcomes({{"slo-headroom", Kind::kScheduler, 98, 96},
                           {"slo", Kind::kScheduler, 90, 90},
                           {"clairvoyant", Kind::kClairvoyant, 99, 99}});
  EXPECT_THAT(outcomes.Margins(),
              HasSubstr("| case | 1 | 97.0 | +7.0 [7.0 to 7.0] slo | 98.0 clairvoyant | "
                        "-3.0 code, clairvoyant |"));
  EXPECT_THAT(outcomes.Margins(), HasSubstr("another router: 0 of 1 rows"));
}

TEST(Margins, WhatFailsIsBoldAndCounted) {
  const Outcomes outcomes({{"slo-headroom", Kind::kScheduler, 98, 80},
                           {"slo", Kind::kScheduler, 92, 90},
                           {"best-split", Kind::kBestSplit, 99, 99}});
  const std::string table = outcomes.Margins();
  EXPECT_THAT(table, HasSubstr("| **-2.0 [-2.0 to -2.0]** slo | **89.9** best-split | "
                               "**-19.0** code, best-split |"));
  EXPECT_THAT(table, HasSubstr("another router: 1 of 1 rows. Below 97 % of the best baseline: 1 of "
                               "1. Worst class more than five points lower: 1 of 1."));
}

TEST(Margins, BeyondWhatTheFleetCarriesOnlyOtherRoutersCount) {
  const Outcomes outcomes({{"slo-headroom", Kind::kScheduler, 60, 60},
                           {"slo", Kind::kScheduler, 50, 50},
                           {"best-split", Kind::kBestSplit, 99, 99}});
  EXPECT_THAT(outcomes.Margins(false),
              HasSubstr("| case (overload) | 1 | 60.0 | +10.0 [10.0 to 10.0] slo | – | – |"));
}

TEST(Bars, SayWhetherTheyAreReached) {
  const Outcomes then({{"slo-headroom", Kind::kScheduler, 98, 96}});
  const Outcomes now({{"slo-headroom", Kind::kScheduler, 90, 90}});
  const render::Table table = BarsTable({{.then = then.At(), .now = now.At(), .least = 0.97},
                                         {.then = now.At(), .now = then.At(), .least = 0.97}});
  EXPECT_THAT(table.rows[0], testing::ElementsAre("case", "1", "97.0", "97.0 [97.0–97.0]", "yes",
                                                  "90.0 [90.0–90.0]"));
  EXPECT_THAT(table.rows[1], testing::ElementsAre("case", "1", "97.0", "90.0 [90.0–90.0]", "**no**",
                                                  "97.0 [97.0–97.0]"));
}

}  // namespace
}  // namespace headrace::evaluation
