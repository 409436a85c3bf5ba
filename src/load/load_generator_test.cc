#include "load/load_generator.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>
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

using ::testing::HasSubstr;

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
    EXPECT_EQ(reported, snapshot.offered) << "a result that comes after Stop finds nobody";
    return snapshot;
  }
  void Serve(net::HttpHandler handler) {
    server_ = *net::HttpServer::Listen(threads_, net::AnyLoopbackPort(), {}, std::move(handler));
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
        EXPECT_GT(result.latency.ttft, 0);
        EXPECT_LE(result.latency.ttft, result.latency.e2e);
        EXPECT_GE(result.send_lag, 0);
        if (stream && result.class_index == 0) {
          EXPECT_LT(result.latency.ttft, result.latency.e2e);
        }
      }
    }
  }
}

TEST_F(LoadTest, TheSameSeedSendsTheSameRequests) {
  std::vector<std::string> bodies[2];
  std::vector<std::string>* seen = nullptr;
  Serve([&](net::HttpExchange& exchange) -> net::Task<void> {
    {
      const system::MutexLock lock(mutex_);
      seen->push_back(exchange.body());
    }
    const net::ResponseHead head(200);
    co_await exchange.Respond(head, "{}");
  });
  workload_.classes = {Class("a", 5000, 50, 5), Class("b", 5000, 20, 5)};
  for (auto& run : bodies) {
    seen = &run;
    Run(Options(server_->address()));
    std::sort(run.begin(), run.end());
  }
  EXPECT_EQ(bodies[0].size(), 40u);
  EXPECT_EQ(bodies[0], bodies[1]);
}

// The last request is open from when it is due, also before its coroutine has begun.
TEST_F(LoadTest, StopWaitsForTheLastRequestOfEveryRun) {
  Serve([](net::HttpExchange& exchange) -> net::Task<void> {
    const net::ResponseHead head(200);
    co_await exchange.Respond(head, "{}");
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
    co_await exchange.Respond(head, "{}");
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
      co_await exchange.Respond(head, R"({"usage":{"prompt_tokens":3,"completion_tokens":4}})");
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
  EXPECT_EQ(snapshot.failures.at("status 500"), 10u);
  EXPECT_EQ(snapshot.failures.at("stream ended without its end"), 10u);
  EXPECT_EQ(results_.size(), 60u);
}

TEST_F(LoadTest, ArrivalsDoNotWaitForResponsesAndStopEndsOpenRequests) {
  Serve([&](net::HttpExchange& exchange) -> net::Task<void> {
    net::OneShot<bool> never(exchange.thread());
    exchange.OnClientGone([setter = never.setter()] { setter.SetHere(true); });
    co_await never.Wait(kNever);
  });
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

TEST_F(LoadTest, TimeoutsAndServersThatDoNotListen) {
  Serve([&](net::HttpExchange& exchange) -> net::Task<void> {
    net::OneShot<bool> never(exchange.thread());
    exchange.OnClientGone([setter = never.setter()] { setter.SetHere(true); });
    co_await never.Wait(kNever);
  });
  workload_.classes = {Class("a", 2000, 10, 5)};
  LoadOptions options = Options(server_->address());
  options.timeout = 0.05;
  EXPECT_EQ(Run(options).classes[0].report.timed_out, 40u);

  net::RawListener closed;
  options.target = completion::EndpointAt(closed.address());
  closed.Close();
  options.timeout = 30;
  EXPECT_EQ(Run(options).classes[0].report.failed, 40u);
}

TEST_F(LoadTest, ReportsAsJsonAndCsv) {
  Serve([](net::HttpExchange& exchange) -> net::Task<void> {
    net::ResponseHead head(200);
    head.Add("target-deployment", "dep \"1\"");
    co_await exchange.Respond(head, R"({"usage":{"prompt_tokens":3,"completion_tokens":4}})");
  });
  workload_.classes = {Class("chat", 2000, 10, 5), Class("rare", 1e-9, 10, 5)};
  workload_.classes[0].slo.emplace().tpat = 10;
  const LoadOptions options = Options(server_->address());
  const LoadSnapshot snapshot = Run(options);
  const auto json = nlohmann::json::parse(LoadReportJson(options, snapshot));
  EXPECT_EQ(json["offered"], 40);
  EXPECT_EQ(json["attainment"], 1);
  EXPECT_EQ(json["model"], "m");
  EXPECT_EQ(json["client_overloaded"].is_boolean(), true);
  EXPECT_EQ(json["classes"]["chat"]["slo"], "tpat 10 s");
  EXPECT_EQ(json["classes"]["chat"]["deployments"]["dep \"1\""]["attained"], 40);
  EXPECT_TRUE(json["classes"]["rare"]["slo"].is_null());
  EXPECT_TRUE(json["classes"]["rare"]["e2e_s"]["p50"].is_null());

  LoadResult result;
  result.number = 7;
  result.at = 0.5;
  result.status = 429;
  result.outcome = LoadOutcome::kRefused;
  EXPECT_EQ(LoadResultCsvRow(options, result), "7,chat,0.5,0,429,refused,0,0,0,0,0,\n");
}

TEST(ClientOverloaded, WhenOneInAHundredIsLate) {
  LoadSnapshot snapshot;
  snapshot.send_lag.AddMany(0.0001, 1000);
  EXPECT_FALSE(ClientOverloaded(snapshot));
  snapshot.send_lag.AddMany(0.1, 20);
  EXPECT_TRUE(ClientOverloaded(snapshot));
}

}  // namespace
}  // namespace headrace::load
