#include "load/load_generator.h"

#include <gmock/gmock.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "emulator/emulated_engine.h"
#include "engine/gpu_catalog.h"
#include "load/load_report.h"
#include "net/http_server.h"
#include "net/test_one_shot.h"
#include "net/test_peers.h"
#include "system/clock.h"
#include "system/mutex.h"

namespace headrace::load {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;

constexpr std::string_view kAnswer = R"({"usage":{"prompt_tokens":3,"completion_tokens":4}})";

workload::WorkloadClass Class(const std::string& name, double rate, Tokens prompt, Tokens output) {
  return {.name = name,
          .arrivals = workload::PoissonArrivals{rate},
          .lengths = workload::DistributedLengths{workload::FixedTokens{prompt},
                                                  workload::FixedTokens{output}},
          .slo = std::nullopt,
          .rate_changes = {}};
}

class LoadTest : public ::testing::Test {
 protected:
  LoadOptions Options(const system::SocketAddress& target) {
    LoadOptions options;
    options.target = completion::EndpointAt(target);
    options.model = "m";
    options.workload = &workload_;
    options.max_requests = 40;
    return options;
  }
  LoadSnapshot Run(const LoadOptions& options) {
    std::uint64_t reported = 0;
    LoadGenerator load(threads_[0], options, [&](const LoadResult& result) {
      const system::MutexLock lock(mutex_);
      results_.push_back(result);
      ++reported;
    });
    load.Start();
    const Seconds limit = system::MonotonicNow() + 60;
    while (!load.Done() && system::MonotonicNow() < limit) std::this_thread::yield();
    load.Stop();
    const LoadSnapshot snapshot = load.Snapshot();
    const system::MutexLock lock(mutex_);
    std::uint64_t ended = snapshot.offered;
    for (const auto& [reason, count] : snapshot.not_counted) ended += count;
    EXPECT_EQ(reported, ended) << "a result that comes after Stop finds nobody";
    return snapshot;
  }
  void Serve(net::HttpHandler handler) {
    server_ = *net::HttpServer::Listen(threads_, net::AnyLoopbackPort(), {}, std::move(handler));
  }
  // Its answers never come.
  void ServeNothing() {
    Serve([](net::HttpExchange& exchange) -> net::Task<void> {
      net::OneShot<bool> never(exchange.thread());
      exchange.OnClientGone([setter = never.setter()] { setter.SetHere(true); });
      co_await never.Wait(kNever);
    });
  }

