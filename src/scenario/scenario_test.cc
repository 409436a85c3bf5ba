#include "scenario/scenario.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>

#include "config/test_options.h"
#include "engine/gpu_catalog.h"
#include "scenario/class_groups.h"
#include "scenario/goodput.h"
#include "scenario/replay.h"
#include "scenario/report.h"
#include "scenario/scenario_text.h"
#include "scenario/study.h"
#include "scenario/summary.h"

namespace headrace::scenario {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr std::string_view kSmall = R"(name: Small
model: llama2-7b
max_model_len: 8192
slo: { tpat: 50ms, percentile: 99 }
warm_up: 20s
duration: 120s
drain: 200s
seeds: 2
rates: [0.4, 1.2]
policies: [slo, least-request, best-split, type-split, only-l20, clairvoyant]
fleet:
  - { name: a10, gpu: a10, profile: none }
  - { name: l20, gpu: l20, endpoints: 2, profile: measured }
workload:
  - { name: chat, rate: 3, lengths: sharegpt }
  - { name: code, rate: 1.5, prompt: 4000 to 4600, output: 32 to 64 }
variants:
  - { name: slo-exact, policy: slo, length: exact }
)";

Result<std::string> NoFiles(const std::string& path) {
  return Fail(path + ": cannot be read; check the path");
}

// Reads the small scenario with one text in it replaced.
Result<Scenario> LoadWith(std::string_view from, std::string_view to) {
  std::string text(kSmall);
  const std::size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  text.replace(at, from.size(), to);
  return LoadScenario(text, "s.yaml", NoFiles);
}

std::string FaultOf(std::string_view from, std::string_view to) {
  const auto scenario = LoadWith(from, to);
  return scenario ? "none" : scenario.error().message;
}

const Scenario& Small() {
  static const Scenario scenario = [] {
    auto loaded = LoadScenario(kSmall, "s.yaml", NoFiles);
    EXPECT_TRUE(loaded) << loaded.error().message;
    return *std::move(loaded);
  }();
  return scenario;
}

const Study& SmallStudy() {
  static const Study study = RunStudy(Small(), 1, [](std::size_t, std::size_t) {});
  return study;
}

TEST(ScenarioText, NumbersHaveRanges) { config::ExpectNumbersHaveRanges(ScenarioSchema()); }

TEST(Scenario, SaysWhatItWasTold) {
  const Scenario& scenario = Small();
  ASSERT_EQ(scenario.fleet.size(), 2u);
  EXPECT_EQ(scenario.fleet[1].endpoints, 2);
  EXPECT_EQ(scenario.fleet[0].profile, nullptr);
  EXPECT_NE(scenario.fleet[1].profile, nullptr);
  ASSERT_EQ(scenario.policies.size(), 7u);
  EXPECT_TRUE(scenario.policies[6].exact_lengths);
  EXPECT_EQ(scenario.workload.classes[0].slo->tpat, 0.05);
}

TEST(Scenario, ClassesHaveTenantsAndPriorities) {
  std::string text(kSmall);
  text.insert(text.find("workload:"), "tenants: [{ name: b, weight: 3 }]\n");
  text.insert(text.find(", rate: 3"), ", tenant: a, priority: 2");
  text.insert(text.find(", rate: 1.5"), ", tenant: b");
  const auto scenario = LoadScenario(text, "s.yaml", NoFiles);
  ASSERT_TRUE(scenario) << scenario.error().message;
  const auto& classes = scenario->workload.classes;
  EXPECT_EQ(classes[0].tenant, "a");
  EXPECT_EQ(classes[0].priority, 2);
  EXPECT_EQ(classes[1].tenant, "b");
  EXPECT_EQ(classes[1].priority, 0);
  ASSERT_EQ(scenario->scheduler.tenant_weights.size(), 1);
  EXPECT_EQ(scenario->scheduler.tenant_weights[0].weight, 3);
}

