#include "scenario/mode_bound.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <map>
#include <numeric>
#include <span>
#include <tuple>
#include <vector>

#include "engine/kv_cache.h"
#include "scenario/mode_program.h"
#include "step/time_model.h"

namespace headrace::scenario {
namespace {

// Arrivals are told apart by windows of about this length, so that bursts show; in long runs by
// longer ones, since the program's time grows with the third power of their number.
constexpr Seconds kWindow = 30;
constexpr double kMostWindows = 10;
// Modes: each lasts so many times as long as the one before, narrow where steps decode.
constexpr double kNarrow = 1.25;
constexpr double kWide = 1.5;
constexpr double kNarrowUpTo = 2.5;
// Requests of a cohort differ by at most this factor in the pace that they need.
constexpr double kPaceFactor = 2;
constexpr std::size_t kSegments = 4;
constexpr std::size_t kBlindPrompts = 16;
// Where lengths are unknown, the pace is one at which all, nearly all, … attain.
constexpr std::array kBlindQuantiles{0.0, 0.01, 0.03, 0.07, 0.15, 0.3, 0.5, 0.75};

// One request that counts.
struct Job {
  std::uint32_t class_index = 0;
  Seconds arrived = 0;   // Since the warm-up.
  Seconds first_by = 0;  // After its arrival: its first token, …
  Seconds last_by = 0;   // … and its last.
  Tokens prompt_tokens = 0;
  Quantities takes{};
  // By deployment: the most seconds that its decode steps may take together; below 0: it cannot
  // meet its SLO there, not even alone.
  std::vector<Seconds> decode_budget;
};

// The most prompt tokens of one request that a step of at most `duration` can hold.
double MostInAStep(const step::TimeModel& step, Seconds duration) {
  Tokens low = 0;
  Tokens high = 1 << 22;
  while (low < high) {
    const Tokens middle = low + (high - low + 1) / 2;
    if (step.Duration({.prefilled = middle}) <= duration) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return low;
}

class Requests {
 public:
  // `windows`: 0 for one about every kWindow.
  Requests(const Scenario& scenario, double rate, std::uint64_t seed, std::size_t windows)
      : scenario_(scenario), duration_(scenario.DurationAt(rate)), windows_(windows) {
    if (windows_ == 0) {
      windows_ =
          static_cast<std::size_t>(std::clamp(std::round(duration_ / kWindow), 1.0, kMostWindows));
    }
    for (std::size_t d = 0; d < scenario.fleet.size(); ++d) AddEngines(d);
    workload::WorkloadStream stream(scenario.workload, seed, rate);
    while (stream.NextAt() < scenario.warm_up + duration_) {
      const workload::WorkloadRequest request = *stream.Next();
      if (request.at >= scenario.warm_up) AddJob(request);
    }
  }

  double offered() const { return offered_; }
  std::size_t windows() const { return windows_; }
  const std::vector<Engines>& fleet() const { return fleet_; }

  std::vector<Cohort> KnownCohorts() const;
  std::vector<Cohort> BlindCohorts() const;

 private:
  void AddEngines(std::size_t d);
  void AddJob(const workload::WorkloadRequest& request);
  struct Span {
    std::size_t window = 0;
    std::size_t prefill_windows = 0;
    std::size_t decode_windows = 0;
  };
  Span SpanOf(const Job& job) const;
  Cohort BlindCohort(std::span<const Job* const> members) const;
  // The slowest mean pace at which a request decodes within its budget.
  static Seconds SlowestPace(const Job& job, Seconds budget) {
    return job.takes[kDecoded] > 0 ? budget / job.takes[kDecoded] : kNever;
  }
  // A pace that no step is slower than, but for those of the last mode.
  Seconds Longest() const;
  int PaceOf(const Job& job) const;

  const Scenario& scenario_;
  Seconds duration_;
  std::size_t windows_;
  double offered_ = 0;
  std::vector<Engines> fleet_;
  std::vector<Job> jobs_;
};

void Requests::AddEngines(std::size_t d) {
  const sim::SimDeployment& deployment = scenario_.fleet[d];
  const engine::EngineConfig& config = deployment.engine;
  Engines engines;
  double fastest = 1;
  for (const sim::EndpointFault& fault : scenario_.faults) {
    if (fault.deployment == d && fault.kind == sim::EndpointFault::Kind::kSpeed) {
      fastest = std::min(fastest, fault.factor);
    }
  }
  engines.step = config.step.SlowedBy(fastest);
  engines.room = static_cast<double>(config.kv_blocks * engine::kKvBlockTokens);
  engines.max_seqs = config.max_num_seqs;
  engines.max_tokens = config.max_num_batched_tokens;

  const step::TimeModel& step = engines.step;
  const Seconds shortest =
      std::min(step.Duration({.decoding = 1}), step.Duration({.prefilled = 1}));
  step::Work fullest{.decoding = config.max_num_seqs,
                     .held = static_cast<std::int64_t>(engines.room),
                     .prefilled = config.max_num_batched_tokens,
                     .attended = engines.max_tokens * config.max_model_len};
  const Seconds longest = step.Duration(fullest);
  const int batch = std::min(config.max_num_seqs, config.max_num_batched_tokens - 1);
  engines.full_step = std::min(
      step.Duration({.prefilled = config.max_num_batched_tokens}),
      step.Duration({.decoding = batch, .prefilled = config.max_num_batched_tokens - batch}));
  for (Seconds edge = shortest; edge < engines.full_step;
       edge *= edge < kNarrowUpTo * shortest ? kNarrow : kWide) {
    engines.edges.push_back(edge);
  }
  engines.edges.push_back(engines.full_step);
  if (longest > engines.full_step) engines.edges.push_back(longest);
  for (std::size_t m = 0; m < engines.modes(); ++m) {
    engines.most_prefilled.push_back(MostInAStep(step, engines.edges[m + 1]));
  }
  engines.endpoints = deployment.endpoints;

  // Engine-seconds per window, at that speed.
  const Seconds window = duration_ / static_cast<double>(windows_);
  engines.available.assign(windows_, 0);
  for (int endpoint = 0; endpoint < deployment.endpoints; ++endpoint) {
    std::vector<std::pair<Seconds, double>> speeds{{0, 1}};  // From when on.
    std::vector<sim::EndpointFault> faults;
    for (const sim::EndpointFault& fault : scenario_.faults) {
      if (fault.deployment == d && fault.endpoint == endpoint) faults.push_back(fault);
    }
    std::ranges::sort(faults, {}, [](const sim::EndpointFault& fault) {
      return std::pair(fault.at, fault.kind);
    });
    double speed = 1;
    bool up = true;
    for (const sim::EndpointFault& fault : faults) {
      if (fault.kind == sim::EndpointFault::Kind::kSpeed) speed = 1 / fault.factor;
      if (fault.kind == sim::EndpointFault::Kind::kLost) up = false;
      if (fault.kind == sim::EndpointFault::Kind::kFailing) up = false;
      if (fault.kind == sim::EndpointFault::Kind::kReturn) up = true;
      speeds.emplace_back(fault.at - scenario_.warm_up, up ? speed : 0);
    }
    for (std::size_t i = 0; i < speeds.size(); ++i) {
      const Seconds until = i + 1 < speeds.size() ? speeds[i + 1].first : kNever;
      for (std::size_t w = 0; w < windows_; ++w) {
        const Seconds from = window * static_cast<double>(w);
        const Seconds overlap = std::min(until, from + window) - std::max(speeds[i].first, from);
        if (overlap > 0) engines.available[w] += overlap * speeds[i].second * fastest;
      }
    }
  }
  fleet_.push_back(std::move(engines));
}

void Requests::AddJob(const workload::WorkloadRequest& request) {
  offered_ += 1;
  const Tokens prompt = request.prompt_tokens;
  const Tokens output = std::min(request.output_tokens, scenario_.LongestContext() - prompt);
  if (output < 1) return;  // Offered, but nobody can serve it.
  const Tokens cached =
      workload::CachedTokens(scenario_.workload.classes[request.class_index], prompt);
  const std::optional<slo::Slo>& own = scenario_.workload.classes[request.class_index].slo;
  const slo::Slo slo = own ? *own : scenario_.scheduler.slo.value_or(slo::Slo{});

  Job job;
  job.class_index = request.class_index;
  job.prompt_tokens = prompt;
  job.last_by = slo::EndLimits(slo, prompt).Earliest(output);
  const Seconds gaps = slo.tpot ? *slo.tpot * (output - 1) : kNever;
  job.first_by = std::min(slo.ttft.value_or(kNever), job.last_by);
  job.last_by = std::min(job.last_by, job.first_by + gaps);

  const double decoded = output - 1;
  const step::Work prefill = step::Work::Prefill(prompt - cached, cached);
  job.takes[kPrefilled] = prefill.prefilled;
  job.takes[kAttended] = prefill.attended;
  job.takes[kDecoded] = decoded;
  job.takes[kHeld] = decoded * prompt + 0.5 * decoded * output;
  for (std::size_t d = 0; d < fleet_.size(); ++d) {
    const step::TimeModel& step = fleet_[d].step;
    // In the fewest steps, equal ones: the dense layers bend upwards.
    const double chunks = std::ceil(prefill.prefilled / fleet_[d].max_tokens);
    const Seconds first =
        chunks * (step.overhead + step.Dense(step.b * prefill.prefilled / chunks)) +
        step.e * prefill.attended;
    const Seconds budget = std::min(gaps, job.last_by - first);
    const Seconds least = step.DecodeRun(output - 1, 1, prompt);
    const bool feasible = prompt + output <= scenario_.fleet[d].engine.max_model_len &&
                          first <= job.first_by && least <= budget;
    job.decode_budget.push_back(feasible ? budget : -1);
  }
  if (std::ranges::max(job.decode_budget) < 0) return;
  job.arrived = request.at - scenario_.warm_up;
  jobs_.push_back(std::move(job));
}

// In which windows it may run. Where these are many, it is told less exactly when they begin, so
// that there are fewer cohorts.
Requests::Span Requests::SpanOf(const Job& job) const {
  const Seconds window = duration_ / static_cast<double>(windows_);
  const auto most = static_cast<double>(windows_);
  const double last = std::min(std::floor((job.arrived + job.last_by) / window), 2 * most);
  Span span{.window = static_cast<std::size_t>(std::min(job.arrived / window, most - 1))};
  const auto length = static_cast<std::size_t>(last) - span.window + 1;
  if (length > 2) span.window -= span.window % std::bit_floor(length - 1);
  const auto windows_to = [&](double to) {
    return static_cast<std::size_t>(std::min(to - static_cast<double>(span.window) + 1, most));
  };
  span.decode_windows = windows_to(last);
  span.prefill_windows =
      windows_to(std::min(std::floor((job.arrived + job.first_by) / window), last));
  return span;
}

Seconds Requests::Longest() const {
  Seconds longest = 0;
  for (const Engines& engines : fleet_) {
    longest = std::max(longest, engines.edges[engines.modes() - 1]);
  }
  return longest;
}

// Its group; the groups are a factor of kPaceFactor wide.
int Requests::PaceOf(const Job& job) const {
  const Seconds pace = SlowestPace(job, std::ranges::max(job.decode_budget));
  if (pace >= Longest()) return kAnyPace;
  Seconds shortest = kNever;
  for (const Engines& engines : fleet_) shortest = std::min(shortest, engines.edges.front());
  return static_cast<int>(std::max(0.0, std::log(pace / shortest) / std::log(kPaceFactor)));
}

// The members of a cohort as kSegments kinds: of every quantity the first kind has the least, and
// of the budgets the largest. Whichever members are served, they take at least as much together as
// so many of the first kinds.
std::vector<Cohort> Requests::KnownCohorts() const {
  using Key =
      std::tuple<std::size_t, std::uint32_t, std::size_t, std::size_t, int, std::vector<bool>>;
  std::map<Key, std::vector<const Job*>> groups;
  for (const Job& job : jobs_) {
    std::vector<bool> feasible;
    for (const Seconds budget : job.decode_budget) feasible.push_back(budget >= 0);
    const Span span = SpanOf(job);
    groups[{span.window, job.class_index, span.prefill_windows, span.decode_windows, PaceOf(job),
            feasible}]
        .push_back(&job);
  }
  std::vector<Cohort> cohorts;
  for (const auto& [key, jobs] : groups) {
    Cohort& cohort = cohorts.emplace_back();
    cohort.window = std::get<0>(key);
    cohort.prefill_windows = std::get<2>(key);
    cohort.decode_windows = std::get<3>(key);
    cohort.pace = std::get<4>(key);
    const std::size_t kinds = std::min(kSegments, jobs.size());
    const auto segments = [&](auto figure, bool descending) {
      std::vector<double> values;
      for (const Job* job : jobs) values.push_back(figure(*job));
      std::ranges::sort(values);
      if (descending) std::ranges::reverse(values);
      std::vector<double> means;
      for (std::size_t k = 0; k < kinds; ++k) {
        const auto from = values.begin() + static_cast<long>(k * values.size() / kinds);
        const auto to = values.begin() + static_cast<long>((k + 1) * values.size() / kinds);
        means.push_back(std::accumulate(from, to, 0.0) / static_cast<double>(to - from));
      }
      return means;
    };
    for (const Job* job : jobs) {
      Kind& member = cohort.members.emplace_back(Kind{.count = 1, .takes = job->takes});
      for (const Seconds budget : job->decode_budget) {
        member.worth.push_back(budget >= 0 ? 1 : 0);
        // A larger one than at any pace has no effect.
        member.decode_budget.push_back(std::clamp(budget, 0.0, Longest() * job->takes[kDecoded]));
      }
    }
    cohort.kinds.resize(kinds);
    cohort.least_prompt = kNever;
    for (const Job* job : jobs) {
      cohort.least_prompt = std::min(cohort.least_prompt, job->takes[kPrefilled]);
    }
    const auto begin = [&](std::size_t kind) { return kind * jobs.size() / kinds; };
    for (std::size_t k = 0; k < kinds; ++k) {
      cohort.kinds[k].count = static_cast<double>(begin(k + 1) - begin(k));
    }
    for (std::size_t q = 0; q < kQuantities; ++q) {
      const auto means = segments([q](const Job& job) { return job.takes[q]; }, false);
      for (std::size_t k = 0; k < kinds; ++k) cohort.kinds[k].takes[q] = means[k];
    }
    for (std::size_t d = 0; d < fleet_.size(); ++d) {
      const bool feasible = std::get<5>(key)[d];
      const auto means = segments(
          [&](const Job& job) {
            return std::min(job.decode_budget[d], Longest() * job.takes[kDecoded]);
          },
          true);
      for (std::size_t k = 0; k < kinds; ++k) {
        cohort.kinds[k].worth.push_back(feasible ? 1 : 0);
        cohort.kinds[k].decode_budget.push_back(feasible ? means[k] : 0);
      }
    }
  }
  return cohorts;
}

// Requests of a class with prompts of about one size are one kind: nobody knows their lengths. They
// are served at one of a few paces, at which those attain that need no faster one.
std::vector<Cohort> Requests::BlindCohorts() const {
  std::map<std::uint32_t, std::vector<const Job*>> groups;
  for (const Job& job : jobs_) groups[job.class_index].push_back(&job);
  std::vector<Cohort> cohorts;
  for (auto& [index, jobs] : groups) {
    std::ranges::sort(jobs, {}, &Job::prompt_tokens);
    const std::size_t parts = std::min(kBlindPrompts, jobs.size());
    for (std::size_t part = 0; part < parts; ++part) {
      cohorts.push_back(BlindCohort({jobs.data() + part * jobs.size() / parts,
                                     jobs.data() + (part + 1) * jobs.size() / parts}));
    }
  }
  return cohorts;
}

Cohort Requests::BlindCohort(std::span<const Job* const> members) const {
  Cohort cohort{.pace = static_cast<int>(members.front()->class_index), .least_prompt = kNever};
  const auto count = static_cast<double>(members.size());
  Kind kind{.count = count};
  std::vector<Seconds> paces;
  for (const Job* job : members) {
    const Span span = SpanOf(*job);
    cohort.prefill_windows = std::max(cohort.prefill_windows, span.prefill_windows);
    cohort.decode_windows = std::max(cohort.decode_windows, span.decode_windows);
    cohort.least_prompt = std::min(cohort.least_prompt, job->takes[kPrefilled]);
    for (std::size_t q = 0; q < kQuantities; ++q) kind.takes[q] += job->takes[q] / count;
    paces.push_back(std::min(SlowestPace(*job, std::ranges::max(job->decode_budget)), Longest()));
  }
  std::ranges::sort(paces);
  for (const double quantile : kBlindQuantiles) {
    const Seconds pace = paces[static_cast<std::size_t>(quantile * (count - 1))];
    for (std::size_t d = 0; d < fleet_.size(); ++d) {
      const auto attain = std::ranges::count_if(members, [&](const Job* job) {
        return job->decode_budget[d] >= 0 && SlowestPace(*job, job->decode_budget[d]) >= pace;
      });
      kind.worth.push_back(static_cast<double>(attain) / count);
      kind.decode_budget.push_back(pace * kind.takes[kDecoded]);
    }
  }
  cohort.kinds = {kind};
  cohort.members = {kind};
  return cohort;
}

}  // namespace

ModeBound ComputeModeBound(const Scenario& scenario, double rate, std::uint64_t seed) {
  const Requests requests(scenario, rate, seed, 0);
  const Requests long_run(scenario, rate, seed, 1);
  ModeBound bound;
  if (requests.offered() == 0) return bound;
  const auto most = [&](const Requests& of, std::vector<Cohort> cohorts) {
    return ModeProgram(of.fleet(), std::move(cohorts), of.windows()).Solve() / of.offered();
  };
  bound.known = std::min(1.0, most(requests, requests.KnownCohorts()));
  bound.blind = std::min(bound.known, most(long_run, long_run.BlindCohorts()));
  return bound;
}

}  // namespace headrace::scenario
