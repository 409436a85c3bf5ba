// What a decision costs, and how it grows: endpoints, sub-queues, requests waiting.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>

#include "base/histogram.h"
#include "scheduler/test_fleet.h"

namespace headrace::scheduler {
namespace {

// Four GPU types, each endpoint good for about 12 requests of a middling size, and requests of 8
// prompt × 8 output sizes: 64 sub-queues once something waits.
class Workload {
 public:
  Workload(std::string_view policy, int endpoints, std::size_t waiting)
      : harness_(policy, Options(waiting)) {
    std::vector<fleet::DeploymentSpec> specs;
    for (int type = 0; type < 4; ++type) {
      fleet::DeploymentSpec spec{"gpu" + std::to_string(type), 512, {}};
      for (int i = 0; i < endpoints / 4; ++i) {
        spec.endpoints.push_back(spec.name + ":" + std::to_string(i));
      }
      specs.push_back(spec);
    }
    harness_.Fleet(specs);
    for (int type = 0; type < 4; ++type) harness_.Profile(Profile(specs[type].name, type));
    // Fill every endpoint, then let the wanted number wait; or run at about 70 % without a queue.
    const std::size_t most =
        waiting > 0 ? ~std::size_t{0} : static_cast<std::size_t>(endpoints) * 8;
    while (running_.size() < most && harness_.scheduler.waiting() < waiting + 1) {
      if (waiting == 0 && harness_.scheduler.waiting() > 0) break;
      Arrive();
    }
  }

  // One request arrives, one is dispatched, one ends.
  void Turn() {
    harness_.now += 0.01;
    Arrive();
    const std::size_t at = rng_.Below(running_.size());
    const RequestId id = running_[at];
    running_[at] = running_.back();
    running_.pop_back();
    harness_.decisions.clear();
    harness_.scheduler.Complete(id, {Prompt(), Output(), 3.0}, harness_.now, harness_.decisions);
    Take();
  }

  // Another profile for one of the GPU types: its numbers move between those of two types.
  void SwapProfile() {
    const int type = static_cast<int>(rng_.Below(4));
    harness_.now += 0.01;
    harness_.decisions.clear();
    harness_.Profile(
        Profile("gpu" + std::to_string(type), (type + static_cast<int>(rng_.Below(2))) % 4));
    Take();
  }

  std::size_t waiting() const { return harness_.scheduler.waiting(); }
  std::size_t heads() const { return harness_.scheduler.queue().heads().size(); }

 private:
  static SchedulerOptions Options(std::size_t waiting) {
    SchedulerOptions options;
    options.max_queue_length = std::max<std::size_t>(waiting + 16, 10'000);
    options.queue_timeout = 1e9;
    return options;
  }

  static profile::GpuProfile Profile(const std::string& name, int type) {
    profile::GpuProfile profile = FlatProfile(name, 0, 0, {});
    profile.outputs = profile::BucketAxis({4, 8, 16, 32, 64, 128, 256, 512});
    profile.inputs = profile::BucketAxis({32, 64, 128, 256, 512, 1024, 2048, 4096});
    profile.tput = profile::BucketMatrix(8, 8, 0);
    profile.e2e = profile::BucketMatrix(8, 8, 0);
    for (std::size_t o = 0; o < 8; ++o) {
      for (std::size_t i = 0; i < 8; ++i) {
        const double seconds = 0.1 + 0.02 * static_cast<double>(o * o + i) / (1 + type);
        profile.e2e->at(o, i) = seconds;
        profile.tput.at(o, i) = (8 + static_cast<double>((o + i) % 8)) / seconds;
      }
    }
    profile.slo.e2e = 1e9;  // Nothing expires while we measure.
    return profile;
  }

  Tokens Prompt() { return Tokens{32} << rng_.Below(8); }
  Tokens Output() { return Tokens{4} << rng_.Below(8); }

  void Arrive() {
    Arrival arrival;
    arrival.prompt_tokens = Prompt();
    arrival.output_tokens = Output();
    arrival.bytes = 1000;
    harness_.decisions.clear();
    harness_.scheduler.Arrive(arrival, harness_.now, harness_.decisions);
    Take();
  }

  void Take() {
    for (const Decision& decision : harness_.decisions) {
      if (!decision.refused) running_.push_back(decision.id);
    }
  }

  Rng rng_{7};
  SchedulerHarness harness_;
  std::vector<RequestId> running_;
};

// Arguments: endpoints, requests waiting.
void Turn(::benchmark::State& state, std::string_view policy) {
  Workload workload(policy, static_cast<int>(state.range(0)),
                    static_cast<std::size_t>(state.range(1)));
  for (int i = 0; i < 20'000; ++i) workload.Turn();
  Histogram milliseconds;
  using Clock = std::chrono::steady_clock;
  for (auto _ : state) {
    const auto start = Clock::now();
    workload.Turn();
    milliseconds.Add(std::chrono::duration<double, std::milli>(Clock::now() - start).count());
  }
  state.counters["p50_us"] = milliseconds.Quantile(0.5) * 1e3;
  state.counters["p99_us"] = milliseconds.Quantile(0.99) * 1e3;
  state.counters["max_us"] = milliseconds.Quantile(1) * 1e3;
  state.counters["waiting"] = static_cast<double>(workload.waiting());
  state.counters["sub_queues"] = static_cast<double>(workload.heads());
  state.SetItemsProcessed(state.iterations());
}

// A profile changes while requests wait: what the change costs, and the longest that any of the
// next thousand events takes, while everything that waits is assessed anew. Arguments as for Turn.
void SwapProfile(::benchmark::State& state) {
  Workload workload("slo", static_cast<int>(state.range(0)),
                    static_cast<std::size_t>(state.range(1)));
  for (int i = 0; i < 20'000; ++i) workload.Turn();
  using Clock = std::chrono::steady_clock;
  const auto microseconds = [](Clock::time_point since) {
    return std::chrono::duration<double, std::micro>(Clock::now() - since).count();
  };
  Histogram swap;
  Histogram turn;
  for (auto _ : state) {
    auto start = Clock::now();
    workload.SwapProfile();
    swap.Add(microseconds(start));
    for (int i = 0; i < 1'000; ++i) {
      start = Clock::now();
      workload.Turn();
      turn.Add(microseconds(start));
    }
  }
  state.counters["swap_p50_us"] = swap.Quantile(0.5);
  state.counters["swap_max_us"] = swap.Quantile(1);
  state.counters["turn_p50_us"] = turn.Quantile(0.5);
  state.counters["turn_p99_us"] = turn.Quantile(0.99);
  state.counters["turn_max_us"] = turn.Quantile(1);
  state.counters["waiting"] = static_cast<double>(workload.waiting());
}
BENCHMARK(SwapProfile)
    ->Args({1'000, 0})
    ->Args({1'000, 2'000})
    ->Args({1'000, 100'000})
    ->Iterations(200);

const int kRegistered = [] {
  for (const routing::PolicyInfo& policy : routing::Policies()) {
    ::benchmark::RegisterBenchmark(("Turn/" + std::string(policy.name)).c_str(),
                                   [name = policy.name](::benchmark::State& s) { Turn(s, name); })
        ->Args({1'000, 0})
        ->Args({10'000, 0});
  }
  ::benchmark::RegisterBenchmark("Turn/slo", [](::benchmark::State& s) { Turn(s, "slo"); })
      ->Args({1'000, 2'000})
      ->Args({10'000, 2'000})
      ->Args({1'000, 100'000});
  return 0;
}();

}  // namespace
}  // namespace headrace::scheduler