TEST(Scenario, ATenantWithAWeightIsThatOfAClass) {
  EXPECT_THAT(FaultOf("workload:", "tenants: [{ name: a, weight: 2 }]\nworkload:"),
              HasSubstr("no class belongs to a tenant; add `tenant: a` to one"));
  std::string text(kSmall);
  text.insert(text.find("workload:"), "tenants: [{ name: team-1, weight: 3 }]\n");
  text.insert(text.find(", rate: 3"), ", tenant: team-a");
  const auto scenario = LoadScenario(text, "s.yaml", NoFiles);
  ASSERT_FALSE(scenario);
  EXPECT_THAT(scenario.error().message, HasSubstr("s.yaml:14: the tenant \"team-1\" is not known"));
  EXPECT_THAT(FaultOf(", rate: 3", ", priority: high, rate: 3"), HasSubstr("not a whole number"));
}

TEST(Scenario, ADeploymentsEngineHasTheOverheadOfItsVersion) {
  const auto scenario = LoadWith("gpu: a10,", "gpu: a10, engine: vllm-2024,");
  ASSERT_TRUE(scenario) << scenario.error().message;
  EXPECT_GT(scenario->fleet[0].engine.step.overhead, Small().fleet[0].engine.step.overhead);
  EXPECT_EQ(scenario->fleet[1].engine.step, Small().fleet[1].engine.step);
  EXPECT_THAT(
      FaultOf("gpu: a10,", "gpu: a10, engine: vllm-1,"),
      HasSubstr("s.yaml:12: engine version \"vllm-1\" is not known; choose one of vllm-2024"));
}

// `only-l20` is right, though the l20 is not.
TEST(Scenario, ADeploymentWithAFaultIsOneFault) {
  const std::string fault = FaultOf("gpu: l20", "gpu: l21");
  EXPECT_THAT(fault, HasSubstr("s.yaml:13: GPU type \"l21\" is not known; choose one of a10"));
  EXPECT_EQ(std::ranges::count(fault, '\n'), 0) << fault;
}

TEST(Scenario, ASplitNeedsAFleetThatCanBeSplit) {
  EXPECT_THAT(
      FaultOf("  - { name: a10, gpu: a10, profile: none }\n", ""),
      HasSubstr("s.yaml:10: type-split cannot split 1 deployment among 2 classes; remove it "
                "from the policies"));
  EXPECT_THAT(FaultOf("endpoints: 2", "endpoints: 9999"),
              HasSubstr("best-split has to try more than 10000 splits"));
}

TEST(Scenario, WhatOnlyTheEnginesKnowIsNotInTheirProfile) {
  const auto scenario = LoadWith(
      "endpoints: 2,",
      "endpoints: 2, max_num_seqs: 64, real: { slowdown: 2, max_num_batched_tokens: 512, kv_share: "
      "0.5 },");
  ASSERT_TRUE(scenario) << scenario.error().message;
  const sim::SimDeployment& nominal = Small().fleet[1];
  const sim::SimDeployment& real = scenario->fleet[1];
  EXPECT_EQ(real.engine.step, nominal.engine.step.SlowedBy(2));
  EXPECT_EQ(real.engine.max_num_batched_tokens, 512);
  EXPECT_EQ(real.engine.kv_blocks, nominal.engine.kv_blocks / 2);
  EXPECT_EQ(real.engine.max_num_seqs, 64);
  // Engines that are half as fast and known to be look slower in their profile.
  const auto known = LoadWith("endpoints: 2,", "endpoints: 2, max_num_seqs: 64, slowdown: 2,");
  ASSERT_TRUE(known) << known.error().message;
  const auto rate = [](const sim::SimDeployment& deployment) {
    const profile::ProfileCell cell = deployment.profile->Find(100, 100);
    return deployment.profile->tput.at(cell.output, cell.input);
  };
  EXPECT_LT(rate(known->fleet[1]), 0.8 * rate(real));
  EXPECT_THAT(FaultOf("endpoints: 2,", "endpoints: 2, kv_share: 0.01,"),
              HasSubstr("s.yaml:13: deployment \"l20\": a context of 8192 tokens does not fit"));
  EXPECT_THAT(FaultOf("endpoints: 2,", "endpoints: 2, real: { max_num_batched_tokens: 9 },"),
              HasSubstr("max_num_batched_tokens (9) must be at least max_num_seqs (256)"));
}

