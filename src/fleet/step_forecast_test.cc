#include "fleet/step_forecast.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <memory>
#include <vector>

#include "base/random.h"
#include "fleet/profile_steps.h"
#include "fleet/step_learner.h"

namespace headrace::fleet {
namespace {

// --- The learner

StepSample Draw(const StepBelief& truth, Rng& rng) {
  StepSample sample{.steps = 20 + rng.Uniform() * 500};
  sample.sequence_steps = sample.steps * (1 + rng.Uniform() * 80);
  sample.held_steps = sample.sequence_steps * (100 + rng.Uniform() * 2000);
  sample.prefilled = rng.Below(2) == 0 ? 0 : rng.Uniform() * 20'000;
  sample.seconds = sample.Predicted(truth) * (1 + 0.1 * (rng.Uniform() - 0.5));
  return sample;
}

TEST(StepLearner, FindsEnginesFarFromThePrior) {
  // Figures of the order of an H100 and of an L4 with a 7B model.
  for (const StepBelief truth : {StepBelief{0.006, 0.00002, 0.00003, 0.00000015},
                                 StepBelief{0.058, 0.0003, 0.0002, 0.0000017}}) {
    Rng rng(11);
    StepLearner learner;
    for (int i = 0; i < 1000; ++i) learner.Learn(Draw(truth, rng));
    double worst = 0;
    for (int i = 0; i < 200; ++i) {
      const StepSample sample = Draw(truth, rng);
      worst = std::max(worst,
                       std::abs(sample.Predicted(learner.belief()) / sample.Predicted(truth) - 1));
    }
    EXPECT_LT(worst, 0.1);
  }
}

TEST(StepLearner, AFewSamplesMoveAllTermsTogether) {
  StepLearner learner;
  const StepBelief prior;
  for (int i = 0; i < 20; ++i) {
    StepSample sample{.steps = 200, .sequence_steps = 2000, .held_steps = 1e6};
    sample.seconds = 0.5 * sample.Predicted(prior);
    learner.Learn(sample);
  }
  EXPECT_NEAR(learner.belief().a / prior.a, 0.5, 0.15);
  EXPECT_LT(learner.belief().b / prior.b, 0.8) << "no prompt was seen, but the GPU is fast";
}

TEST(StepLearner, IsBoundedAndDeafToNonsense) {
  StepLearner learner;
  const StepBelief prior;
  learner.Learn({.steps = 100, .seconds = 0});
  learner.Learn({.steps = 100, .seconds = std::nan("")});
  EXPECT_EQ(learner.belief().a, prior.a);
  for (int i = 0; i < 10'000; ++i) {
    learner.Learn({.steps = 1, .sequence_steps = 1, .held_steps = 1, .seconds = 1e6});
  }
  EXPECT_LE(learner.belief().a, 8 * prior.a);
  EXPECT_TRUE(std::isfinite(learner.belief().b));
}

// --- The forecast

struct Endpoint {
  Endpoint() : engine(std::make_shared<EngineBelief>()), forecast(engine) {}
  std::shared_ptr<EngineBelief> engine;
  StepForecast forecast;
};

// A request whose length is known.
Demand Exact(Seconds arrived, Tokens prompt, Tokens output, const slo::Slo* slo = nullptr) {
  return {.arrived = arrived, .prompt_tokens = prompt, .output_tokens = output, .slo = slo};
}

TEST(StepForecast, AnIdleEngineServesAtTheBelievedPace) {
  Endpoint endpoint;
  const StepBelief belief;
  const Outlook outlook = endpoint.forecast.Assess(Exact(10, 1000, 100), 10);
  EXPECT_NEAR(outlook.first_token, 10 + belief.a + 1000 * belief.b, 1e-9);
  EXPECT_NEAR(outlook.pace, belief.Decode(1, 1050), 1e-9);
  EXPECT_EQ(outlook.miss, 0);
  EXPECT_EQ(endpoint.forecast.Harm(Exact(10, 1000, 100), 10), 0);
}

TEST(StepForecast, PricesWhatALongPromptDoesToTheOthers) {
  const slo::Slo tight{.tpot = 0.025};
  Endpoint endpoint;
  // A chat turn in mid-response that can keep its pace alone, but has little to spare.
  endpoint.forecast.Start(Exact(0, 100, 60, &tight), 0);
  const slo::Slo loose{.e2e = 60};
  EXPECT_NEAR(endpoint.forecast.Harm(Exact(0.5, 50, 20, &loose), 0.5), 0, 1e-9);
  EXPECT_NEAR(endpoint.forecast.Harm(Exact(0.5, 8000, 20, &loose), 0.5), 1, 1e-9);
  std::vector<Harmed> harmed;
  endpoint.forecast.Harm(Exact(0.5, 50, 20, &loose), 0.5, &harmed);
  EXPECT_TRUE(harmed.empty());
  endpoint.forecast.Harm(Exact(0.5, 8000, 20, &loose), 0.5, &harmed);
  ASSERT_EQ(harmed.size(), 1);
  EXPECT_NEAR(harmed[0].miss_before, 0, 1e-9);
  EXPECT_NEAR(harmed[0].miss_after, 1, 1e-9);
  EXPECT_EQ(endpoint.forecast.Assess(Exact(0.5, 8000, 20, &loose), 0.5).miss, 0);
}

TEST(StepForecast, WhoHasSlackOrHasLostIsNotHarmed) {
  const slo::Slo loose{.e2e = 600};
  const slo::Slo lost{.ttft = 0.001};
  Endpoint endpoint;
  endpoint.forecast.Start(Exact(0, 100, 500, &loose), 0);
  endpoint.forecast.Start(Exact(0, 100, 500, &lost), 0);
  endpoint.forecast.Start(Exact(0, 100, 500), 0);
  EXPECT_EQ(endpoint.forecast.Harm(Exact(1, 8000, 20), 1), 0);
}

TEST(StepForecast, EveryKindOfTargetIsKeptOrMissedByItsOwnRule) {
  const StepBelief belief;
  const double pace = belief.Decode(1, 150);
  const double first = belief.a + 100 * belief.b;
  const double end = first + 99 * pace;
  const auto miss = [](const slo::Slo& slo) {
    Endpoint endpoint;
    return endpoint.forecast.Assess(Exact(0, 100, 100, &slo), 0).miss;
  };
  EXPECT_EQ(miss({.ttft = first * 1.6}), 0);
  EXPECT_EQ(miss({.ttft = first * 0.5}), 1);
  EXPECT_EQ(miss({.tpot = pace * 1.1}), 0);
  EXPECT_EQ(miss({.tpot = pace * 0.9}), 1);
  EXPECT_EQ(miss({.tpat = end / 200 * 1.1}), 0);
  EXPECT_EQ(miss({.tpat = end / 200 * 0.9}), 1);
  EXPECT_EQ(miss({.ntpot = end / 100 * 1.1}), 0);
  EXPECT_EQ(miss({.ntpot = end / 100 * 0.9}), 1);
  EXPECT_EQ(miss({.e2e = end * 1.1}), 0);
  EXPECT_EQ(miss({.e2e = end * 0.9}), 1);
  EXPECT_EQ(miss({.ttft = first * 1.6, .e2e = end * 0.9}), 1) << "all of them count";
}

TEST(StepForecast, ALengthThatIsNotKnownMissesInProportion) {
  predict::LengthDistribution::Counts counts{};
  for (const int length : {50, 100, 200, 400}) {
    counts[static_cast<std::size_t>(predict::LengthDistribution::BucketOf(length))] += 1;
  }
  Endpoint endpoint;
  const slo::Slo slo{.e2e = 300 * StepBelief{}.Decode(1, 200)};
  Demand demand = Exact(0, 100, 100, &slo);
  demand.lengths = std::make_shared<predict::LengthDistribution>(counts);
  EXPECT_NEAR(endpoint.forecast.Assess(demand, 0).miss, 0.25, 0.02);
  demand.most_tokens = 220;
  EXPECT_NEAR(endpoint.forecast.Assess(demand, 0).miss, 0, 0.02) << "max_tokens cuts it";
}

TEST(StepForecast, PromptsWaitInLine) {
  Endpoint endpoint;
  const Seconds alone = endpoint.forecast.Assess(Exact(0, 4000, 10), 0).first_token;
  for (int i = 0; i < 5; ++i) endpoint.forecast.Start(Exact(0, 4000, 10), 0);
  EXPECT_NEAR(endpoint.forecast.Assess(Exact(0, 4000, 10), 0).first_token, 6 * alone, alone);
  EXPECT_GT(endpoint.forecast.Backlog(), 4 * alone);
  endpoint.forecast.Assess(Exact(60, 4000, 10), 60);
  EXPECT_EQ(endpoint.forecast.Backlog(), 0) << "time passes without events";
}

TEST(StepForecast, WhoLeavesTheLineTakesNobodyWithIt) {
  Endpoint endpoint;
  Demand streamed = Exact(0, 4000, 10);
  streamed.reports_first_token = true;
  std::vector<Resident> residents;
  for (int i = 0; i < 5; ++i) residents.push_back(endpoint.forecast.Start(streamed, 0));
  const Seconds five = endpoint.forecast.Backlog();
  endpoint.forecast.End(residents[4], {}, 0);
  EXPECT_NEAR(endpoint.forecast.Backlog(), five * 4 / 5, five / 100) << "the last one leaves";
  endpoint.forecast.End(residents[1], {}, 0);
  EXPECT_NEAR(endpoint.forecast.Backlog(), five * 3 / 5, five / 100) << "one from the middle";
  for (const int i : {0, 2, 3})
    endpoint.forecast.End(residents[static_cast<std::size_t>(i)], {}, 0);
  EXPECT_EQ(endpoint.forecast.Backlog(), 0);
}

TEST(StepForecast, AnEngineThatHangsLooksWorseAndWorse) {
  Endpoint endpoint;
  Demand streamed = Exact(0, 100, 100);
  streamed.reports_first_token = true;
  endpoint.forecast.Start(streamed, 0);
  const slo::Slo slo{.ttft = 1};
  EXPECT_EQ(endpoint.forecast.Assess(Exact(0.1, 100, 10, &slo), 0.1).miss, 0);
  EXPECT_EQ(endpoint.forecast.Assess(Exact(5, 100, 10, &slo), 5).miss, 1);
}

TEST(StepForecast, AFullKvCacheMakesPromptsWaitForEnds) {
  Endpoint endpoint;
  endpoint.engine->kv_tokens = 10'000;
  for (int i = 0; i < 9; ++i) endpoint.forecast.Start(Exact(0, 1000, 2000), 0);
  const slo::Slo slo{.ttft = 2};
  EXPECT_EQ(endpoint.forecast.Assess(Exact(3, 200, 10, &slo), 3).miss, 0);
  EXPECT_EQ(endpoint.forecast.Assess(Exact(3, 4000, 10, &slo), 3).miss, 1);
}

TEST(StepForecast, APromptFitsOnceThoseBeforeItHaveLeftRoomForIt) {
  Endpoint endpoint;
  endpoint.engine->kv_tokens = 10'000;
  EXPECT_TRUE(endpoint.forecast.Assess(Exact(0, 4000, 10), 0).fits);
  // Two long responses keep their room for minutes.
  for (int i = 0; i < 2; ++i) endpoint.forecast.Start(Exact(0, 4000, 4000), 0);
  EXPECT_FALSE(endpoint.forecast.Assess(Exact(3, 4000, 10), 3).fits);
  // Nor is there room for a short prompt: the two will grow by more than what is left.
  EXPECT_FALSE(endpoint.forecast.Assess(Exact(3, 20, 10), 3).fits);

  // A deep line of prompts with short responses: each has ended before the next but two is in.
  Endpoint other;
  other.engine->kv_tokens = 10'000;
  for (int i = 0; i < 10; ++i) other.forecast.Start(Exact(0, 3000, 4), 0);
  EXPECT_TRUE(other.forecast.Assess(Exact(0.1, 3000, 4), 0.1).fits);
}

TEST(StepForecast, LearnsHowMuchSlowerOneEndpointIs) {
  Endpoint endpoint;
  StepForecast healthy(endpoint.engine);
  for (int i = 0; i < 200; ++i) {
    const Seconds now = i * 5.0;
    const Resident slow = endpoint.forecast.Start(Exact(now, 100, 100), now);
    const Resident usual = healthy.Start(Exact(now, 100, 100), now);
    healthy.End(usual, {100, 100, 2.1}, now + 2.1);
    endpoint.forecast.End(slow, {100, 100, 4.2}, now + 4.2);
  }
  const Seconds now = 1001;
  EXPECT_NEAR(healthy.Assess(Exact(now, 100, 100), now).end, now + 2.1, 0.3);
  EXPECT_NEAR(endpoint.forecast.Assess(Exact(now, 100, 100), now).end, now + 4.2, 0.6);
}

TEST(StepForecast, OnePauseOfTheEngineIsNotBelievedToLast) {
  Endpoint endpoint;
  const auto serve = [&](Seconds now, int requests, Seconds e2e) {
    std::vector<Resident> residents;
    for (int i = 0; i < requests; ++i) {
      residents.push_back(endpoint.forecast.Start(Exact(now, 100, 100), now));
    }
    for (const Resident resident : residents) {
      endpoint.forecast.End(resident, {100, 100, e2e}, now + e2e);
    }
  };
  for (int i = 0; i < 100; ++i) serve(i * 5.0, 10, 2.2);
  const Seconds before = endpoint.forecast.Assess(Exact(500, 100, 100), 500).end - 500;
  serve(500, 10, 30);
  const Seconds after = endpoint.forecast.Assess(Exact(540, 100, 100), 540).end - 540;
  EXPECT_LT(after, 1.4 * before);
}

TEST(StepForecast, LatestStartLeavesTimeForTheMeanResponse) {
  const slo::Slo e2e{.e2e = 10};
  const Seconds start = StepForecast::LatestStart(Exact(5, 100, 100, &e2e), {});
  Endpoint endpoint;
  EXPECT_NEAR(endpoint.forecast.Assess(Exact(5, 100, 100), start).end, 15, 1e-6);
  EXPECT_EQ(StepForecast::LatestStart(Exact(5, 100, 100), {}), kNever);
}

// --- Profiles

// The profile that an engine with these steps has, by Little's law, where its rates are such that
// `batch` requests run at once.
profile::GpuProfile ProfileOf(const StepBelief& truth, double batch) {
  profile::GpuProfile profile;
  profile.outputs = profile::BucketAxis({8, 32, 128, 512});
  profile.inputs = profile::BucketAxis({32, 256, 2048});
  profile.tput = profile::BucketMatrix(4, 3, 0);
  profile.e2e = profile::BucketMatrix(4, 3, 0);
  for (std::size_t output = 0; output < 4; ++output) {
    for (std::size_t input = 0; input < 3; ++input) {
      const double steps = profile.outputs.centres()[output];
      const double prompt = profile.inputs.centres()[input];
      const StepSample sample{.steps = steps,
                              .sequence_steps = steps * batch,
                              .held_steps = steps * batch * (prompt + steps / 2),
                              .prefilled = batch * prompt};
      profile.e2e->at(output, input) = sample.Predicted(truth);
      profile.tput.at(output, input) = (batch - 1) / sample.Predicted(truth);
    }
  }
  return profile;
}

TEST(StepsBy, AProfileSaysWhatAnIdleEngineTakes) {
  for (const StepBelief truth : {StepBelief{0.006, 0.00007, 0.00003, 0.0000001},
                                 StepBelief{0.058, 0.00022, 0.0002, 0.0000009}}) {
    for (const double batch : {10, 60}) {
      const StepBelief steps = StepsBy(ProfileOf(truth, batch));
      const auto idle = [](const StepBelief& step) {
        const Alone alone = AloneOn(step, 2048, 100, 100);
        return alone.first_token + alone.decode;
      };
      EXPECT_NEAR(idle(steps) / idle(truth), 1, 0.25) << truth.a << " " << batch;
    }
  }
}

TEST(StepsBy, AProfileThatSaysNothingLeavesThePrior) {
  profile::GpuProfile profile = ProfileOf({}, 10);
  profile.tput = profile::BucketMatrix(4, 3, 0);
  EXPECT_EQ(StepsBy(profile).a, StepBelief{}.a);
  profile.e2e.reset();
  EXPECT_EQ(StepsBy(profile).a, StepBelief{}.a);
}

// --- Bookkeeping

TEST(StepForecast, IsIdleAgainAfterAnyHistory) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    Rng rng(seed);
    Endpoint endpoint;
    if (rng.Below(2) == 0) endpoint.engine->kv_tokens = 20'000;
    const slo::Slo slo{.ttft = 1, .tpot = 0.05};
    std::map<int, Resident> residents;
    Seconds now = 0;
    for (int i = 0; i < 3000; ++i) {
      now += rng.Exponential(0.05);
      if (residents.empty() || rng.Below(5) < 2) {
        Demand demand =
            Exact(now, static_cast<Tokens>(1 + rng.Below(6000)),
                  static_cast<Tokens>(1 + rng.Below(400)), rng.Below(2) == 0 ? &slo : nullptr);
        demand.reports_first_token = rng.Below(2) == 0;
        const Outlook outlook = endpoint.forecast.Assess(demand, now);
        ASSERT_GE(outlook.miss, 0);
        ASSERT_LE(outlook.miss, 1);
        const double harm = endpoint.forecast.Harm(demand, now);
        ASSERT_GE(harm, 0);
        ASSERT_LE(harm, static_cast<double>(residents.size()));
        ASSERT_GE(outlook.first_token, now);
        ASSERT_TRUE(std::isfinite(outlook.end));
        residents[i] = endpoint.forecast.Start(demand, now);
        continue;
      }
      const auto at =
          std::next(residents.begin(), static_cast<std::ptrdiff_t>(rng.Below(residents.size())));
      switch (rng.Below(3)) {
        case 0:
          endpoint.forecast.FirstToken(at->second, now);
          break;
        case 1:
          endpoint.forecast.Progress(at->second, static_cast<Tokens>(1 + rng.Below(300)), now);
          break;
        default:
          endpoint.forecast.End(
              at->second,
              rng.Below(3) == 0
                  ? Completion{}
                  : Completion{100, static_cast<Tokens>(rng.Below(300)), rng.Uniform() * 20},
              now);
          residents.erase(at);
      }
    }
    for (const auto& [i, resident] : residents) endpoint.forecast.End(resident, {}, now);
    ASSERT_EQ(endpoint.forecast.residents(), 0);
    ASSERT_EQ(endpoint.forecast.prefill_share(), 0);
    ASSERT_EQ(endpoint.forecast.Backlog(), 0);
    const Seconds pace = endpoint.forecast.Assess(Exact(now, 1, 1), now).pace;
    ASSERT_NEAR(pace, endpoint.engine->steps.belief().Decode(1, 1.5) * endpoint.forecast.scale(),
                1e-9);
  }
}

}  // namespace
}  // namespace headrace::fleet
