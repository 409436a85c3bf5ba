#include "engine/timed_engine.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <vector>

#include "base/random.h"

namespace headrace::engine {
namespace {

using Kind = EngineModel::Event::Kind;

EngineConfig Config() {
  EngineConfig config;
  config.step = {.a = 20e-3, .b = 0.15e-3, .c = 0.05e-3, .d = 1e-6};
  config.kv_blocks = 600;
  config.max_num_seqs = 32;
  config.max_model_len = 2048;
  return config;
}

TEST(TimedEngine, TellsWhenTheNextEventIs) {
  TimedEngine engine(Config());
  EXPECT_EQ(engine.NextWake(), kNever);
  EXPECT_TRUE(engine.Advance(5).empty());

  engine.Add(5, 1, 100, 101);
  EXPECT_EQ(engine.NextWake(), 5) << "a step is to be planned";
  EXPECT_TRUE(engine.Advance(5).empty());
  const Seconds first = 5 + Config().step.Duration(step::Work::Prefill(100));
  EXPECT_DOUBLE_EQ(engine.NextWake(), first);
  auto events = engine.Advance(first);
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0].event.kind, Kind::kFirstToken);
  EXPECT_DOUBLE_EQ(events[0].at, first);

  // A hundred tokens later, without a wake-up in between.
  const Seconds last = first + Config().step.DecodeRun(100, 1, 100);
  while (engine.NextWake() < last - 1e-9) EXPECT_TRUE(engine.Advance(engine.NextWake()).empty());
  events = engine.Advance(engine.NextWake());
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0].event.kind, Kind::kFinished);
  EXPECT_NEAR(events[0].at, last, 1e-9);
  EXPECT_EQ(engine.NextWake(), kNever);
}

TEST(TimedEngine, ARequestCancelledInItsLastStepHasNoMoreEvents) {
  TimedEngine engine(Config());
  const auto handle = engine.Add(0, 1, 100, 1);
  engine.Advance(0);
  EXPECT_TRUE(engine.Cancel(handle));
  EXPECT_FALSE(engine.Cancel(handle));
  EXPECT_TRUE(engine.Advance(10).empty());
  EXPECT_EQ(engine.NextWake(), kNever);
}

TEST(TimedEngine, ASlowedEngineTakesLongerFromTheNextStepOn) {
  TimedEngine engine(Config());
  engine.set_step_model(Config().step.SlowedBy(2));
  engine.Add(0, 1, 100, 1);
  engine.Advance(0);
  EXPECT_DOUBLE_EQ(engine.NextWake(), 2 * Config().step.Duration(step::Work::Prefill(100)));
}

struct Happening {
  Seconds at;
  Kind kind;
  std::uint64_t tag;
};

struct Arrival {
  Seconds at;
  Tokens prompt;
  Tokens output;
};

// Every step made by hand at the time it begins.
std::vector<Happening> ByHand(const std::vector<Arrival>& arrivals) {
  EngineModel model(Config());
  std::vector<Happening> log;
  Seconds now = 0;
  std::size_t next = 0;
  while (next < arrivals.size() || !model.idle()) {
    if (model.idle()) now = std::max(now, arrivals[next].at);
    while (next < arrivals.size() && arrivals[next].at <= now) {
      model.Add(next, arrivals[next].prompt, arrivals[next].output);
      ++next;
    }
    now += model.Step().duration;
    for (const auto& event : model.events()) log.push_back({now, event.kind, event.tag});
  }
  return log;
}

// `glances`: also looked at in between, at times that mean nothing to the engine.
std::vector<Happening> Timed(const std::vector<Arrival>& arrivals, bool glances) {
  TimedEngine engine(Config());
  Rng rng(99);
  std::vector<Happening> log;
  std::size_t next = 0;
  Seconds glance = glances ? 0.0 : kNever;
  for (;;) {
    const Seconds arrival = next < arrivals.size() ? arrivals[next].at : kNever;
    const Seconds now = std::min({arrival, engine.NextWake(), glance});
    if (std::min(arrival, engine.NextWake()) == kNever) return log;
    for (const auto& [at, event] : engine.Advance(now)) log.push_back({at, event.kind, event.tag});
    if (arrival <= now) {
      engine.Add(now, next, arrivals[next].prompt, arrivals[next].output);
      ++next;
    }
    if (glance <= now) glance = now + rng.Exponential(0.2);
  }
}

TEST(TimedEngine, LazyTimesAreTheTimesOfSingleSteps) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    Rng rng(seed);
    std::vector<Arrival> arrivals;
    Seconds now = 0;
    for (int i = 0; i < 300; ++i) {
      now += rng.Exponential(0.3 * static_cast<double>(seed));
      arrivals.push_back(
          {now, static_cast<Tokens>(1 + rng.Below(1000)), static_cast<Tokens>(1 + rng.Below(400))});
    }
    const auto expected = ByHand(arrivals);
    for (const bool glances : {false, true}) {
      const auto log = Timed(arrivals, glances);
      ASSERT_EQ(log.size(), expected.size());
      for (std::size_t i = 0; i < log.size(); ++i) {
        ASSERT_NEAR(log[i].at, expected[i].at, 1e-9) << "seed " << seed;
        ASSERT_EQ(log[i].kind, expected[i].kind);
        ASSERT_EQ(log[i].tag, expected[i].tag);
      }
    }
  }
}

}  // namespace
}  // namespace headrace::engine
