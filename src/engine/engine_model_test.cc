#include "engine/engine_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <map>
#include <vector>

#include "base/random.h"

namespace headrace::engine {
namespace {

using Kind = EngineModel::Event::Kind;
using ::testing::ElementsAre;

EngineConfig SmallEngine() {
  EngineConfig config;
  config.step = {.a = 20e-3,
                 .b = 0.15e-3,
                 .c = 0.05e-3,
                 .d = 1e-6,
                 .e = 2e-7,
                 .overlap = 0.8,
                 .overhead = 1e-3,
                 .overhead_per_sequence = 2e-5};
  config.kv_blocks = 64;
  config.max_num_seqs = 8;
  config.max_num_batched_tokens = 128;
  config.max_model_len = 512;
  return config;
}

EngineConfig LargeEngine() {
  EngineConfig config = SmallEngine();
  config.kv_blocks = 4000;
  config.max_num_seqs = 256;
  config.max_num_batched_tokens = 2048;
  config.max_model_len = 4096;
  return config;
}

std::vector<std::pair<Kind, std::uint64_t>> Tagged(const EngineModel& engine) {
  std::vector<std::pair<Kind, std::uint64_t>> events;
  for (const auto& event : engine.events()) events.emplace_back(event.kind, event.tag);
  return events;
}

// The same scheduler written the plain way, a request at a time and a step at a time: the judge of
// the fast one.
class PlainEngine {
 public:
  explicit PlainEngine(const EngineConfig& config) : config_(config) {}

  void Add(std::uint64_t tag, Tokens prompt, Tokens output) {
    waiting_.push_back({tag, prompt, output, 0, 0, false});
  }
  void Cancel(std::uint64_t tag) {
    const auto is_it = [tag](const Request& r) { return r.tag == tag; };
    std::erase_if(waiting_, is_it);
    std::erase_if(running_, is_it);
  }

  Seconds Step(std::vector<std::pair<Kind, std::uint64_t>>* events) {
    events->clear();
    if (running_.empty() && waiting_.empty()) return 0;
    bool preempted = false;
    Tokens budget = config_.max_num_batched_tokens;
    step::Work work;
    for (std::size_t i = 0; i < running_.size(); ++i) {
      const bool decodes = running_[i].decodes;
      const Tokens chunk = std::min(budget, running_[i].Known() - running_[i].computed);
      while (i < running_.size() &&
             Used() - Blocks(running_[i].computed) + Blocks(running_[i].computed + chunk) >
                 config_.kv_blocks) {
        Request victim = running_.back();
        running_.pop_back();
        victim.computed = 0;
        victim.decodes = false;
        waiting_.push_front(victim);
        events->emplace_back(Kind::kPreempted, victim.tag);
        preempted = true;
      }
      if (i == running_.size()) break;
      if (decodes) {
        ++work.decoding;
        work.held += running_[i].computed + chunk;
      } else {
        work.AddChunk(chunk, running_[i].computed);
      }
      running_[i].computed += chunk;
      budget -= chunk;
    }
    while (!preempted && !waiting_.empty() && budget > 0 &&
           running_.size() < static_cast<std::size_t>(config_.max_num_seqs)) {
      const Tokens chunk = std::min(budget, waiting_.front().Known());
      if (Used() + Blocks(waiting_.front().Known()) > config_.kv_blocks) break;
      running_.push_back(waiting_.front());
      waiting_.pop_front();
      running_.back().computed = chunk;
      budget -= chunk;
      work.AddChunk(chunk, 0);
    }
    std::vector<Request> left;
    for (Request& request : running_) {
      if (request.computed == request.Known()) {
        if (request.output > 0 && ++request.made == 1) {
          events->emplace_back(Kind::kFirstToken, request.tag);
        }
        request.decodes = true;
        if (request.made == request.output) {
          events->emplace_back(Kind::kFinished, request.tag);
          continue;
        }
      }
      left.push_back(request);
    }
    running_ = left;
    return config_.step.Duration(work);
  }

  std::int64_t Used() const {
    std::int64_t used = 0;
    for (const Request& request : running_) used += Blocks(request.computed);
    return used;
  }
  std::size_t running() const { return running_.size(); }
  std::size_t waiting() const { return waiting_.size(); }

 private:
  struct Request {
    std::uint64_t tag;
    Tokens prompt;
    Tokens output;
    Tokens made;
    Tokens computed;
    bool decodes = false;
    Tokens Known() const { return prompt + made; }
  };
  static std::int64_t Blocks(Tokens tokens) { return KvBlocksFor(tokens); }