TEST(Scenario, ADeploymentCanHaveTheProfileOfAnother) {
  const auto scenario = LoadWith("gpu: a10, profile: none", "gpu: a10, profile_of: l20");
  ASSERT_TRUE(scenario) << scenario.error().message;
  EXPECT_EQ(scenario->fleet[0].profile, scenario->fleet[1].profile);
  EXPECT_THAT(FaultOf("gpu: a10, profile: none", "gpu: a10, profile_of: l2"),
              HasSubstr("s.yaml:12: the deployment \"l2\""));
}

TEST(Scenario, SharesDivideTheRate) {
  const auto scenario = LoadWith("  - { name: chat, rate: 3,",
                                 "  - { name: x, share: 3, prompt: 9, output: 9 }\n"
                                 "  - { name: chat, share: 1,");
  ASSERT_FALSE(scenario);
  EXPECT_THAT(scenario.error().message, HasSubstr("s.yaml:16: class \"chat\" has a share"));
  const auto good = LoadWith("rates: [0.4, 1.2]", "rates: [1]\nrate: 10");
  ASSERT_TRUE(good);
  EXPECT_EQ(workload::OfferedRate(good->workload.classes[0]), 3);
}

TEST(Scenario, FaultsHaveLineAndFix) {
  EXPECT_THAT(FaultOf("gpu: a10", "gpu: a11"), HasSubstr("s.yaml:12: "));
  EXPECT_THAT(FaultOf("duration: 120s", "duration: long"),
              HasSubstr("s.yaml:6: duration is \"long\", which"));
  EXPECT_THAT(FaultOf("seeds: 2", "seed: 2"), HasSubstr("s.yaml:8: the option \"seed\""));
  EXPECT_THAT(FaultOf("[slo, least-request", "[slow, least-request"),
              HasSubstr("s.yaml:10: the policy \"slow\""));
  EXPECT_THAT(FaultOf("rate: 3,", ""), HasSubstr("s.yaml:15: class \"chat\" needs a rate"));
  EXPECT_THAT(FaultOf("lengths: sharegpt", "lengths: l.csv"),
              HasSubstr("s.yaml:15: l.csv: cannot be read"));
  EXPECT_THAT(FaultOf("lengths: sharegpt", "lengths: sharegpt, prompt: 9"),
              HasSubstr("has lengths twice"));
  EXPECT_THAT(FaultOf("prompt: 4000 to 4600", "prompt: many"),
              HasSubstr("s.yaml:16: workload[1].prompt is \"many\", which is not a distribution"));
  EXPECT_THAT(FaultOf("rate: 1.5,", "arrivals: trace,"),
              HasSubstr("has trace arrivals but no trace"));
  EXPECT_THAT(FaultOf("lengths: sharegpt }", "lengths: sharegpt, trace: t.csv }"),
              HasSubstr("names a trace and does not replay it; add `arrivals: trace`"));
  EXPECT_THAT(FaultOf("policy: slo, length", "policy: slo2, length"),
              HasSubstr("s.yaml:18: the policy \"slo2\""));
  EXPECT_THAT(FaultOf("variants:",
                      "faults:\n  - { at: 5s, kind: lost, deployment: l21 }\n"
                      "variants:"),
              HasSubstr("s.yaml:18: the deployment \"l21\""));
  EXPECT_THAT(FaultOf("variants:",
                      "faults:\n  - { at: 5s, deployment: l20, endpoint: 2 }\n"
                      "variants:"),
              HasSubstr("has endpoints 0 to 1"));
  EXPECT_THAT(FaultOf("model: llama2-7b", "model: [a"), HasSubstr("not valid YAML"));
}

