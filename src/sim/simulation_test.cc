#include "sim/simulation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "benchmark/measured_profile.h"

namespace headrace::sim {
namespace {

engine::EngineConfig Engine(double factor = 1) {
  engine::EngineConfig config;
  config.step =
      step::TimeModel{.a = 20.9e-3, .b = 0.15e-3, .c = 0.0675e-3, .d = 0.6068e-6}.SlowedBy(factor);
  config.kv_blocks = 3500;
  config.max_model_len = 8192;
  return config;
}

// Per measurement of a profile: as few as do for a test.
constexpr int kSamples = 200;

slo::Slo TpatSlo(Seconds tpat) {
  slo::Slo slo;
  slo.percentile = 99;
  slo.tpat = tpat;
  return slo;
}

std::shared_ptr<const profile::GpuProfile> Profile(const std::string& name,
                                                   const engine::EngineConfig& engine) {
  static std::map<std::string, std::shared_ptr<const profile::GpuProfile>> cache;
  auto& profile = cache[name];
  if (!profile) {
    const auto generated = benchmark::MeasureProfile(
        engine, {.deployment = name, .slo = TpatSlo(0.05)}, {.samples = kSamples});
    EXPECT_TRUE(generated) << generated.error().message;
    profile = std::make_shared<profile::GpuProfile>(generated->profile);
  }
  return profile;
}

const workload::Workload& ChatAndCode() {
  static const workload::Workload workload = workload::FindNamedWorkload("chat-and-code")->make();
  return workload;
}

SimulationSpec Spec(std::string_view policy = "least-request") {
  SimulationSpec spec;
  spec.fleet = {{.name = "a10",
                 .engine = Engine(1.4),
                 .price_per_hour = 0.5,
                 .profile = Profile("a10", Engine(1.4))},
                {.name = "l20",
                 .engine = Engine(),
                 .endpoints = 4,
                 .price_per_hour = 1,
                 .profile = Profile("l20", Engine())}};
  spec.workload = &ChatAndCode();
  spec.scheduler.policy = routing::FindPolicy(policy);
  spec.rate_scale = 0.5;
  spec.warm_up = 30;
  spec.duration = 240;
  return spec;
}

std::string Shape(const SimulationResult& result) {
  JsonWriter json;
  json.BeginObject();
  workload::WriteStatistics(result.statistics, 240, json);
  std::string text = json.EndObject().Take();
  for (const DeploymentResult& deployment : result.deployments) {
    text += " " + std::to_string(deployment.utilization) + " " + std::to_string(deployment.sent[0]);
  }
  return text;
}

void ExpectEveryRequestAccountedFor(const SimulationResult& result) {
  const workload::ClassReport total = result.statistics.Total();
  EXPECT_GT(total.offered, 0u);
  EXPECT_EQ(total.offered, total.completed + total.refused + total.timed_out + total.failed);
  EXPECT_LE(total.attained, total.completed);
  std::uint64_t offered = 0;
  std::uint64_t attained = 0;
  for (const TimelineStep& step : result.timeline) {
    for (const auto count : step.offered) offered += count;
    for (const auto count : step.attained) attained += count;
  }
  EXPECT_EQ(offered, total.offered);
  EXPECT_EQ(attained, total.attained);
}

class EveryPolicy : public ::testing::TestWithParam<std::string_view> {};

TEST_P(EveryPolicy, AccountsForEveryRequestAndRepeatsItself) {
  for (const double scale : {0.4, 1.5}) {
    SimulationSpec spec = Spec(GetParam());
    spec.rate_scale = scale;
    const SimulationResult result = Simulate(spec);
    ExpectEveryRequestAccountedFor(result);
    EXPECT_EQ(Shape(result), Shape(Simulate(spec)));
    for (const DeploymentResult& deployment : result.deployments) {
      EXPECT_GE(deployment.utilization, 0);
      EXPECT_LE(deployment.utilization, 1 + 1e-9);
    }
    EXPECT_NEAR(result.cost, 4.5 * 240 / 3600, 1e-9);
  }
}

INSTANTIATE_TEST_SUITE_P(Policies, EveryPolicy,
                         ::testing::Values("slo", "slo-least-load", "slo-pack-load",
                                           "least-request", "random"));

// Their SLO is tighter than what the profile expects of a full GPU.
TEST(Simulation, ShortAnswersInALoadedFleetAreServedAndInTime) {
  workload::Workload workload = ChatAndCode();
  workload.classes.pop_back();  // Long prompts would stall short answers, whoever routes them.
  workload.classes.push_back(
      {.name = "short",
       .arrivals = workload::PoissonArrivals{.rate = 6},
       .lengths = workload::DistributedLengths{workload::UniformTokens{32, 128},
                                               workload::FixedTokens{30}},
       .slo = slo::Slo{.e2e = 1.5}});
  SimulationSpec spec = Spec("slo");
  spec.workload = &workload;
  const SimulationResult result = Simulate(spec);
  const workload::ClassReport& report = result.statistics.of(1);
  EXPECT_GT(report.offered, 500u);
  EXPECT_EQ(report.refused, 0u);
  EXPECT_GT(report.attained, report.offered * 95 / 100);
}

TEST(Simulation, PoliciesSeeTheSameRequests) {
  const auto a = Simulate(Spec("random"));
  const auto b = Simulate(Spec("slo"));
  for (std::size_t i : {0, 1}) {
    EXPECT_EQ(a.statistics.of(i).offered, b.statistics.of(i).offered);
  }
}

// One engine, one request at a time: the latencies are those of the step model, by hand.
TEST(Simulation, LatenciesAreThoseOfTheEngine) {
  workload::Workload workload;
  workload.classes = {{.name = "one",
                       .arrivals = workload::ReplayArrivals{std::make_shared<workload::Trace>(
                           workload::Trace{{0, {100, 11}}, {50, {100, 11}}})},
                       .lengths = workload::TraceLengths{},
                       .slo = {},
                       .rate_changes = {}}};
  SimulationSpec spec = Spec();
  spec.workload = &workload;
  spec.rate_scale = 1;
  spec.fleet = {{.name = "l20", .engine = Engine()}};
  spec.warm_up = 0;
  spec.duration = 100;
  const SimulationResult result = Simulate(spec);
  const workload::ClassReport& report = result.statistics.of(0);
  ASSERT_EQ(report.completed, 2u);
  const step::TimeModel step = Engine().step;
  const Seconds prefill = step.Duration(step::Work::Prefill(100));
  EXPECT_NEAR(report.ttft.Mean(), prefill, 1e-9);
  EXPECT_NEAR(report.e2e.Mean(), prefill + step.DecodeRun(10, 1, 100), 1e-9);
  EXPECT_NEAR(result.deployments[0].utilization, 2 * report.e2e.Mean() / 100, 1e-9);
}

TEST(Simulation, CachedPromptsAnswerSooner) {
  workload::Workload workload = ChatAndCode();
  SimulationSpec spec = Spec();
  const auto cold = Simulate(spec);
  workload.classes[1].cached_prompt = 0.9;
  spec.workload = &workload;
  const auto cached = Simulate(spec);
  EXPECT_LT(cached.statistics.of(1).ttft.Quantile(0.5),
            0.5 * cold.statistics.of(1).ttft.Quantile(0.5));
}

TEST(Simulation, KnowingTheFutureBeatsGuessing) {
  for (const double scale : {0.5, 0.7, 1.0}) {
    SimulationSpec spec = Spec("least-request");
    spec.rate_scale = scale;
    const SimulationResult guessed = Simulate(spec);
    spec.clairvoyant = true;
    spec.faults = {
        {.at = 100, .kind = EndpointFault::Kind::kLost, .deployment = 0, .endpoint = 0},
        {.at = 101, .kind = EndpointFault::Kind::kReturn, .deployment = 0, .endpoint = 0}};
    const SimulationResult known = Simulate(spec);
    ExpectEveryRequestAccountedFor(known);
    EXPECT_GT(known.statistics.Total().attained, guessed.statistics.Total().attained);
    // What it takes in, it keeps, but for what was lost with the endpoint.
    EXPECT_EQ(known.statistics.Total().attained, known.statistics.Total().completed);
  }
}

// One engine. The first request leaves no time for a long prompt beside it; the second one has
// time.
TEST(Simulation, KnowingTheFutureHoldsWhatWouldBreakAPromise) {
  slo::Slo tight;
  tight.tpot = 0.022;
  slo::Slo patient;
  patient.e2e = 60;
  workload::Workload workload;
  for (const auto& [name, at, length, slo] :
       {std::tuple{"tight", 0.0, workload::RequestLength{100, 300}, tight},
        std::tuple{"patient", 1.0, workload::RequestLength{4000, 10}, patient}}) {
    workload.classes.push_back(
        {.name = name,
         .arrivals = workload::ReplayArrivals{std::make_shared<workload::Trace>(
             workload::Trace{{at, length}})},
         .lengths = workload::TraceLengths{},
         .slo = slo,
         .rate_changes = {}});
  }
  SimulationSpec spec = Spec();
  spec.fleet = {{.name = "l20", .engine = Engine()}};
  spec.workload = &workload;
  spec.rate_scale = 1;
  spec.warm_up = 0;
  spec.duration = 100;
  EXPECT_EQ(Simulate(spec).statistics.Total().attained, 1u);
  spec.clairvoyant = true;
  EXPECT_EQ(Simulate(spec).statistics.Total().attained, 2u);
  // 3 s for 10 tokens: it is given up before the first request ends.
  workload.classes[1].slo = slo::Slo{.ntpot = 0.3};
  const SimulationResult result = Simulate(spec);
  EXPECT_EQ(result.statistics.Total().attained, 1u);
  EXPECT_EQ(result.statistics.Total().refused, 1u);
}

TEST(Simulation, PromptBeyondTheContextIsRefusedAndAnswerIsCut) {
  workload::Workload workload;
  workload.classes = {{.name = "long",
                       .arrivals = workload::ReplayArrivals{std::make_shared<workload::Trace>(
                           workload::Trace{{0, {9000, 11}}, {1, {8192, 1}}, {2, {8000, 1000}}})},
                       .lengths = workload::TraceLengths{},
                       .slo = {},
                       .rate_changes = {}}};
  SimulationSpec spec = Spec();
  spec.workload = &workload;
  spec.rate_scale = 1;
  spec.warm_up = 0;
  struct : SimulationObserver {
    void OnEnd(const RequestRecord& record) override { records.push_back(record); }
    std::vector<RequestRecord> records;
  } observer;
  const SimulationResult result = Simulate(spec, &observer);
  ExpectEveryRequestAccountedFor(result);
  EXPECT_THAT(result.too_long, ::testing::ElementsAre(2));
  EXPECT_THAT(result.cut, ::testing::ElementsAre(1));
  EXPECT_EQ(result.statistics.Total().refused, 2u);
  ASSERT_EQ(observer.records.size(), 3u);
  EXPECT_EQ(observer.records[0].end, RequestRecord::End::kTooLong);
  EXPECT_EQ(observer.records[1].end, RequestRecord::End::kTooLong);
  EXPECT_EQ(observer.records[2].end, RequestRecord::End::kCompleted);
  EXPECT_EQ(observer.records[2].output_tokens, 192);
}

TEST(Simulation, NoRequestGoesWhereItDoesNotFit) {
  for (const routing::PolicyInfo& policy : routing::Policies()) {
    SCOPED_TRACE(policy.name);
    for (const bool clairvoyant : {false, true}) {
      if (clairvoyant && policy.name != "slo") continue;
      SimulationSpec spec = Spec(policy.name);
      spec.fleet[1].engine.max_model_len = 1024;  // Code's prompts are of 4,000 tokens and more.
      spec.rate_scale = 0.3;
      spec.duration = 60;
      spec.clairvoyant = clairvoyant;
      struct : SimulationObserver {
        void OnEnd(const RequestRecord& record) override {
          if (!record.deployment) return;
          sent[*record.deployment] += 1;
          if (*record.deployment == 0) return;
          EXPECT_LE(record.prompt_tokens + record.output_tokens, 1024);
        }
        int sent[2] = {};
      } observer;
      const SimulationResult result = Simulate(spec, &observer);
      ExpectEveryRequestAccountedFor(result);
      EXPECT_THAT(result.too_long, ::testing::Each(0));
      EXPECT_EQ(result.deployments[1].sent[1], 0u);
      EXPECT_GT(observer.sent[0], 0);
      EXPECT_GT(observer.sent[1], 0);
    }
  }
  // Alone, it refuses the long ones.
  SimulationSpec alone = Spec();
  alone.fleet[1].engine.max_model_len = 1024;
  alone.only_deployment = 1;
  const SimulationResult result = Simulate(alone);
  ExpectEveryRequestAccountedFor(result);
  EXPECT_EQ(result.too_long[1], result.statistics.of(1).offered);
  EXPECT_GT(result.statistics.of(0).completed, 0u);
}

TEST(Simulation, UnfinishedRequestsAreMisses) {
  SimulationSpec spec = Spec();
  spec.rate_scale = 4;
  spec.drain = 0;
  const SimulationResult result = Simulate(spec);
  ExpectEveryRequestAccountedFor(result);
  EXPECT_GT(result.statistics.Total().timed_out, 0u);
}

TEST(Simulation, LostEndpointTakesNothingUntilItReturns) {
  for (const std::string_view policy : {"slo", "least-request"}) {
    SimulationSpec spec = Spec(policy);
    spec.faults = {
        {.at = 100, .kind = EndpointFault::Kind::kLost, .deployment = 1, .endpoint = 2},
        {.at = 200, .kind = EndpointFault::Kind::kReturn, .deployment = 1, .endpoint = 2}};
    struct : SimulationObserver {
      void OnEnd(const RequestRecord& record) override {
        if (!record.deployment || *record.deployment != 1 || record.endpoint != 2) return;
        const Seconds sent = record.arrived + record.queued;
        EXPECT_TRUE(sent <= 100 || sent >= 200) << sent;
        ++(sent <= 100 ? before : after);
      }
      int before = 0;
      int after = 0;
    } observer;
    ExpectEveryRequestAccountedFor(Simulate(spec, &observer));
    EXPECT_GT(observer.before, 0);
    EXPECT_GT(observer.after, 0);
  }
}

TEST(Simulation, AnEndpointThatFailsAtOnceGetsAHandfulUnderEveryPolicy) {
  for (const routing::PolicyInfo& policy : routing::Policies()) {
    SimulationSpec spec = Spec(policy.name);
    spec.rate_scale = 0.5;
    spec.faults = {
        {.at = 100, .kind = EndpointFault::Kind::kFailing, .deployment = 1, .endpoint = 2},
        {.at = 200, .kind = EndpointFault::Kind::kReturn, .deployment = 1, .endpoint = 2}};
    struct : SimulationObserver {
      void OnEnd(const RequestRecord& record) override {
        if (!record.deployment || *record.deployment != 1 || record.endpoint != 2) return;
        const Seconds sent = record.arrived + record.queued;
        failed += record.end == RequestRecord::End::kFailed ? 1 : 0;
        ran += sent < 100 && record.arrived + record.e2e > 100 ? 1 : 0;
        after += sent >= 200 ? 1 : 0;
      }
      int failed = 0;
      int ran = 0;  // When it began to fail. These succeed, so failures are not in a row.
      int after = 0;
    } observer;
    const SimulationResult result = Simulate(spec, &observer);
    ExpectEveryRequestAccountedFor(result);
    EXPECT_EQ(result.statistics.Total().failed, static_cast<std::uint64_t>(observer.failed));
    // Five to be ejected, then probes after 10, 20, 40 and 80 seconds.
    EXPECT_GE(observer.failed, 5) << policy.name;
    EXPECT_LE(observer.failed, 9 + observer.ran) << policy.name;
    EXPECT_GT(observer.after, 0) << policy.name;
    spec.scheduler.ejection.enabled = false;
    EXPECT_GT(Simulate(spec).statistics.Total().failed, 3 * result.statistics.Total().failed)
        << policy.name;
  }
}

TEST(Simulation, LosingTheWholeFleetRefusesInsteadOfHanging) {
  SimulationSpec spec = Spec("slo");
  for (const auto& [deployment, count] : {std::pair{0, 1}, std::pair{1, 4}}) {
    for (int endpoint = 0; endpoint < count; ++endpoint) {
      spec.faults.push_back({.at = 100,
                             .kind = EndpointFault::Kind::kLost,
                             .deployment = static_cast<std::size_t>(deployment),
                             .endpoint = endpoint});
    }
  }
  const SimulationResult result = Simulate(spec);
  ExpectEveryRequestAccountedFor(result);
  EXPECT_GT(result.statistics.Total().refused, result.statistics.Total().offered / 2);
  EXPECT_GT(result.statistics.Total().failed, 0u);
}

TEST(Simulation, SlowedEndpointAnswersLater) {
  SimulationSpec spec = Spec();
  const auto healthy = Simulate(spec);
  spec.faults = {{.at = 0, .deployment = 1, .endpoint = 0, .factor = 3}};
  const auto slowed = Simulate(spec);
  EXPECT_GT(slowed.statistics.Total().e2e.Quantile(0.99),
            1.5 * healthy.statistics.Total().e2e.Quantile(0.99));
}

TEST(Simulation, HoldsPredictionsAgainstWhatHappened) {
  SimulationSpec spec = Spec("slo-headroom");
  spec.rate_scale = 0.1;
  spec.duration = 1200;
  spec.scheduler.slo = slo::Slo{.tpot = 0.06};
  struct Observer final : SimulationObserver {
    void OnEnd(const RequestRecord& record) override {
      if (!record.predicted) return;
      ++predicted;
      expected += record.predicted->miss;
    }
    std::uint64_t predicted = 0;
    double expected = 0;
  } seen;
  const ForecastRecord record = Simulate(spec, &seen).forecasts;
  // The engines' steps are linear here, as the forecast believes: it has only to learn them. The
  // load is low: a forecast does not count on what comes later.
  EXPECT_NEAR(record.e2e_ratio.Quantile(0.5), 1, 0.1);
  EXPECT_NEAR(record.ttft_ratio.Quantile(0.5), 1, 0.25);
  std::uint64_t requests = 0;
  double expected = 0;
  double from = 0;
  for (std::size_t i = 0; i < record.misses.size(); ++i) {
    const ForecastRecord::MissRange& range = record.misses[i];
    const auto count = static_cast<double>(range.requests);
    EXPECT_GE(range.predicted, from * count - 1e-9);
    EXPECT_LE(range.predicted, ForecastRecord::kMissBounds[i] * count + 1e-9);
    EXPECT_LE(range.missed, range.requests);
    from = ForecastRecord::kMissBounds[i];
    requests += range.requests;
    expected += range.predicted;
  }
  EXPECT_EQ(requests, seen.predicted);
  EXPECT_NEAR(expected, seen.expected, 1e-6);
  EXPECT_LT(static_cast<double>(record.misses.front().missed),
            0.1 * static_cast<double>(record.misses.front().requests));
  EXPECT_TRUE(Simulate(Spec("least-request")).forecasts.empty()) << "predicts nothing";
}

TEST(Simulation, LateNewsStillAccountsForEverything) {
  SimulationSpec spec = Spec("slo");
  spec.state_lag = 2;
  ExpectEveryRequestAccountedFor(Simulate(spec));
}

TEST(MeasuredProfile, ErrorScalesRatesUpAndLatenciesDown) {
  const profile::GpuProfile& profile = *Profile("l20", Engine());
  const profile::GpuProfile wrong = benchmark::WithProfileError(profile, 1.3, 1 / 1.3);
  const profile::ProfileCell cell = profile.Find(512, 256);
  EXPECT_DOUBLE_EQ(wrong.tput.at(cell.output, cell.input),
                   1.3 * profile.tput.at(cell.output, cell.input));
  EXPECT_DOUBLE_EQ(wrong.e2e->at(cell.output, cell.input),
                   profile.e2e->at(cell.output, cell.input) / 1.3);
}

TEST(MeasuredProfile, OfAnSloThatIsMetNowhereIsAllZeros) {
  const auto generated = benchmark::MeasureProfile(
      Engine(), {.deployment = "slow", .slo = TpatSlo(1e-5)}, {.samples = kSamples});
  ASSERT_TRUE(generated) << generated.error().message;
  EXPECT_FALSE(profile::HasUsableCell(generated->profile));
  EXPECT_GT(generated->profile.e2e->at(0, 0), 0) << "requests with other SLOs need it";
}

}  // namespace
}  // namespace headrace::sim