  workload::Workload workload_;
  net::IoThreads threads_{2};
  std::unique_ptr<net::HttpServer> server_;
  system::Mutex mutex_;
  std::vector<LoadResult> results_;
};

TEST_F(LoadTest, MeasuresAnEngine) {
  const auto catalog = engine::GpuCatalog::Parse(engine::ShippedGpuCatalog(), "gpus.json");
  ASSERT_TRUE(catalog);
  auto engine =
      emulator::EmulatedEngine::Start({.model = "m",
                                       .engine = *catalog->Engine("l20", "llama2-7b", 4096),
                                       .speed = 100,
                                       .seed = 1,
                                       .listen = net::AnyLoopbackPort()});
  ASSERT_TRUE(engine);
  workload_.classes = {Class("a", 150, 100, 20), Class("b", 150, 30, 1)};
  workload_.classes[0].slo.emplace().e2e = 30;
  workload_.classes[1].slo.emplace().e2e = 1e-9;
  for (const bool stream : {true, false}) {
    for (const bool limit : {true, false}) {
      results_.clear();
      LoadOptions options = Options((*engine)->address());
      options.stream = stream;
      options.state_length = !limit;
      options.limit_length = limit;
      const LoadSnapshot snapshot = Run(options);
      EXPECT_EQ(snapshot.offered, 40u);
      EXPECT_EQ(snapshot.open, 0u);
      EXPECT_TRUE(snapshot.failures.empty());
      const workload::ClassReport& a = snapshot.classes[0].report;
      const workload::ClassReport& b = snapshot.classes[1].report;
      EXPECT_EQ(a.offered + b.offered, 40u);
      EXPECT_EQ(a.completed, a.offered);
      EXPECT_EQ(b.completed, b.offered);
      EXPECT_EQ(a.attained, a.offered);
      EXPECT_EQ(b.attained, 0u);
      for (const LoadResult& result : results_) {
        EXPECT_EQ(result.outcome, LoadOutcome::kCompleted);
        EXPECT_EQ(result.status, 200);
        // What was asked for is what the engine counted and generated.
        EXPECT_EQ(result.latency.prompt_tokens, result.class_index == 0 ? 100 : 30);
        EXPECT_EQ(result.latency.output_tokens, result.class_index == 0 ? 20 : 1);
        EXPECT_GE(result.send_lag, 0);
        EXPECT_EQ(result.latency.ttft.has_value(), stream);
        if (!stream) continue;
        EXPECT_GT(*result.latency.ttft, 0);
        EXPECT_LE(*result.latency.ttft, result.latency.e2e);
        if (result.class_index == 0) EXPECT_LT(*result.latency.ttft, result.latency.e2e);
      }
    }
  }
}

TEST_F(LoadTest, TheSameSeedSendsTheSameRequestsAndAnotherOneOtherPrompts) {
  std::vector<std::string> bodies[4];
  std::vector<std::string>* seen = nullptr;
  Serve([&](net::HttpExchange& exchange) -> net::Task<void> {
    {
      const system::MutexLock lock(mutex_);
      seen->push_back(exchange.body());
    }
    const net::ResponseHead head(200);
    co_await exchange.Respond(head, kAnswer);
  });
  workload_.classes = {Class("a", 5000, 50, 5), Class("b", 5000, 20, 5)};
  const std::pair<std::uint64_t, std::uint64_t> runs[] = {{1, 0}, {1, 0}, {2, 0}, {1, 1}};
  std::set<std::string> begins;
  for (std::size_t i = 0; i < 4; ++i) {
    seen = &bodies[i];
    LoadOptions options = Options(server_->address());
    options.seed = runs[i].first;
    options.stage = runs[i].second;
    Run(options);
    std::sort(bodies[i].begin(), bodies[i].end());
    EXPECT_EQ(bodies[i].size(), 40u);
    for (const std::string& body : bodies[i]) {
      const auto json = nlohmann::json::parse(body);
      begins.insert(json["messages"][0]["content"].get<std::string>().substr(0, 48));
    }
  }
  EXPECT_EQ(bodies[0], bodies[1]);
  EXPECT_EQ(begins.size(), 3 * 40u) << "no two prompts of other seeds or stages begin alike";
}

TEST_F(LoadTest, AClosedLoopKeepsSoManyOpen) {
  std::atomic<int> open = 0;
  std::atomic<int> most = 0;
  Serve([&](net::HttpExchange& exchange) -> net::Task<void> {
    most = std::max(most.load(), ++open);
    co_await exchange.thread().SleepUntil(system::MonotonicNow() + 0.005);
    --open;
    const net::ResponseHead head(200);
    co_await exchange.Respond(head, kAnswer);
  });
  workload_.classes = {Class("a", 3, 10, 4), Class("b", 1, 10, 4)};
  LoadOptions options = Options(server_->address());
  options.concurrency = 4;
  options.duration = kNever;
  options.warm_up = 10;
  const LoadSnapshot snapshot = Run(options);
  EXPECT_LE(most, 4);
  EXPECT_EQ(snapshot.warm_up, 10u);
  const LoadCounts total = snapshot.Total();
  EXPECT_EQ(total.report.completed, 40u) << "the warm-up is in no figure";
  EXPECT_GT(snapshot.classes[0].report.offered, snapshot.classes[1].report.offered);
  // Those that ended between the first counted request and the last.
  EXPECT_GE(total.steady.completed, 36u);
  EXPECT_LE(total.steady.completed, 44u);
  EXPECT_DOUBLE_EQ(RatesOf(options, snapshot, total).throughput,
                   static_cast<double>(total.steady.completed) / snapshot.arrivals);
  EXPECT_DOUBLE_EQ(RatesOf(options, snapshot, total).output_tokens,
                   4 * RatesOf(options, snapshot, total).throughput);
}

// The arrivals end after 10 ms; the answers come much later.
TEST_F(LoadTest, RatesArePerSecondOfTheArrivals) {
  Serve([](net::HttpExchange& exchange) -> net::Task<void> {
    co_await exchange.thread().SleepUntil(system::MonotonicNow() + 0.3);
    const net::ResponseHead head(200);
    co_await exchange.Respond(head, kAnswer);
  });
  workload_.classes = {Class("a", 4000, 10, 4)};
  const LoadOptions options = Options(server_->address());
  const LoadSnapshot snapshot = Run(options);
  ASSERT_EQ(results_.size(), 40u);
  EXPECT_GE(snapshot.elapsed, 0.3);
  EXPECT_LT(snapshot.arrivals, 0.05);
  EXPECT_DOUBLE_EQ(RatesOf(options, snapshot, snapshot.Total()).goodput, 40 / snapshot.arrivals);
}

TEST_F(LoadTest, GivesUpWhereTheServerRefusesAll) {
  Serve([](net::HttpExchange& exchange) -> net::Task<void> {
    const net::ResponseHead head(404);
    co_await exchange.Respond(head, R"({"error":{"message":"The model `m` does not exist."}})");
  });
  workload_.classes = {Class("a", 500, 10, 5)};
  LoadOptions options = Options(server_->address());
  options.max_requests = 1'000'000;
  options.duration = 3600;
  const LoadSnapshot snapshot = Run(options);
  EXPECT_EQ(snapshot.given_up, 404);
  EXPECT_LT(snapshot.offered, 1000u);
  EXPECT_EQ(snapshot.failures.at("status 404").example, "The model `m` does not exist.");

  options.warm_up = 1'000'000;
  const LoadSnapshot in_warm_up = Run(options);
  EXPECT_EQ(in_warm_up.given_up, 404);
  EXPECT_EQ(in_warm_up.offered, 0u);
  EXPECT_EQ(in_warm_up.failures.at("status 404").example, "The model `m` does not exist.");
}

TEST_F(LoadTest, ABusyServerIsNotGivenUp) {
  std::atomic<int> count = 0;
  Serve([&](net::HttpExchange& exchange) -> net::Task<void> {
    const net::ResponseHead head(count++ < 30 ? 429 : 404);
    co_await exchange.Respond(head, "{}");
  });
  workload_.classes = {Class("a", 2000, 10, 5)};
  LoadOptions options = Options(server_->address());
  options.max_requests = 35;
  const LoadSnapshot snapshot = Run(options);
  EXPECT_FALSE(snapshot.given_up);
  EXPECT_EQ(snapshot.offered, 35u);
}

TEST_F(LoadTest, WhatTheClientLacksIsNotTheServersFault) {
  Serve([](net::HttpExchange& exchange) -> net::Task<void> {
    const net::ResponseHead head(200);
    co_await exchange.Respond(head, kAnswer);
  });
  workload_.classes = {Class("a", 4000, 10, 5)};
  LoadOptions options = Options(server_->address());
  options.max_requests = 5;
  rlimit before{};
  getrlimit(RLIMIT_NOFILE, &before);
  const rlimit none{.rlim_cur = 0, .rlim_max = before.rlim_max};
  setrlimit(RLIMIT_NOFILE, &none);
  const LoadSnapshot snapshot = Run(options);
  setrlimit(RLIMIT_NOFILE, &before);
  EXPECT_EQ(snapshot.offered, 0u);
  EXPECT_EQ(snapshot.Total().report.failed, 0u);
  EXPECT_TRUE(snapshot.failures.empty());
  ASSERT_EQ(snapshot.not_counted.size(), 1u);
  EXPECT_THAT(snapshot.not_counted.begin()->first, HasSubstr("no file descriptor"));
  EXPECT_EQ(snapshot.not_counted.begin()->second, 5u);
  EXPECT_THAT(LoadWarnings(options, snapshot),
              Contains(HasSubstr("their time in no rate: this machine has no file")));
  EXPECT_LT(snapshot.arrivals, 1e-9) << "there is no rate";
}

TEST_F(LoadTest, AsksBaseModelsForCompletions) {
  std::string seen;
  Serve([&](net::HttpExchange& exchange) -> net::Task<void> {
    seen = std::string(exchange.target()) + exchange.body();
    const net::ResponseHead head(200);
    co_await exchange.Respond(head, kAnswer);
  });
  workload_.classes = {Class("a", 1000, 50, 7)};
  LoadOptions options = Options(server_->address());
  options.max_requests = 1;
  options.api = openai::ApiKind::kCompletions;
  Run(options);
  EXPECT_THAT(seen, AllOf(HasSubstr("/v1/completions{"), HasSubstr("\"prompt\":\"")));
}

// The last request is open from when it is due, also before its coroutine has begun.
TEST_F(LoadTest, StopWaitsForTheLastRequestOfEveryRun) {
  Serve([](net::HttpExchange& exchange) -> net::Task<void> {
    const net::ResponseHead head(200);
    co_await exchange.Respond(head, kAnswer);
  });
  workload_.classes = {Class("a", 100'000, 5, 1)};
  LoadOptions options = Options(server_->address());
  options.max_requests = 1;
  for (int i = 0; i < 200; ++i) EXPECT_EQ(Run(options).offered, 1u);
}

TEST_F(LoadTest, SendsWhatTheOptionsSay) {
  std::string seen;
  Serve([&](net::HttpExchange& exchange) -> net::Task<void> {
    {
      const system::MutexLock lock(mutex_);
      for (const net::HeaderField& field : exchange.headers()) {
        seen.append(field.name).append("=").append(field.value).append("\n");
      }
      seen += exchange.body();
    }
    const net::ResponseHead head(200);
    co_await exchange.Respond(head, kAnswer);
  });
  workload_.classes = {Class("a", 1000, 50, 7)};
  slo::Slo& slo = workload_.classes[0].slo.emplace();
  slo.ttft = 1.5;
  slo.tpat = 0.0505;
  LoadOptions options = Options(server_->address());
  options.max_requests = 1;
  options.model = "with \"quotes\"";
  options.send_slo = true;
  options.policy = "least-request";
  options.target.headers = {"X-Extra:  yes"};
  Run(options);
  EXPECT_THAT(seen, HasSubstr("x-slo-ttft-ms=1500\n"));
  EXPECT_THAT(seen, HasSubstr("x-slo-tpat-ms=50.5\n"));
  EXPECT_THAT(seen, HasSubstr("x-headrace-output-tokens=7\n"));
  EXPECT_THAT(seen, HasSubstr("routing-strategy=least-request\n"));
  EXPECT_THAT(seen, HasSubstr("X-Extra=yes\n"));
  const auto body = nlohmann::json::parse(seen.substr(seen.find('{')));
  EXPECT_EQ(body["model"], options.model);
  EXPECT_EQ(body["stream"], true);
}

TEST_F(LoadTest, EveryRequestEndsOnceWithItsOutcome) {
  std::atomic<int> count = 0;
  Serve([&](net::HttpExchange& exchange) -> net::Task<void> {
    const int kind = count++ % 6;
    net::ResponseHead head(kind == 1 ? 429 : kind == 2 ? 500 : 200);
    head.Add("content-type", kind >= 3 ? "text/event-stream" : "application/json");
    head.Add("target-pod", "pod-1");
    constexpr std::string_view kWhole =
        "data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\ndata: [DONE]\n\n";
    if (kind == 3) {
      co_await exchange.Respond(head, kWhole);
    } else if (kind == 4) {
      co_await exchange.Respond(head, kWhole.substr(0, 30));
    } else if (kind == 5) {
      exchange.Start(head, 1000);
      co_await exchange.Write("data: {");
      exchange.Abort();
    } else {
      co_await exchange.Respond(head, kAnswer);
    }
  });
  workload_.classes = {Class("a", 2000, 10, 5)};
  LoadOptions options = Options(server_->address());
  options.max_requests = 60;
  const LoadSnapshot snapshot = Run(options);
  const workload::ClassReport& report = snapshot.classes[0].report;
  EXPECT_EQ(report.offered, 60u);
  EXPECT_EQ(report.completed, 20u);
  EXPECT_EQ(report.attained, 20u);
  EXPECT_EQ(report.refused, 10u);
  EXPECT_EQ(report.failed, 30u);
  EXPECT_EQ(report.timed_out, 0u);
  EXPECT_EQ(snapshot.deployments[0].at("pod-1").report.offered, 60u);
  EXPECT_EQ(snapshot.deployments[0].at("pod-1").in_flight, 0u);
  EXPECT_EQ(snapshot.failures.at("status 500").count, 10u);
  EXPECT_EQ(snapshot.failures.at("stream ended without its end").count, 10u);
  EXPECT_EQ(results_.size(), 60u);
}

TEST_F(LoadTest, ArrivalsDoNotWaitForResponsesAndStopEndsOpenRequests) {
  ServeNothing();
  workload_.classes = {Class("a", 2000, 10, 5)};
  LoadOptions options = Options(server_->address());
  LoadGenerator load(threads_[0], options);
  load.Start();
  const Seconds limit = system::MonotonicNow() + 60;
  while (load.Snapshot().offered < 40 && system::MonotonicNow() < limit) std::this_thread::yield();
  EXPECT_EQ(load.Snapshot().open, 40u);
  EXPECT_FALSE(load.Done());
  load.Stop();
  EXPECT_TRUE(load.Done());
  EXPECT_EQ(load.Snapshot().classes[0].report.timed_out, 40u);
  EXPECT_EQ(load.Snapshot().classes[0].waiting, 0u);
}

// Every second answer comes; the client is told to break off what is open by then.
TEST_F(LoadTest, WhatIsBrokenOffCountsOnlyIfItWasLateAlready) {
  std::atomic<int> count = 0;
  Serve([&](net::HttpExchange& exchange) -> net::Task<void> {
    if (count++ % 2 == 0) {
      const net::ResponseHead head(200);
      co_await exchange.Respond(head, kAnswer);
      co_return;
    }
    net::OneShot<bool> never(exchange.thread());
    exchange.OnClientGone([setter = never.setter()] { setter.SetHere(true); });
    co_await never.Wait(kNever);
  });
  for (const Seconds promise : {1000.0, 1e-9}) {
    workload_.classes = {Class("a", 2000, 10, 5)};
    workload_.classes[0].slo.emplace().e2e = promise;
    const LoadOptions options = Options(server_->address());
    results_.clear();
    LoadGenerator load(threads_[0], options, [&](const LoadResult& result) {
      const system::MutexLock lock(mutex_);
      results_.push_back(result);
    });
    load.Start();
    const Seconds limit = system::MonotonicNow() + 60;
    while (load.Snapshot().Total().report.completed < 20 && system::MonotonicNow() < limit) {
      std::this_thread::yield();
    }
    load.BreakOff();
    const LoadSnapshot snapshot = load.Snapshot();
    const workload::ClassReport report = snapshot.Total().report;
    EXPECT_EQ(report.completed, 20u);
    if (promise < 1) {
      EXPECT_EQ(report.timed_out, 20u) << "it could not be kept any more";
      EXPECT_TRUE(snapshot.not_counted.empty());
      continue;
    }
    EXPECT_EQ(report.offered, 20u);
    EXPECT_EQ(report.Attainment(), 1);
    EXPECT_THAT(LoadWarnings(options, snapshot),
                Contains(HasSubstr("20 requests are in no figure, and their time in no rate: "
                                   "broken off while still able to meet the SLO.")));
    LoadOptions closed = options;
    closed.concurrency = 1;
    LoadSnapshot one = snapshot;
    one.not_counted.begin()->second = 1;
    EXPECT_THAT(LoadWarnings(closed, one),
                Contains(HasSubstr("1 request is in no figure: broken off")));
    // Rates are of the time of those that count.
    Seconds time = 0;
    for (const LoadResult& result : results_) {
      if (result.outcome == LoadOutcome::kCompleted) time += result.gap;
    }
    EXPECT_NEAR(snapshot.arrivals, time, 1e-9);
    EXPECT_LT(time, std::ranges::max(results_, {}, &LoadResult::at).at);
  }
}

// As a machine that sleeps, or a core that is busy with something else.
TEST_F(LoadTest, AStandstillIsInNoRate) {
  Serve([](net::HttpExchange& exchange) -> net::Task<void> {
    const net::ResponseHead head(200);
    co_await exchange.Respond(head, kAnswer);
  });
  workload_.classes = {Class("a", 200, 10, 4)};
  for (const std::uint64_t concurrency : {0u, 2u}) {
    LoadOptions options = Options(server_->address());
    options.concurrency = concurrency;
    options.max_requests = 1u << 30;
    options.duration = 4;
    LoadGenerator load(threads_[0], options);
    load.Start();
    const Seconds limit = system::MonotonicNow() + 60;
    while (load.Snapshot().offered < 20 && system::MonotonicNow() < limit) {
      std::this_thread::yield();
    }
    threads_[0].Run([] { std::this_thread::sleep_for(std::chrono::milliseconds(2100)); });
    while (!load.Done() && system::MonotonicNow() < limit) std::this_thread::yield();
    load.Stop();
    const LoadSnapshot snapshot = load.Snapshot();
    ASSERT_EQ(snapshot.not_counted.size(), 1u);
    EXPECT_EQ(snapshot.not_counted.begin()->first, "this machine or program stood still meanwhile");
    EXPECT_LT(snapshot.arrivals, 4 - 2);
  }
}

TEST_F(LoadTest, TimeoutsAndServersThatDoNotListen) {
  ServeNothing();
  workload_.classes = {Class("a", 2000, 10, 5)};
  LoadOptions options = Options(server_->address());
  options.timeout = 0.05;
  EXPECT_EQ(Run(options).classes[0].report.timed_out, 40u);

  net::RawListener closed;
  options.target = completion::EndpointAt(closed.address());
  closed.Close();
  options.timeout = 30;
  const LoadSnapshot nobody = Run(options);
  EXPECT_EQ(nobody.given_up, 0);
  EXPECT_GE(nobody.classes[0].report.failed, 10u);
  EXPECT_EQ(nobody.failures.begin()->first, "connection refused or endpoint unreachable");
}

TEST_F(LoadTest, ReportsAsJsonAndCsv) {
  Serve([](net::HttpExchange& exchange) -> net::Task<void> {
    net::ResponseHead head(200);
    head.Add("target-deployment", "dep \"1\"");
    co_await exchange.Respond(head, kAnswer);
  });
  workload_.classes = {Class("chat", 2000, 10, 5), Class("rare", 1e-9, 10, 5)};
  workload_.classes[0].slo.emplace().tpat = 10;
  const LoadOptions options = Options(server_->address());
  const LoadSnapshot snapshot = Run(options);
  const std::vector<LoadStage> one{{options, snapshot}};
  const auto json = nlohmann::json::parse(LoadReportJson(one));
  EXPECT_EQ(json["offered"], 40);
  EXPECT_NEAR(json["rate"], 2000, 1e-6) << "asked for";
  EXPECT_EQ(json["rates_over"], "arrivals");
  EXPECT_DOUBLE_EQ(json["throughput_rps"], 40 / json["arrivals_s"].get<double>());
  EXPECT_EQ(json["attainment"], 1);
  EXPECT_EQ(json["model"], "m");
  EXPECT_EQ(json["client_overloaded"].is_boolean(), true);
  EXPECT_EQ(json["classes"]["chat"]["slo"], "tpat 10 s");
  EXPECT_EQ(json["classes"]["chat"]["deployments"]["dep \"1\""]["attained"], 40);
  EXPECT_TRUE(json["classes"]["rare"]["slo"].is_null());
  EXPECT_TRUE(json["classes"]["rare"]["e2e_s"]["p50"].is_null());
  EXPECT_TRUE(json["ttft_s"]["p99"].is_null()) << "the answers came as a whole";
  EXPECT_GT(json["e2e_s"]["p95"], 0);
  const std::vector<LoadStage> two{{options, snapshot}, {options, snapshot}};
  const auto stages = nlohmann::json::parse(LoadReportJson(two, 2, std::vector<double>{99.9}));
  EXPECT_EQ(stages["stages"].size(), 2u);
  EXPECT_TRUE(stages["stages"][1]["e2e_s"].contains("p99.9"));

  LoadResult result;
  result.number = 7;
  result.at = 0.5;
  result.outcome = LoadOutcome::kTimedOut;
  EXPECT_EQ(LoadResultCsvRow(options, 2, result), "7,2,chat,0.5,0,0,timed_out,0,0,,,,0,\n")
      << "what did not happen took no 0 s";
  result.status = 429;
  result.outcome = LoadOutcome::kRefused;
  EXPECT_EQ(LoadResultCsvRow(options, 2, result), "7,2,chat,0.5,0,429,refused,0,0,,0,,0,\n");
  result.latency.ttft = 0.25;
  result.deployment = "a \"b\", c";
  EXPECT_EQ(LoadResultCsvRow(options, 2, result),
            "7,2,chat,0.5,0,429,refused,0,0,0.25,0,,0,\"a \"\"b\"\", c\"\n");
}

}  // namespace
}  // namespace headrace::load