TEST(Scenario, ATraceTellsItsUnitWhatIsLeftOutAndThatItIsCut) {
  const auto load = [](const std::string& class_text) {
    std::string text(kSmall);
    const std::string old = "rate: 1.5,";
    text.replace(text.find(old), old.size(), class_text);
    return LoadScenario(text, "s.yaml", [](const std::string& path) -> Result<std::string> {
      if (path != "mine.csv") return NoFiles(path);
      return "arrival,prompt_tokens,output_tokens\n1000,5,6\n3000,7,0\n601000,7,8\n";
    });
  };
  const auto scenario = load("arrivals: trace, trace: mine.csv, time_unit: ms,");
  ASSERT_TRUE(scenario) << scenario.error().message;
  EXPECT_THAT(scenario->warnings,
              ElementsAre("s.yaml:16: mine.csv: 1 of 3 requests have no prompt or no output "
                          "tokens and are left out"));
  EXPECT_EQ(DescribeReplays(*scenario),
            "class code: its trace lasts 500 s at speed 1.2, the run 140 s: it has the first 1 "
            "of 2 requests\n");
  EXPECT_THAT(load("arrivals: trace, trace: mine.csv,").error().message,
              HasSubstr("s.yaml:16: mine.csv:2: the unit of the numbers under \"arrival\""));
}

TEST(Study, OneThatIsStoppedHasTheSeedsThatWereRunToTheirEnd) {
  Scenario scenario = Small();
  std::atomic<bool> stop = false;
  // One policy fewer than the jobs of the second seed.
  const Study part = RunStudy(
      scenario, 1, [&stop](std::size_t done, std::size_t all) { stop = done + 1 >= all; }, true,
      &stop);
  ASSERT_EQ(part.seeds, 1);
  scenario.seeds = part.seeds;
  Scenario one = Small();
  one.seeds = 1;
  const Study whole = RunStudy(one, 1, [](std::size_t, std::size_t) {});
  EXPECT_EQ(FormatSummary(part), FormatSummary(whole));
  stop = true;
  EXPECT_EQ(RunStudy(scenario, 2, [](std::size_t, std::size_t) {}, true, &stop).seeds, 0);
}

TEST(Scenario, AnSloThatADeploymentMeetsNowhereIsAWarning) {
  const auto scenario = LoadWith("slo: { tpat: 50ms, percentile: 99 }", "slo: { tpat: 10us }");
  ASSERT_TRUE(scenario) << scenario.error().message;
  ASSERT_EQ(scenario->warnings.size(), 1u);
  EXPECT_THAT(scenario->warnings[0],
              HasSubstr("s.yaml:13: deployment \"l20\" meets the SLO of its profile (tpat 10 µs) "
                        "with no size of request at any rate"));
  EXPECT_TRUE(Small().warnings.empty());
}

TEST(Scenario, TakesGpusFromAFile) {
  std::string text(kSmall);
  text.insert(text.find("max_model_len"), "gpus: my/gpus.json\n");
  std::string gpus(engine::ShippedGpuCatalog());
  const auto load = [&](const std::string& content) {
    return LoadScenario(text, "there/s.yaml", [&](const std::string& path) -> Result<std::string> {
      EXPECT_EQ(path, "there/my/gpus.json");
      return content;
    });
  };
  const std::size_t at = gpus.find("\"l20\"");
  ASSERT_NE(at, std::string::npos);
  gpus.replace(at, 5, "\"l21\"");
  EXPECT_THAT(load(gpus).error().message,
              HasSubstr("there/s.yaml:14: GPU type \"l20\" is not known; choose one of a10"));
  gpus.replace(at, 5, "\"l20\"");
  EXPECT_TRUE(load(gpus));
  const auto broken = load(gpus.substr(0, 300));
  ASSERT_FALSE(broken);
  EXPECT_THAT(broken.error().message,
              HasSubstr("there/s.yaml:3: my/gpus.json line 2: is not JSON"));
  EXPECT_EQ(broken.error().message.find("GPU type"), std::string::npos) << broken.error().message;
}

TEST(Scenario, ReadsTheFormerNameOfItsFaults) {
  const std::string faults = "  - { at: 5s, kind: lost, deployment: l20, endpoint: 1 }\nvariants:";
  for (const std::string name : {"faults", "disturbances"}) {
    const auto scenario = LoadWith("variants:", name + ":\n" + faults);
    ASSERT_TRUE(scenario) << scenario.error().message;
    ASSERT_EQ(scenario->faults.size(), 1u);
    EXPECT_EQ(scenario->faults[0].kind, sim::EndpointFault::Kind::kLost);
    EXPECT_EQ(scenario->faults[0].deployment, 1u);
    EXPECT_EQ(scenario->faults[0].endpoint, 1);
    EXPECT_THAT(FaultOf("variants:", name + ":\n  - { at: 5s, deployment: l21 }\nvariants:"),
                HasSubstr("s.yaml:18: the deployment \"l21\""));
  }
  EXPECT_THAT(FaultOf("variants:", "disturbances:\n" + faults + " []\nfaults:\n" + faults),
              HasSubstr("faults is given twice, first on line 17"));
}

