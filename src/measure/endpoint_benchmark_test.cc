#include "measure/endpoint_benchmark.h"

#include <gmock/gmock.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <cctype>
#include <cstdlib>
#include <functional>
#include <iterator>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "emulator/emulated_engine.h"
#include "net/http_server.h"
#include "net/test_peers.h"

namespace headrace::measure {
namespace {

using ::testing::HasSubstr;

// An engine that is fast enough for tests, slow enough that a busy machine can follow.
class EndpointBenchmarkTest : public ::testing::Test {
 protected:
  EndpointBenchmarkTest() {
    engine_options_.model = "m";
    engine_options_.engine.step = {.a = 4e-3, .b = 0.02e-3, .c = 0.1e-3, .d = 1e-7};
    engine_options_.engine.kv_blocks = 600;
    engine_options_.engine.max_num_seqs = 8;
    engine_options_.engine.max_model_len = 1024;
    engine_options_.listen = *system::Resolve({"127.0.0.1", 0});
    auto engine = emulator::EmulatedEngine::Start(engine_options_);
    EXPECT_TRUE(engine);
    engine_ = std::move(*engine);
    options_.target = completion::EndpointAt(engine_->address());
    options_.model = "m";
    options_.samples = 60;
  }

  emulator::EmulatedEngineOptions engine_options_;
  std::unique_ptr<emulator::EmulatedEngine> engine_;
  net::IoThreads threads_{1};
  EndpointOptions options_;
};

TEST_F(EndpointBenchmarkTest, ASustainedRateIsTheThroughputAndLatenciesIncludeTheEnginesTime) {
  for (const openai::ApiKind api :
       {openai::ApiKind::kCompletions, openai::ApiKind::kChatCompletions}) {
    options_.api = api;
    EndpointBenchmark benchmark(threads_[0], options_);
    const benchmark::GridPoint point{.input = 100, .output = 12, .rate = 25};
    const auto measured = benchmark.Measure(point);
    ASSERT_TRUE(measured) << measured.error().message;
    EXPECT_NEAR(measured->tput, point.rate, 0.2 * point.rate);
    EXPECT_NEAR(measured->tt, 12 * measured->tput, 1e-9);
    EXPECT_GE(measured->samples, 60);
    const step::TimeModel& step = engine_options_.engine.step;
    EXPECT_GE(measured->ttft.p50, step.Duration(step::Work::Prefill(100)));
    EXPECT_GE(measured->e2e.mean, step.Duration(step::Work::Prefill(100)) + 11 * step.a);
    EXPECT_GE(measured->tpot.p50, step.a);
    EXPECT_LE(measured->e2e.p50, measured->e2e.p99);
    EXPECT_GT(benchmark.Progress().sent, 70U);
  }
}

TEST_F(EndpointBenchmarkTest, ARateBeyondTheEngineIsNotSustained) {
  EndpointBenchmark benchmark(threads_[0], options_);
  const auto measured = benchmark.Measure({.input = 16, .output = 100, .rate = 400});
  ASSERT_TRUE(measured) << measured.error().message;
  EXPECT_FALSE(measured->sustained);
  EXPECT_LT(measured->tput, 300);
}

// Of few requests many may end behind the window, however fast the endpoint is.
TEST_F(EndpointBenchmarkTest, AShortWindowIsNoReasonToCallARateNotSustained) {
  options_.samples = 20;
  for (options_.seed = 1; options_.seed <= 4; ++options_.seed) {
    EndpointBenchmark benchmark(threads_[0], options_);
    const auto measured = benchmark.Measure({.input = 16, .output = 2, .rate = 60});
    ASSERT_TRUE(measured) << measured.error().message;
    EXPECT_TRUE(measured->sustained) << options_.seed;
    EXPECT_TRUE(measured->Finishes()) << options_.seed << ": " << measured->tput;
  }
}

TEST_F(EndpointBenchmarkTest, AMissedSloEndsAMeasurement) {
  options_.slo.e2e = 1e-3;
  EndpointBenchmark benchmark(threads_[0], options_);
  const benchmark::GridPoint point{.input = 16, .output = 4, .rate = 50};
  const auto measured = benchmark.Measure(point);
  ASSERT_TRUE(measured) << measured.error().message;
  EXPECT_FALSE(benchmark::IsKept(*measured, options_.slo));
  EXPECT_LE(measured->samples, 60);
}

TEST_F(EndpointBenchmarkTest, ReadsTheContextLength) {
  EXPECT_EQ(*EndpointBenchmark(threads_[0], options_).ContextLength(), 1024);
  options_.model = "other";
  const auto unknown = EndpointBenchmark(threads_[0], options_).ContextLength();
  ASSERT_FALSE(unknown);
  EXPECT_THAT(unknown.error().message, HasSubstr("does not serve other, but m;"));
}

TEST_F(EndpointBenchmarkTest, TellsWhyNothingCanBeMeasured) {
  {
    EndpointBenchmark benchmark(threads_[0], options_);
    const auto too_long = benchmark.Measure({.input = 1000, .output = 100, .rate = 10});
    ASSERT_FALSE(too_long);
    EXPECT_THAT(too_long.error().message, HasSubstr(" answered 400: "));
    // One failure does not spoil the next measurement.
    EXPECT_TRUE(benchmark.Measure({.input = 20, .output = 2, .rate = 50}));
    const auto too_short = benchmark.Measure({.input = 1, .output = 2, .rate = 50});
    ASSERT_FALSE(too_short);
    EXPECT_THAT(too_short.error().message, HasSubstr("the shortest has 2"));
  }
  engine_->Stop();
  const auto unreachable =
      EndpointBenchmark(threads_[0], options_).Measure({.input = 20, .output = 2, .rate = 50});
  ASSERT_FALSE(unreachable);
  EXPECT_THAT(unreachable.error().message, HasSubstr("is the engine running?"));
}

TEST_F(EndpointBenchmarkTest, TheClientsOwnLimitIsNamed) {
  EndpointBenchmark benchmark(threads_[0], options_);
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit none{.rlim_cur = 0, .rlim_max = before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  const auto measured = benchmark.Measure({.input = 20, .output = 2, .rate = 50});
  setrlimit(RLIMIT_NOFILE, &before);
  ASSERT_FALSE(measured);
  EXPECT_EQ(measured.error().message,
            "This client is at its own limit: this machine has no file descriptor or port left for "
            "a connection; let it open more (ulimit -n), or lower the highest rate.");
}

TEST_F(EndpointBenchmarkTest, ProgressIsThatOfTheWindow) {
  EndpointBenchmark benchmark(threads_[0], options_);
  std::atomic<bool> done = false;
  std::thread measure([&] {
    EXPECT_TRUE(benchmark.Measure({.input = 20, .output = 8, .rate = 60}));
    done = true;
  });
  bool seen = false;
  while (!done) {
    const EndpointProgress progress = benchmark.Progress();
    if (progress.wanted > 0) {
      EXPECT_LE(progress.finished, progress.wanted);
      seen = true;
    }
    std::this_thread::yield();
  }
  measure.join();
  EXPECT_TRUE(seen);
  EXPECT_EQ(benchmark.Progress().finished, benchmark.Progress().wanted);
}

TEST_F(EndpointBenchmarkTest, StopEndsAMeasurement) {
  EndpointBenchmark benchmark(threads_[0], options_);
  std::thread stopper([&] {
    // The prompt's calibration, and the first request of the warm-up.
    while (benchmark.Progress().sent < 4) std::this_thread::yield();
    benchmark.Stop();
  });
  // Would take an hour.
  const auto measured = benchmark.Measure({.input = 20, .output = 500, .rate = 0.01});
  stopper.join();
  ASSERT_FALSE(measured);
  EXPECT_EQ(measured.error().message, "Stopped.");
  EXPECT_FALSE(benchmark.Measure({.input = 20, .output = 2, .rate = 50}));
}

// A server that counts the tokens of a prompt in its own way, and generates at once.
class OddTokenizer {
 public:
  explicit OddTokenizer(std::function<Tokens(std::string_view)> count)
      : server_(*net::HttpServer::Listen(
            threads_, net::AnyLoopbackPort(), {},
            [count = std::move(count)](net::HttpExchange& exchange) -> net::Task<void> {
              const auto json = nlohmann::json::parse(exchange.body());
              const auto output = json["max_tokens"].get<Tokens>();
              std::string events;
              for (Tokens i = 0; i < output; ++i) {
                events += "data: {\"choices\":[{\"text\":\" x\"}]}\n\n";
              }
              const nlohmann::json usage = {
                  {"choices", nlohmann::json::array()},
                  {"usage",
                   {{"prompt_tokens", count(json["prompt"].get<std::string>())},
                    {"prompt_tokens_details", {{"cached_tokens", 4}}},
                    {"completion_tokens", output}}}};
              events += "data: " + usage.dump() + "\n\ndata: [DONE]\n\n";
              net::ResponseHead head(200);
              head.Add("content-type", "text/event-stream");
              exchange.Start(head);
              co_await exchange.WriteLast(events);
            })) {}
  const system::SocketAddress& address() const { return server_->address(); }

 private:
  net::IoThreads threads_{1};
  std::unique_ptr<net::HttpServer> server_;
};

// As GPT-2: runs of digits are merged as they happen to be known; a word is a token.
Tokens CountWords(std::string_view prompt) {
  Tokens tokens = 0;
  for (std::size_t i = 0; i < prompt.size(); ++i) {
    const bool digit = std::isdigit(prompt[i] & 0xff) != 0;
    if (digit ? prompt[i] % 3 == 0 : i == 0 || prompt[i] == ' ') ++tokens;
  }
  return tokens;
}

TEST_F(EndpointBenchmarkTest, AnyTokenizerIsLearned) {
  struct Case {
    const char* name;
    std::function<Tokens(std::string_view)> count;
    Tokens most_off;
  };
  const std::vector<Case> cases = {
      {"digits are merged", CountWords, 0},
      {"a word is a token, and a beginning of sequence is added",
       [](std::string_view prompt) { return CountWords(prompt) + 1; }, 0},
      {"a byte is a token",
       [](std::string_view prompt) { return static_cast<Tokens>(prompt.size()); }, 2},
      {"a filler is three tokens and letters differ",
       [](std::string_view prompt) {
         const Tokens words = CountWords(prompt);
         const auto fillers = static_cast<Tokens>(std::ranges::count(prompt, 't'));
         return words + (2 * fillers) + static_cast<Tokens>(std::ranges::count(prompt, 'c')) + 5;
       },
       1},
  };
  options_.samples = 20;
  for (const auto& [name, count, most_off] : cases) {
    const OddTokenizer server(count);
    options_.target = completion::EndpointAt(server.address());
    EndpointBenchmark benchmark(threads_[0], options_);
    for (const Tokens input : {16, 64, 1000, 4096}) {
      const auto measured = benchmark.Measure({.input = input, .output = 2, .rate = 2000});
      EXPECT_TRUE(measured) << name << ", " << input << ": " << measured.error().message;
    }
    for (const NearPrompt& near : benchmark.NearPrompts()) {
      EXPECT_LE(std::abs(near.asked - near.got), most_off) << name << ", " << near.asked;
    }
    EXPECT_EQ(benchmark.NearPrompts().empty(), most_off == 0) << name;
  }
}

TEST_F(EndpointBenchmarkTest, AnEndpointThatCountsOnePromptDifferentlyIsNotMeasured) {
  int calls = 0;
  const OddTokenizer server(
      [&calls](std::string_view prompt) { return CountWords(prompt) + (++calls % 2) * 100; });
  options_.target = completion::EndpointAt(server.address());
  EndpointBenchmark benchmark(threads_[0], options_);
  const auto measured = benchmark.Measure({.input = 200, .output = 2, .rate = 100});
  ASSERT_FALSE(measured);
  EXPECT_THAT(measured.error().message,
              testing::AnyOf(HasSubstr("No prompt of 200 tokens"), HasSubstr("instead of 200")));
}

TEST_F(EndpointBenchmarkTest, AnotherRunSendsOtherPromptsAndTellsWhatWasCached) {
  std::vector<std::string> prompts;
  const OddTokenizer server([&prompts](std::string_view prompt) {
    prompts.emplace_back(prompt);
    return static_cast<Tokens>(1 + std::ranges::count(prompt, ' '));
  });
  options_.target = completion::EndpointAt(server.address());
  const auto run = [&](std::uint64_t prompt_seed) {
    prompts.clear();
    options_.prompt_seed = prompt_seed;
    EndpointBenchmark benchmark(threads_[0], options_);
    const auto measured = benchmark.Measure({.input = 16, .output = 2, .rate = 300});
    EXPECT_TRUE(measured) << measured.error().message;
    EXPECT_NEAR(benchmark.Progress().CachedShare(), 4.0 / 16, 0.05);
    return std::set<std::string>(prompts.begin(), prompts.end());
  };
  const std::set<std::string> first = run(1);
  const std::set<std::string> second = run(2);
  EXPECT_GE(first.size(), 60U);
  std::vector<std::string> repeated;
  std::ranges::set_intersection(first, second, std::back_inserter(repeated));
  EXPECT_TRUE(repeated.empty()) << repeated.size() << " prompts were sent by both";
}

}  // namespace
}  // namespace headrace::measure