  EngineConfig config_;
  std::deque<Request> waiting_;
  std::vector<Request> running_;
};

TEST(EngineModel, OneRequestTakesItsPrefillAndOneStepPerFurtherToken) {
  EngineModel engine(SmallEngine());
  const step::TimeModel step = SmallEngine().step;
  const auto request = engine.Add(7, 100, 3);
  EXPECT_EQ(engine.waiting(), 1);

  EXPECT_DOUBLE_EQ(engine.Step().duration, step.Duration(step::Work::Prefill(100)));
  EXPECT_THAT(Tagged(engine), ElementsAre(std::pair(Kind::kFirstToken, 7)));
  EXPECT_EQ(engine.generated(request), 1);
  EXPECT_EQ(engine.kv_blocks_used(), 7);

  EXPECT_DOUBLE_EQ(engine.Step().duration, step.Duration({.decoding = 1, .held = 101}));
  EXPECT_EQ(engine.generated(request), 2);
  EXPECT_THAT(Tagged(engine), ElementsAre());

  EXPECT_DOUBLE_EQ(engine.Step().duration, step.Duration({.decoding = 1, .held = 102}));
  EXPECT_THAT(Tagged(engine), ElementsAre(std::pair(Kind::kFinished, 7)));
  EXPECT_TRUE(engine.idle());
  EXPECT_FALSE(engine.alive(request));
  EXPECT_EQ(engine.kv_blocks_used(), 0);
  EXPECT_EQ(engine.Step().steps, 0);
}

TEST(EngineModel, ALongPromptIsPrefilledInChunksThatSlowTheOthersDown) {
  EngineModel engine(SmallEngine());
  engine.Add(1, 16, 100);
  engine.Step();
  engine.Add(2, 300, 2);

  auto report = engine.Step();
  EXPECT_EQ(report.decoding, 1);
  EXPECT_EQ(report.prefilled, 127);
  EXPECT_EQ(engine.Step().prefilled, 127);
  report = engine.Step();
  EXPECT_EQ(report.prefilled, 46);
  EXPECT_THAT(Tagged(engine), ElementsAre(std::pair(Kind::kFirstToken, 2)));
}

TEST(EngineModel, AttentionGrowsWithTheSquareOfThePromptHoweverItIsCut) {
  EngineConfig config = LargeEngine();
  config.step = {.a = 1e-3, .e = 1e-6};
  for (const Tokens budget : {256, 1000, 2048}) {
    config.max_num_batched_tokens = budget;
    for (const Tokens prompt : {100, 1024, 3000}) {
      EngineModel engine(config);
      engine.Add(1, prompt, 1);
      Seconds attention = 0;
      while (!engine.idle()) attention += engine.Step().duration - config.step.a;
      EXPECT_NEAR(attention, 0.5e-6 * prompt * prompt, 1e-12) << budget << " " << prompt;
    }
  }
}

TEST(EngineModel, AnEmbeddingFinishesWithItsPrefillAndWithoutAToken) {
  EngineModel engine(SmallEngine());
  engine.Add(1, 200, 0);
  engine.Step();
  EXPECT_TRUE(engine.events().empty());
  engine.Step();
  EXPECT_THAT(Tagged(engine), ElementsAre(std::pair(Kind::kFinished, 1)));
}

TEST(EngineModel, WhenKvRunsOutTheLatestArrivalIsPreemptedAndStartsAgain) {
  EngineConfig config = SmallEngine();
  config.kv_blocks = 32;
  EngineModel engine(config);
  engine.Add(1, 100, 300);
  engine.Step();
  const auto second = engine.Add(2, 100, 300);
  engine.Step();
  while (engine.preemptions() == 0) engine.Step();
  EXPECT_THAT(Tagged(engine), ElementsAre(std::pair(Kind::kPreempted, 2)));
  const Tokens made = engine.generated(second);
  EXPECT_GT(made, 100);
  EXPECT_EQ(engine.waiting(), 1);

  // The first one runs to its end alone; then the second recomputes its prompt and its tokens.
  bool first_finished = false;
  Tokens recomputed = 0;
  while (engine.alive(second)) {
    const auto report = engine.Step();
    recomputed += report.prefilled;
    for (const auto& event : engine.events()) {
      EXPECT_EQ(event.kind, Kind::kFinished);
      EXPECT_TRUE(event.tag == 1 || first_finished);
      first_finished = true;
    }
  }
  EXPECT_EQ(recomputed, 100 + made);
  EXPECT_EQ(engine.kv_blocks_used(), 0);
}

TEST(EngineModel, ACancelledRequestFreesItsPlaceInAnyState) {
  EngineConfig config = SmallEngine();
  config.max_num_seqs = 2;
  EngineModel engine(config);
  const auto decoding = engine.Add(1, 16, 50);
  engine.Step();
  const auto prefilling = engine.Add(2, 400, 50);
  const auto waiting = engine.Add(3, 16, 50);
  engine.Step();
  EXPECT_EQ(engine.running(), 2);
  EXPECT_TRUE(engine.Cancel(waiting));
  EXPECT_TRUE(engine.Cancel(prefilling));
  EXPECT_TRUE(engine.Cancel(decoding));
  EXPECT_TRUE(engine.idle());
  EXPECT_EQ(engine.kv_blocks_used(), 0);
  EXPECT_EQ(engine.held_tokens(), 0);
  EXPECT_FALSE(engine.Cancel(decoding)) << "already cancelled";
}

TEST(EngineModel, AHandleIsNotReused) {
  EngineModel engine(SmallEngine());
  const auto first = engine.Add(1, 16, 5);
  engine.Cancel(first);
  const auto second = engine.Add(2, 16, 5);
  EXPECT_NE(first, second);
  EXPECT_FALSE(engine.alive(first));
  EXPECT_FALSE(engine.Cancel(first));
  EXPECT_TRUE(engine.alive(second));
}

TEST(EngineModel, RefusesImpossibleConfigurations) {
  EXPECT_TRUE(CheckEngineConfig(SmallEngine()));
  EngineConfig config = SmallEngine();
  config.max_model_len = 64 * kKvBlockTokens + 1;
  EXPECT_THAT(CheckEngineConfig(config).error().message, ::testing::HasSubstr("KV cache of 1024"));
  config = SmallEngine();
  config.step.overlap = 1.5;
  EXPECT_THAT(CheckEngineConfig(config).error().message, ::testing::HasSubstr("between 0 and 1"));
  config = SmallEngine();
  config.step.e = -1e-9;
  EXPECT_THAT(CheckEngineConfig(config).error().message, ::testing::HasSubstr("negative"));
  config = SmallEngine();
  config.max_num_batched_tokens = 4;
  EXPECT_THAT(CheckEngineConfig(config).error().message,
              ::testing::HasSubstr("max_num_batched_tokens"));

  const EngineModel engine(SmallEngine());
  EXPECT_TRUE(engine.Fits(500, 12));
  EXPECT_FALSE(engine.Fits(500, 13));
  EXPECT_FALSE(engine.Fits(0, 13));
}

// Against the plain engine, over random arrivals and cancellations, on an engine so small that it
// is preempting much of the time.
TEST(EngineModel, DoesTheSameAsAPlainEngine) {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    Rng rng(seed);
    EngineConfig config = SmallEngine();
    config.kv_blocks = 32 + static_cast<std::int64_t>(rng.Below(40));
    config.max_num_seqs = 1 + static_cast<int>(rng.Below(12));
    EngineModel engine(config);
    PlainEngine plain(config);
    std::map<std::uint64_t, EngineModel::Handle> alive;
    std::vector<std::pair<Kind, std::uint64_t>> expected;
    std::uint64_t tag = 0;
    for (int i = 0; i < 800; ++i) {
      if (rng.Below(12) == 0) {
        const auto prompt = static_cast<Tokens>(1 + rng.Below(300));
        const auto output = static_cast<Tokens>(rng.Below(200));
        plain.Add(tag, prompt, output);
        alive[tag] = engine.Add(tag, prompt, output);
        ++tag;
      }
      if (!alive.empty() && rng.Below(60) == 0) {
        const auto victim = std::next(alive.begin(), static_cast<int>(rng.Below(alive.size())));
        plain.Cancel(victim->first);
        ASSERT_TRUE(engine.Cancel(victim->second));
        alive.erase(victim);
      }
      ASSERT_NEAR(engine.Step().duration, plain.Step(&expected), 1e-12) << "seed " << seed;
      ASSERT_THAT(Tagged(engine), ::testing::UnorderedElementsAreArray(expected));
      ASSERT_EQ(engine.kv_blocks_used(), plain.Used());
      ASSERT_EQ(engine.running(), static_cast<int>(plain.running()));
      ASSERT_EQ(engine.waiting(), static_cast<int>(plain.waiting()));
      for (const auto& [kind, ended] : expected) {
        if (kind == Kind::kFinished) alive.erase(ended);
      }
    }
  }
}

// Every request ends exactly once with exactly its tokens, KV never exceeds its room and comes back
// to nothing, and an engine that is given no more work serves what it has.
TEST(EngineModel, EveryRequestEndsOnceWithItsExactTokens) {
  struct Fate {
    Tokens output = 0;
    EngineModel::Handle handle = 0;
    Tokens seen = 0;
    int first_tokens = 0;
    int ends = 0;
  };
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    Rng rng(seed);
    EngineModel engine(SmallEngine());
    std::vector<Fate> fates;
    const auto step = [&] {
      engine.Step();
      ASSERT_LE(engine.kv_blocks_used(), engine.config().kv_blocks);
      ASSERT_GE(engine.kv_blocks_used(), 0);
      ASSERT_LE(engine.running(), engine.config().max_num_seqs);
      for (const auto& event : engine.events()) {
        Fate& fate = fates[event.tag];
        fate.first_tokens += event.kind == Kind::kFirstToken;
        fate.ends += event.kind == Kind::kFinished;
        if (event.kind == Kind::kFinished) fate.seen = fate.output;
      }
      for (Fate& fate : fates) {
        if (!engine.alive(fate.handle)) continue;
        const Tokens now = engine.generated(fate.handle);
        ASSERT_TRUE(now == fate.seen || now == fate.seen + 1);
        fate.seen = now;
      }
    };
    for (int i = 0; i < 500; ++i) {
      if (rng.Below(10) == 0) {
        const auto output = static_cast<Tokens>(rng.Below(150));
        Fate fate{.output = output};
        fate.handle = engine.Add(fates.size(), static_cast<Tokens>(1 + rng.Below(350)), output);
        fates.push_back(fate);
      }
      if (!fates.empty() && rng.Below(50) == 0) {
        Fate& fate = fates[rng.Below(fates.size())];
        if (engine.Cancel(fate.handle)) ++fate.ends;
      }
      step();
    }
    for (int i = 0; i < 100000 && !engine.idle(); ++i) step();
    EXPECT_TRUE(engine.idle()) << "a request starves, seed " << seed;
    EXPECT_EQ(engine.kv_blocks_used(), 0);
    EXPECT_EQ(engine.held_tokens(), 0);
    for (const Fate& fate : fates) {
      EXPECT_EQ(fate.ends, 1);
      EXPECT_LE(fate.first_tokens, 1);
    }
  }
}