TEST(Scenario, APercentileBelongsToTheScenariosSlo) {
  EXPECT_THAT(
      FaultOf("lengths: sharegpt }", "lengths: sharegpt, slo: { e2e: 9s, percentile: 99 } }"),
      HasSubstr("s.yaml:15: workload[0].slo.percentile has no effect on the requests of a "
                "class; remove it"));
}

TEST(Scenario, WhatAnErrorSuggestsForAMissingOptionIsAccepted) {
  config::ExpectSuggestionsCanBePasted(ScenarioSchema());
}

TEST(Study, DoesNotDependOnThreads) {
  const Study threaded = RunStudy(Small(), 3, [](std::size_t, std::size_t) {});
  EXPECT_EQ(FormatSummary(SmallStudy()), FormatSummary(threaded));
  EXPECT_EQ(RenderReport(SmallStudy(), nullptr), RenderReport(threaded, nullptr));
}

TEST(Study, EveryPolicySeesTheSameRequests) {
  const Study& study = SmallStudy();
  for (std::size_t c = 1; c < Small().policies.size(); ++c) {
    for (std::size_t r = 0; r < 2; ++r) {
      for (std::size_t k = 0; k < 2; ++k) {
        EXPECT_EQ(study.At(c, r, 0).result.statistics.of(k).offered,
                  study.At(0, r, 0).result.statistics.of(k).offered);
      }
    }
  }
}

TEST(Study, BaselinesAreAboveThePolicies) {
  const Study& study = SmallStudy();
  const auto attainment = [&](std::size_t c, std::size_t r) {
    return AttainmentOf(study, c, r).mean;
  };
  for (std::size_t r = 0; r < 2; ++r) {
    // A split by whole types is one of all splits, and the choice is made in hindsight.
    EXPECT_GE(attainment(2, r), attainment(3, r));
    EXPECT_FALSE(study.SplitOf(2, r).empty());
    for (std::size_t c = 0; c < Small().policies.size(); ++c) {
      // The bound is of the long run; a run of two minutes may be a little above it.
      EXPECT_LE(attainment(c, r), BoundOver(study, r, &ModeBound::known).mean + 0.03) << c;
    }
    EXPECT_LE(BoundOver(study, r, &ModeBound::blind).mean,
              BoundOver(study, r, &ModeBound::known).mean);
    EXPECT_GE(attainment(5, r), attainment(1, r));  // It knows what least-request does not.
  }
  EXPECT_GT(study.bounds[0].capacity, study.bounds[1].capacity);
}

TEST(Goodput, LiesBetweenARateThatMeetsTheGoalAndOneThatDoesNot) {
  Scenario scenario = Small();
  scenario.policies = {*FindPolicy("least-request", scenario)};
  const Study study = RunStudy(scenario, 1, [](std::size_t, std::size_t) {});
  std::size_t searches = 0;
  const auto count = [&](std::size_t done, std::size_t) { searches = done; };
  const std::atomic<bool> stopped = true;
  EXPECT_FALSE(SearchGoodput(study, 1, count, &stopped));
  const auto found = SearchGoodput(study, 1, count);
  ASSERT_TRUE(found);
  const GoodputSearch& search = *found;
  EXPECT_EQ(searches, 6);
  const auto attainment_at = [&](double rate) {
    Scenario probe = scenario;
    probe.rates = {rate};
    const Study once = RunStudy(probe, 1, [](std::size_t, std::size_t) {}, false);
    return AttainmentOf(once, 0, 0).mean;
  };
  for (std::size_t goal = 0; goal < kGoodputGoals.size(); ++goal) {
    const double rate = search.policies[0].rates[goal].factor;
    ASSERT_GT(rate, 0);
    EXPECT_TRUE(search.policies[0].rates[goal].bounded);
    EXPECT_GE(attainment_at(rate), kGoodputGoals[goal]);
    // Somewhere in the 2 % above it the goal is missed.
    EXPECT_LT(std::min(attainment_at(rate * 1.02), attainment_at(rate * 1.01)),
              kGoodputGoals[goal] + 0.01);
    EXPECT_LE(rate, search.bound.rates[goal].factor * 1.05);
  }
  EXPECT_LE(search.policies[0].rates[0].factor, search.policies[0].rates[1].factor);
  const auto json = nlohmann::json::parse(FormatGoodput(scenario, search));
  EXPECT_EQ(json[0]["policy"], "least-request");
  EXPECT_DOUBLE_EQ(json[0]["goodput"][1]["rate"], search.policies[0].rates[1].factor);
  EXPECT_THAT(render::RenderText(GoodputTable(scenario, search)), testing::HasSubstr("req/s"));
}

