// What one event of another replica costs.
#include <benchmark/benchmark.h>

#include <memory>
#include <string>
#include <vector>

#include "fleet/littles_law.h"
#include "replica/merger.h"
#include "replica/outbox.h"

namespace headrace::replica {
namespace {

constexpr int kEndpoints = 1000;
constexpr int kRunning = 10'000;
constexpr std::uint64_t kPerBatch = 100;  // Requests that start, and that end, in each.

std::string AddressOf(std::uint64_t i) { return "10.0.0.1:" + std::to_string(i % kEndpoints); }

std::unique_ptr<scheduler::Scheduler> MakeScheduler(std::string_view policy) {
  auto scheduler = std::make_unique<scheduler::Scheduler>(
      scheduler::SchedulerOptions{.policy = routing::FindPolicy(policy)},
      std::make_unique<fleet::LittlesLaw>(), 1);
  fleet::DeploymentSpec spec{.name = "a10"};
  for (std::uint64_t i = 0; i < kEndpoints; ++i) spec.endpoints.emplace_back(AddressOf(i));
  scheduler::Decisions none;
  scheduler->UpdateFleet(std::vector{spec}, 0, none);
  return scheduler;
}

Event Start(std::uint64_t serial) {
  slo::Slo slo;
  slo.ttft = 2;
  slo.tpot = 0.05;
  return Started{.serial = serial,
                 .endpoint = fleet::KeyOf("a10", AddressOf(serial)),
                 .age = 0.01,
                 .prompt_tokens = 1000,
                 .output_tokens = 200,
                 .most_tokens = 4096,
                 .reports_first_token = true,
                 .share = fleet::kCapacity / 100,
                 .slo = slo};
}

// Each request starts, has its first token, and ends: three events.
std::vector<Event> Events(std::uint64_t from) {
  std::vector<Event> events;
  for (std::uint64_t i = from; i < from + kPerBatch; ++i) {
    events.push_back(Start(i));
    events.push_back(FirstToken{i - kRunning / 2, 0.01});
    events.push_back(Ended{i - kRunning, 1000, 200, 7});
  }
  return events;
}

void Merge(benchmark::State& state, std::string_view policy) {
  const auto scheduler = MakeScheduler(policy);
  scheduler::Decisions decisions;
  Merger merger({"self", 1});
  Batch batch{.from = {"other", 1}, .pool = "m"};
  Seconds now = 0;
  std::uint64_t next = kRunning;
  const auto apply = [&] {
    now += 0.01;
    for (std::size_t at = 0; !merger.Apply(batch, at, *scheduler, now, decisions);) {
    }
  };
  for (std::uint64_t i = 0; i < kRunning; ++i) batch.events.push_back(Start(i));
  batch.sequence = 1;
  apply();
  if (scheduler->fleet().all_in_flight() != kRunning) state.SkipWithError("not all run");
  for (auto _ : state) {
    state.PauseTiming();
    batch.events = Events(next);
    batch.sequence += 1;
    next += kPerBatch;
    const std::string bytes = Encode(batch);
    state.ResumeTiming();
    batch = *Decode(bytes);
    apply();
  }
  state.counters["per event"] =
      benchmark::Counter(static_cast<double>(state.iterations()) * 3 * kPerBatch,
                         benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}
BENCHMARK_CAPTURE(Merge, least_request, "least-request")->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(Merge, slo_headroom, "slo-headroom")->Unit(benchmark::kMicrosecond);

// A whole state of 10,000 requests, all known.
void MergeWhole(benchmark::State& state) {
  const auto scheduler = MakeScheduler("slo-headroom");
  scheduler::Decisions decisions;
  Merger merger({"self", 1});
  Batch batch{.from = {"other", 1}, .pool = "m", .whole = true};
  for (std::uint64_t i = 0; i < kRunning; ++i) {
    batch.state.push_back(Start(i));
    batch.state.push_back(FirstToken{i, 1});
    batch.state.push_back(Progressed{i, 50});
  }
  const std::string bytes = Encode(batch);
  state.counters["bytes per request"] = static_cast<double>(bytes.size()) / kRunning;
  Seconds now = 0;
  std::uint64_t sequence = 0;
  for (auto _ : state) {
    batch = *Decode(bytes);
    batch.sequence = ++sequence;
    now += 1;
    for (std::size_t at = 0; !merger.Apply(batch, at, *scheduler, now, decisions);) {
    }
  }
  state.counters["per request"] =
      benchmark::Counter(static_cast<double>(state.iterations()) * kRunning,
                         benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}
BENCHMARK(MergeWhole)->Unit(benchmark::kMillisecond);

// What telling costs the one who tells.
void Tell(benchmark::State& state) {
  Outbox outbox({"self", 1}, "m");
  fleet::Journal journal;
  slo::Slo slo;
  slo.ttft = 2;
  const fleet::Demand demand{.prompt_tokens = 1000, .output_tokens = 200, .slo = &slo};
  std::uint64_t next = kRunning;
  for (auto _ : state) {
    journal = {};
    for (std::uint64_t i = next; i < next + kPerBatch; ++i) {
      journal.Start(i, i, demand, 1);
      journal.FirstToken(i - kRunning / 2, 1);
      journal.End(i - kRunning, {1000, 200, 7}, 1);
    }
    next += kPerBatch;
    outbox.Add(journal, {});
    benchmark::DoNotOptimize(Encode(*outbox.Next(1)));
  }
  state.counters["per event"] =
      benchmark::Counter(static_cast<double>(state.iterations()) * 3 * kPerBatch,
                         benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}
BENCHMARK(Tell)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace headrace::replica
