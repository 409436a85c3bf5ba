// What a decision costs, and how it grows: endpoints, sub-queues, requests waiting.
#include <benchmark/benchmark.h>
#include <malloc.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <deque>
#include <functional>
#include <numeric>
#include <string>

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

// A fleet under a policy that forecasts: `residents` requests at each endpoint at any moment, some
// in line for their prefill and the others with all kinds of progress, which were promised
// different things. Each engine gives every request a token in 40 ms, and the first one after 0.3
// s.
class BusyFleet {
 public:
  BusyFleet(int endpoints, int residents, std::size_t longest_queue)
      : harness_("slo-headroom", Options(longest_queue)), gap_(Gap(endpoints, residents)) {
    const std::size_t before = BytesInUse();
    std::vector<fleet::DeploymentSpec> specs;
    for (int type = 0; type < 4; ++type) {
      fleet::DeploymentSpec spec{.name = "gpu" + std::to_string(type), .kv_tokens = 100'000};
      for (int i = 0; i < endpoints / 4; ++i) {
        spec.endpoints.push_back(spec.name + ":" + std::to_string(i));
      }
      specs.push_back(spec);
    }
    harness_.Fleet(specs);
    const std::size_t idle = BytesInUse();
    bytes_per_endpoint_ = static_cast<double>(idle - before) / endpoints;
    // Until the longest responses have ended too.
    const Seconds steady = harness_.now + 1.2 * DurationOf(kOutputs.back());
    while (harness_.now < steady) Turn();
    const std::size_t requests = harness_.scheduler.running() + harness_.scheduler.waiting();
    bytes_per_request_ = static_cast<double>(BytesInUse() - idle) / static_cast<double>(requests);
  }

  // One request arrives; first tokens come and requests end whose time it is, one of each in the
  // mean.
  void Turn() {
    harness_.now += gap_;
    for (; !starting_.empty() && starting_.front().at <= harness_.now; starting_.pop_front()) {
      harness_.scheduler.FirstToken(starting_.front().id, harness_.now);
    }
    for (std::size_t i = 0; i < kOutputs.size(); ++i) {
      for (; !running_[i].empty() && running_[i].front().at <= harness_.now;
           running_[i].pop_front()) {
        const Running& ended = running_[i].front();
        harness_.decisions.clear();
        harness_.scheduler.Complete(ended.id, {ended.prompt, kOutputs[i], DurationOf(kOutputs[i])},
                                    harness_.now, harness_.decisions);
        Take();
      }
    }
    Arrive();
  }

  // Of the requests that arrive from now on.
  void set_detail(Detail detail) { detail_ = detail; }

  std::size_t waiting() const { return harness_.scheduler.waiting(); }
  std::size_t heads() const { return harness_.scheduler.queue().heads().size(); }
  double residents() const {
    const auto& fleet = harness_.scheduler.fleet();
    return static_cast<double>(fleet.in_flight()) / static_cast<double>(fleet.endpoints().size());
  }
  double bytes_per_endpoint() const { return bytes_per_endpoint_; }
  double bytes_per_request() const { return bytes_per_request_; }

 private:
  struct Running {
    Seconds at = 0;  // Of what comes next.
    RequestId id = 0;
    Tokens prompt = 0;
  };

  static constexpr std::array<Tokens, 4> kOutputs{32, 64, 128, 256};
  static constexpr Seconds kFirstToken = 0.3;
  static constexpr Seconds kPace = 0.04;
  static Seconds DurationOf(Tokens output) { return kFirstToken + kPace * (output - 1); }
  // Between two arrivals, so that as many are there at any moment.
  static Seconds Gap(int endpoints, int residents) {
    const Seconds sum =
        std::transform_reduce(kOutputs.begin(), kOutputs.end(), 0.0, std::plus<>(), DurationOf);
    return sum / kOutputs.size() / (static_cast<double>(endpoints) * residents);
  }

  static SchedulerOptions Options(std::size_t longest_queue) {
    SchedulerOptions options;
    options.max_queue_length = longest_queue;
    return options;
  }
  static std::size_t BytesInUse() {
    const auto info = mallinfo2();
    return info.uordblks + info.hblkhd;
  }

  // What a request is promised: of every kind, none included.
  slo::Slo Promise() {
    slo::Slo slo;
    switch (rng_.Below(5)) {
      case 0:
        slo.e2e = 30;
        break;
      case 1:
        slo.ttft = 3;
        slo.tpot = 0.08;
        break;
      case 2:
        slo.tpat = 0.08;
        break;
      case 3:
        slo.ntpot = 0.1;
        break;
      default:
        break;
    }
    return slo;
  }

  void Arrive() {
    const auto size = static_cast<std::size_t>(rng_.Below(kOutputs.size()));
    Arrival arrival;
    const auto prompt = static_cast<Tokens>(32 << rng_.Below(6));
    arrival.tag = static_cast<std::uint64_t>(prompt) * kOutputs.size() + size;
    arrival.prompt_tokens = prompt;
    arrival.slo = Promise();
    arrival.reports_first_token = true;
    arrival.bytes = 1000;
    arrival.detail = detail_;
    harness_.decisions.clear();
    harness_.scheduler.Arrive(arrival, harness_.now, harness_.decisions);
    Take();
  }

  void Take() {
    for (const Decision& decision : harness_.decisions) {
      if (decision.refused) continue;
      const auto size = static_cast<std::size_t>(decision.tag % kOutputs.size());
      starting_.push_back({.at = harness_.now + kFirstToken, .id = decision.id});
      running_[size].push_back({.at = harness_.now + DurationOf(kOutputs[size]),
                                .id = decision.id,
                                .prompt = static_cast<Tokens>(decision.tag / kOutputs.size())});
    }
  }

  Rng rng_{7};
  SchedulerHarness harness_;
  Seconds gap_;
  Detail detail_ = Detail::kNone;
  double bytes_per_endpoint_ = 0;
  double bytes_per_request_ = 0;
  std::deque<Running> starting_;
  std::array<std::deque<Running>, kOutputs.size()> running_;
};

template <typename Fleet>
void TimeTurns(::benchmark::State& state, Fleet& fleet) {
  Histogram milliseconds;
  using Clock = std::chrono::steady_clock;
  for (auto _ : state) {
    const auto start = Clock::now();
    fleet.Turn();
    milliseconds.Add(std::chrono::duration<double, std::milli>(Clock::now() - start).count());
  }
  state.counters["p50_us"] = milliseconds.Quantile(0.5) * 1e3;
  state.counters["p99_us"] = milliseconds.Quantile(0.99) * 1e3;
  state.counters["max_us"] = milliseconds.Quantile(1) * 1e3;
  state.counters["waiting"] = static_cast<double>(fleet.waiting());
  state.counters["sub_queues"] = static_cast<double>(fleet.heads());
  state.SetItemsProcessed(state.iterations());
}

// Arguments: endpoints; requests at each in steady state; the longest queue.
void Busy(::benchmark::State& state) {
  BusyFleet fleet(static_cast<int>(state.range(0)), static_cast<int>(state.range(1)),
                  static_cast<std::size_t>(state.range(2)));
  TimeTurns(state, fleet);
  state.counters["residents"] = fleet.residents();
  state.counters["bytes_per_endpoint"] = fleet.bytes_per_endpoint();
  state.counters["bytes_per_request"] = fleet.bytes_per_request();
}
BENCHMARK(Busy)->Args({1'000, 50, 10'000})->Args({10'000, 50, 100'000})->Iterations(200'000);

// What it costs a turn that its decision can be explained, as a share of a turn without that: each
// turn in its turn keeps nothing, what was considered, and who would be harmed. Medians, so that
// what the machine does besides counts little. Arguments: endpoints; requests at each.
void Explained(::benchmark::State& state) {
  BusyFleet fleet(static_cast<int>(state.range(0)), static_cast<int>(state.range(1)), 10'000);
  constexpr std::array kDetails{Detail::kNone, Detail::kConsidered, Detail::kHarmed};
  std::array<Histogram, kDetails.size()> milliseconds;
  using Clock = std::chrono::steady_clock;
  for (auto _ : state) {
    for (std::size_t i = 0; i < kDetails.size(); ++i) {
      fleet.set_detail(kDetails[i]);
      const auto start = Clock::now();
      fleet.Turn();
      milliseconds[i].Add(std::chrono::duration<double, std::milli>(Clock::now() - start).count());
    }
  }
  const double plain = milliseconds[0].Quantile(0.5);
  state.counters["p50_us"] = plain * 1e3;
  state.counters["considered"] = milliseconds[1].Quantile(0.5) / plain;
  state.counters["harmed"] = milliseconds[2].Quantile(0.5) / plain;
}
BENCHMARK(Explained)->Args({1'000, 50});

// Arguments: endpoints, requests waiting.
void Turn(::benchmark::State& state, std::string_view policy) {
  Workload workload(policy, static_cast<int>(state.range(0)),
                    static_cast<std::size_t>(state.range(1)));
  for (int i = 0; i < 20'000; ++i) workload.Turn();
  TimeTurns(state, workload);
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