TEST(Study, SummaryIsJsonWithAnObjectPerRun) {
  const auto json = nlohmann::json::parse(FormatSummary(SmallStudy()));
  ASSERT_EQ(json.size(), 7u * 2 * 2);
  EXPECT_EQ(json[0]["policy"], "slo");
  EXPECT_EQ(json[0]["seed"], 1);
  EXPECT_TRUE(json[0]["deployments"]["l20"].contains("utilization"));
  EXPECT_TRUE(json[0]["classes"]["chat"]["tpat_s"]["p99"].is_number());
}

TEST(Study, FiguresHoldNoNumbersThatAreNone) {
  for (const Figure& figure : RenderFigures(SmallStudy())) {
    EXPECT_TRUE(figure.svg.starts_with("<svg ")) << figure.file;
    EXPECT_EQ(figure.svg.find("nan"), std::string::npos) << figure.file;
    EXPECT_EQ(figure.svg.find("inf"), std::string::npos) << figure.file;
  }
}

TEST(Splits, AreAllOfThem) {
  EXPECT_EQ(AllSplits(2, {1, 4}, false).size(), 8u);  // 2·5 minus the two that starve a class.
  EXPECT_EQ(AllSplits(2, {1, 4}, true).size(), 2u);
  EXPECT_EQ(AllSplits(1, {1, 4}, false).size(), 1u);
  EXPECT_EQ(AllSplits(3, {1, 1, 1}, false).size(), 6u);
  EXPECT_EQ(AllSplits(3, {2, 2, 2}, true).size(), 6u);
  EXPECT_TRUE(AllSplits(3, {2, 2}, true).empty());
}

// Five classes of three kinds on a fleet that has too many splits among five.
TEST(Splits, OfManyClassesKeepThoseTogetherThatAreAlike) {
  auto scenario = LoadWith("rates: [0.4, 1.2]", "rates: [1]");
  ASSERT_TRUE(scenario);
  scenario->seeds = 1;
  scenario->warm_up = 5;
  scenario->duration = 20;
  const auto add = [&](std::string name, Tokens prompt, Tokens output) {
    scenario->workload.classes.push_back(
        {.name = std::move(name),
         .arrivals = workload::PoissonArrivals{0.2},
         .lengths = workload::DistributedLengths{workload::FixedTokens{prompt},
                                                 workload::FixedTokens{output}},
         .slo = scenario->scheduler.slo,
         .rate_changes = {}});
  };
  scenario->workload.classes.clear();
  add("chat", 200, 300);
  add("code", 4000, 50);
  add("talk", 230, 280);
  add("batch", 500, 1000);
  add("tests", 4400, 60);
  const Policy policy = *FindPolicy("type-split", *scenario);
  scenario->policies = {policy};
  const auto groups = GroupsFor(policy, *scenario);
  ASSERT_TRUE(groups) << groups.error().message;
  EXPECT_EQ(Describe(*scenario, *groups), "chat+talk+batch, code+tests") << "two GPU types";
  EXPECT_EQ(Describe(*scenario, *GroupsFor(*FindPolicy("best-split", *scenario), *scenario)),
            "chat+talk, code+tests, batch")
      << "three endpoints";

  const Study study = RunStudy(*scenario, 1, [](std::size_t, std::size_t) {});
  EXPECT_THAT(DescribeGroups(study),
              HasSubstr("type-split splits the fleet among 2 groups of classes that are alike, not "
                        "among all 5"));
  EXPECT_THAT(DescribeSplit(study, 0, 0), HasSubstr("code+tests: "));
  // As if each class had been seen: nothing is lost or counted twice.
  std::map<std::uint32_t, std::uint64_t> ended;
  VisitRequests(
      study, [&](const auto&, const sim::RequestRecord& request) { ++ended[request.class_index]; });
  for (std::uint32_t k = 0; k < 5; ++k) {
    EXPECT_EQ(study.runs[0].result.statistics.of(k).offered, ended[k]) << k;
    EXPECT_GT(ended[k], 0u) << k;
  }
}