// The closed form must not be told from single steps, wherever it is cut.
TEST(EngineModel, ManyStepsAtOnceAreTheSameAsSingleSteps) {
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    Rng rng(seed);
    const EngineConfig config = seed % 2 == 0 ? LargeEngine() : SmallEngine();
    EngineModel many(config);
    EngineModel single(config);
    Seconds many_time = 0;
    Seconds single_time = 0;
    for (int round = 0; round < 300; ++round) {
      if (rng.Below(3) == 0) {
        const auto prompt = static_cast<Tokens>(
            1 + rng.Below(static_cast<std::uint64_t>(config.max_model_len / 2)));
        const auto output =
            static_cast<Tokens>(rng.Below(static_cast<std::uint64_t>(config.max_model_len / 2)));
        const auto tag = static_cast<std::uint64_t>(round);
        many.Add(tag, prompt, output);
        single.Add(tag, prompt, output);
      }
      const Seconds horizon = rng.Below(4) == 0 ? kNever : rng.Exponential(0.4);
      const auto quiet = many.QuietSteps();
      const Seconds quiet_duration = many.QuietDuration();
      const auto report = many.StepMany(horizon);
      Seconds elapsed = 0;
      if (report.steps == 0) single.Step();
      for (std::int64_t i = 0; i < report.steps; ++i) {
        EXPECT_TRUE(i == 0 || elapsed < horizon) << "a step too many";
        EXPECT_TRUE(i == 0 || single.events().empty()) << "an event was skipped";
        elapsed += single.Step().duration;
      }
      EXPECT_TRUE(elapsed >= horizon || !single.events().empty() || report.steps <= 1 ||
                  report.steps == quiet);
      if (report.steps == quiet) {
        EXPECT_NEAR(report.duration, quiet_duration, 1e-12);
      }
      many_time += report.duration;
      single_time += elapsed;
      ASSERT_NEAR(many_time, single_time, 1e-9) << "seed " << seed << " round " << round;
      ASSERT_EQ(Tagged(many), Tagged(single));
      ASSERT_EQ(many.kv_blocks_used(), single.kv_blocks_used());
      ASSERT_EQ(many.held_tokens(), single.held_tokens());
    }
  }
}

// The cached part of a prompt is not computed again, but takes the room of the whole one.
TEST(EngineModel, CachedPrefixIsNotPrefilled) {
  EngineModel engine(LargeEngine());
  engine.Add(0, 2000, 3, 1990);
  const EngineModel::StepReport prefill = engine.Step();
  EXPECT_EQ(prefill.prefilled, 10);
  EXPECT_EQ(prefill.duration, LargeEngine().step.Duration(step::Work::Prefill(10, 1990)))
      << "the ten attend to what is cached";
  EXPECT_EQ(engine.kv_blocks_used(), KvBlocksFor(2000));
  while (!engine.idle()) engine.Step();
  EXPECT_EQ(engine.kv_blocks_used(), 0);
}

}  // namespace
}  // namespace headrace::engine