TEST(WorstClass, IsInTheTableAndTheSummary) {
  const Study& study = SmallStudy();
  for (std::size_t r = 0; r < 2; ++r) {
    const WorstClass worst = WorstClassOf(study, 0, r);
    for (std::size_t k = 0; k < 2; ++k) {
      const double other = EstimateOver(study, 0, r, [k](const sim::SimulationResult& result) {
                             return result.statistics.of(k).Attainment();
                           }).mean;
      EXPECT_LE(worst.attainment.mean, other + 0.01);
    }
    EXPECT_LE(worst.attainment.mean, AttainmentOf(study, 0, r).mean + 1e-9);
  }
  const std::string name = Small().workload.classes[WorstClassOf(study, 0, 1).class_index].name;
  EXPECT_THAT(WorstClassTable(study).rows[0][2], HasSubstr(" · " + name));
  const auto json = nlohmann::json::parse(FormatSummary(study));
  for (const auto& run : json) {
    EXPECT_EQ(run["worst_class"]["attainment"],
              std::min(run["classes"]["chat"]["attainment"].get<double>(),
                       run["classes"]["code"]["attainment"].get<double>()));
    EXPECT_EQ(run["too_long"]["code"], 0);
  }
  EXPECT_THAT(RenderReport(study, nullptr), HasSubstr("worst-class.svg"));
}

// The small scenario with one class, which arrives like this.
Scenario WithArrivals(workload::Arrivals arrivals) {
  Scenario scenario = Small();
  scenario.workload.classes.resize(1);
  scenario.workload.classes[0].arrivals = std::move(arrivals);
  scenario.rates = {1};
  return scenario;
}

TEST(Bound, OfABurstAtTheVeryBeginningIsOfTheWholeRun) {
  const Scenario scenario = WithArrivals(
      workload::ReplayArrivals{std::make_shared<const workload::Trace>(workload::Trace(4))});
  const FluidBound bound = ComputeFluidBound(scenario, 1);
  EXPECT_TRUE(std::isfinite(bound.capacity)) << bound.capacity;
  EXPECT_GT(bound.capacity, 1);
}

TEST(Bound, RequestsThatNoEngineCanHoldMakeNoQueueGrow) {
  Scenario scenario = WithArrivals(workload::PoissonArrivals{5});
  scenario.workload.classes[0].lengths =
      workload::DistributedLengths{workload::FixedTokens{1 << 20}, workload::FixedTokens{1}};
  EXPECT_EQ(DescribeInstability(scenario, {ComputeFluidBound(scenario, 1)}), "");
  const Study study = RunStudy(scenario, 1, [](std::size_t, std::size_t) {});
  EXPECT_THAT(DescribeTooLong(study), HasSubstr("up to 100.0 % of the requests of class "));
}

TEST(Study, SaysHowManyResponsesAreCutAtTheContext) {
  Scenario scenario = WithArrivals(workload::PoissonArrivals{1});
  const Tokens context = scenario.LongestContext();
  scenario.workload.classes[0].lengths =
      workload::DistributedLengths{workload::FixedTokens{context - 4}, workload::FixedTokens{100}};
  const Study study = RunStudy(scenario, 1, [](std::size_t, std::size_t) {});
  EXPECT_THAT(DescribeTooLong(study), HasSubstr("up to 100.0 % of the responses of class "));
  EXPECT_THAT(DescribeTooLong(study),
              HasSubstr("the longest context, " + std::to_string(context) + " tokens"));
  EXPECT_GT(nlohmann::json::parse(FormatSummary(study))[0]["cut"].front(), 0);
}

TEST(Bound, NothingThatArrivesIsNeverTooMuch) {
  const Scenario scenario = WithArrivals(workload::PoissonArrivals{1e-9});
  EXPECT_EQ(DescribeInstability(scenario, {ComputeFluidBound(scenario, 1)}), "");
}

// One class of equal requests on one engine: the program by hand.
TEST(Bound, IsTheEnginesBudgetDividedByTheRequest) {
  auto scenario = LoadWith("rates: [0.4, 1.2]", "rates: [1]");
  ASSERT_TRUE(scenario);
  scenario->fleet.erase(scenario->fleet.begin());
  scenario->fleet[0].endpoints = 1;
  scenario->workload.classes = {
      {.name = "code",
       .arrivals = workload::PoissonArrivals{10},
       .lengths =
           workload::DistributedLengths{workload::FixedTokens{4096}, workload::FixedTokens{33}},
       .slo = scenario->scheduler.slo,
       .rate_changes = {}}};
  const engine::EngineConfig& engine = scenario->fleet[0].engine;
  const double held = 33.0 * 4096 + 0.5 * 33 * 33;
  const double steps =
      std::max(held / static_cast<double>(engine.kv_blocks * engine::kKvBlockTokens),
               32.0 / engine.max_num_seqs);
  step::TimeModel step = engine.step;
  step.a *= steps;
  const double cost = step.overhead * steps + step.Dense(step.b * 4096 + step.c * 32) +
                      step.overhead_per_sequence * 32 + step.d * held + step.e * 4096 * 4096 / 2;
  const FluidBound bound = ComputeFluidBound(*scenario, 1);
  EXPECT_NEAR(10 * bound.capacity, 1 / cost, 0.05 / cost);
  EXPECT_LT(bound.capacity, 0.2);
  EXPECT_THAT(DescribeInstability(*scenario, {bound}), HasSubstr("cannot be stable"));
}

// Requests that no engine can hold are no load, so no figure of the sentence has them.
TEST(Bound, WhatNoEngineCanHoldIsNotCounted) {
  auto scenario = LoadWith("rates: [0.4, 1.2]", "rates: [1]");
  ASSERT_TRUE(scenario);
  const auto of = [&](Tokens prompt) {
    return workload::WorkloadClass{
        .name = "p" + std::to_string(prompt),
        .arrivals = workload::PoissonArrivals{100},
        .lengths =
            workload::DistributedLengths{workload::FixedTokens{prompt}, workload::FixedTokens{64}},
        .slo = scenario->scheduler.slo,
        .rate_changes = {}};
  };
  scenario->workload.classes = {of(2000)};
  const FluidBound alone = ComputeFluidBound(*scenario, 1);
  ASSERT_LT(alone.capacity, 1);
  EXPECT_EQ(alone.held, 1);
  EXPECT_THAT(DescribeInstability(*scenario, {alone}), HasSubstr("100 requests/s are offered"));
  scenario->workload.classes.push_back(of(scenario->LongestContext()));
  const FluidBound both = ComputeFluidBound(*scenario, 1);
  EXPECT_NEAR(both.held, 0.5, 0.02);
  EXPECT_NEAR(both.capacity, alone.capacity, 0.05 * alone.capacity);
  EXPECT_THAT(DescribeInstability(*scenario, {{both.capacity, 0.5}}),
              HasSubstr(": 100 requests/s that an engine can hold are offered and the fleet"));
}

TEST(Estimate, IntervalHoldsTheMean) {
  const Estimate estimate = EstimateMean({0.5, 0.6, 0.7, 0.8, 0.9});
  EXPECT_DOUBLE_EQ(estimate.mean, 0.7);
  EXPECT_LT(estimate.low, 0.65);
  EXPECT_GT(estimate.high, 0.75);
  EXPECT_GE(estimate.low, 0.5);
  EXPECT_LE(estimate.high, 0.9);
}

}  // namespace
}  // namespace headrace::scenario
