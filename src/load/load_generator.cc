#include "load/load_generator.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <utility>

#include "completion/client.h"
#include "load/pause_watch.h"
#include "load/prompt.h"
#include "net/waker.h"
#include "system/clock.h"
#include "system/mutex.h"

namespace headrace::load {
namespace {

using completion::Outcome;

// So many first requests that the server refused, and none that it took: it will refuse them all.
constexpr int kEnoughRefusals = 10;
constexpr std::string_view kPaused = "this machine or program stood still meanwhile";
constexpr std::string_view kBrokenOff = "broken off while still able to meet the SLO";
constexpr std::string_view kGaveUp = "the load was given up before the answer came";

bool IsBusy(int status) { return status == 429 || status == 503; }

LoadOutcome OutcomeOf(const completion::Response& response) {
  if (response.outcome == Outcome::kCompleted) return LoadOutcome::kCompleted;
  if (IsBusy(response.status)) return LoadOutcome::kRefused;
  const bool timed_out =
      response.outcome == Outcome::kTimedOut || response.outcome == Outcome::kStopped;
  return timed_out ? LoadOutcome::kTimedOut : LoadOutcome::kFailed;
}

// The server wants none of it, or there is none; not: it is busy.
bool IsRefusal(const completion::Response& response) {
  return (response.outcome == Outcome::kErrorStatus && !IsBusy(response.status)) ||
         response.error == net::CallError::kConnectFailed ||
         response.error == net::CallError::kConnectTimeout ||
         response.error == net::CallError::kTlsFailed;
}

std::string ReasonOf(const completion::Response& response) {
  return response.outcome == Outcome::kStopped ? "unfinished when the run ended"
                                               : Describe(response);
}

// Whether a request that was broken off could have met its SLO, had it ended at that moment.
bool WasInTime(const std::optional<slo::Slo>& slo, const workload::WorkloadRequest& request,
               const completion::Response& response) {
  if (!slo) return true;
  slo::RequestLatency so_far = LatencyOf(response, request.prompt_tokens);
  if (!so_far.ttft) so_far.ttft = so_far.e2e;
  so_far.prompt_tokens = request.prompt_tokens;
  so_far.output_tokens = request.output_tokens;
  return slo::Attained(*slo, so_far);
}

void Count(const LoadResult& result, workload::ClassReport& report) {
  switch (result.outcome) {
    case LoadOutcome::kCompleted:
      report.Complete(result.latency, result.queued, result.attained);
      break;
    case LoadOutcome::kRefused:
      ++report.refused;
      break;
    case LoadOutcome::kTimedOut:
      ++report.timed_out;
      break;
    case LoadOutcome::kFailed:
      ++report.failed;
      break;
    case LoadOutcome::kNotCounted:
      --report.offered;
      break;
  }
}

}  // namespace

void AskedAndGot::Add(Tokens asked_tokens, Tokens got_tokens) {
  asked += static_cast<std::uint64_t>(asked_tokens);
  got += static_cast<std::uint64_t>(got_tokens);
  off += static_cast<std::uint64_t>(std::abs(std::int64_t{got_tokens} - asked_tokens));
}

void AskedAndGot::Merge(const AskedAndGot& other) {
  asked += other.asked;
  got += other.got;
  off += other.off;
}

double AskedAndGot::Off() const {
  return asked == 0 ? 0 : static_cast<double>(off) / static_cast<double>(asked);
}

void LoadCounts::Merge(const LoadCounts& other) {
  waiting += other.waiting;
  in_flight += other.in_flight;
  report.Merge(other.report);
  prompt.Merge(other.prompt);
  output.Merge(other.output);
  cached_prompt_tokens += other.cached_prompt_tokens;
  steady.Merge(other.steady);
}

LoadCounts LoadSnapshot::Total() const {
  LoadCounts total;
  for (const LoadCounts& counts : classes) total.Merge(counts);
  return total;
}

std::vector<std::pair<std::string, LoadFailure>> LoadSnapshot::CommonestFailures() const {
  std::vector<std::pair<std::string, LoadFailure>> sorted(failures.begin(), failures.end());
  std::ranges::sort(sorted, [](const auto& a, const auto& b) {
    return std::pair(b.second.count, a.first) < std::pair(a.second.count, b.first);
  });
  return sorted;
}

workload::Rates RatesOf(const LoadOptions& options, const LoadSnapshot& snapshot,
                        const LoadCounts& counts) {
  return workload::RatesOf(options.concurrency > 0 ? counts.steady : counts.report,
                           snapshot.arrivals);
}

struct LoadGenerator::State : std::enable_shared_from_this<State> {
  State(net::IoThread& io_thread, const LoadOptions& load_options,
        std::function<void(const LoadResult&)> on_finished)
      : thread(io_thread),
        options(load_options),
        finished(std::move(on_finished)),
        client(io_thread, options.target),
        stream(*options.workload, options.seed, options.rate_scale),
        beat(io_thread) {
    const std::size_t classes = options.workload->classes.size();
    snapshot.classes.resize(classes);
    snapshot.deployments.resize(classes);
  }

  net::Task<void> OpenLoop();
  net::Task<void> ClosedLoop();
  net::Task<void> Heartbeat();
  bool MayTake(Seconds at) const;
  // The next one is due now, `at` from the start. Returns how much of the measured time lies
  // between it and the one before.
  Seconds Take(Seconds at);
  net::Task<void> Send(workload::WorkloadRequest request, std::uint64_t number, Seconds gap);
  completion::Request RequestOf(const workload::WorkloadRequest& request,
                                std::uint64_t number) const;
  bool Counts(const LoadResult& result) const { return result.number >= options.warm_up; }
  void Beat() {
    const Seconds now = system::MonotonicNow();
    pauses.Beat(now, system::BootNow() - now);
  }
  std::string_view WhyNotCounted(const workload::WorkloadRequest& request,
                                 const completion::Response& response) const;
  void CountSent(const LoadResult& result);
  void CountHead(const LoadResult& result);
  void CountEnd(const LoadResult& result, const workload::WorkloadRequest& asked,
                const completion::Response& response, std::string_view not_counted);
  void LeaveOut(const LoadResult& result, const completion::Response& response,
                std::string_view reason) HEADRACE_REQUIRES(mutex);
  void CountFailure(const completion::Response& response) HEADRACE_REQUIRES(mutex);
  void GiveUpIfRefused(const completion::Response& response) HEADRACE_REQUIRES(mutex);
  // No request comes after this time from the start.
  void EndArrivals(Seconds at);
  void NoteDone() HEADRACE_REQUIRES(mutex);
  bool Done() const HEADRACE_REQUIRES(mutex) { return arrivals_over && snapshot.open == 0; }

  // --- On the thread.
  net::IoThread& thread;
  LoadOptions options;
  std::function<void(const LoadResult&)> finished;
  completion::Client client;
  workload::WorkloadStream stream;
  PauseWatch pauses;
  net::Waker beat;  // The next one is due, or the last one was.
  std::uint64_t taken = 0;
  Seconds last = 0;  // When the last one was due, from the start.

  // --- On any thread.
  std::atomic<Seconds> started = 0;
  std::atomic<bool> end_arrivals = false;
  std::atomic<bool> broken_off = false;
  std::atomic<bool> gave_up = false;
  mutable system::Mutex mutex;
  system::ConditionVariable changed;
  bool arrivals_over HEADRACE_GUARDED_BY(mutex) = true;
  std::optional<Seconds> begun HEADRACE_GUARDED_BY(mutex);  // The first that counts was due.
  Seconds ended HEADRACE_GUARDED_BY(mutex) = 0;             // From the start, as `begun`.
  Seconds left_out HEADRACE_GUARDED_BY(mutex) = 0;  // Of the time between: of what is not counted.
  int refusals HEADRACE_GUARDED_BY(mutex) = 0;      // While nothing was taken.
  bool was_taken HEADRACE_GUARDED_BY(mutex) = false;
  LoadSnapshot snapshot HEADRACE_GUARDED_BY(mutex);
};

// --- Arrivals

bool LoadGenerator::State::MayTake(Seconds at) const {
  return !end_arrivals && taken < options.warm_up + options.max_requests && at < options.duration;
}

Seconds LoadGenerator::State::Take(Seconds at) {
  const system::MutexLock lock(mutex);
  ++snapshot.open;
  if (taken++ == options.warm_up) begun = options.warm_up == 0 ? 0 : at;
  return at - std::max(std::exchange(last, at), begun.value_or(at));
}

void LoadGenerator::State::EndArrivals(Seconds at) {
  const system::MutexLock lock(mutex);
  if (arrivals_over) return;
  ended = at;
  arrivals_over = true;
  NoteDone();
}

void LoadGenerator::State::NoteDone() {
  if (Done()) beat.Wake();
  changed.NotifyAll();
}

net::Task<void> LoadGenerator::State::OpenLoop() {
  const auto self = shared_from_this();
  while (MayTake(stream.NextAt())) {
    const workload::WorkloadRequest request = stream.Next().value_or(workload::WorkloadRequest{});
    const Seconds due = started + request.at;
    // In pieces short enough to notice an early end.
    while (!end_arrivals && system::MonotonicNow() < due) {
      co_await thread.SleepUntil(std::min(due, system::MonotonicNow() + 0.1));
    }
    if (end_arrivals) break;
    const std::uint64_t number = taken;
    const Seconds gap = Take(request.at);
    thread.Spawn([self, request, number, gap] { return self->Send(request, number, gap); });
  }
  if (end_arrivals) {
    EndArrivals(system::MonotonicNow() - started);
  } else {
    const bool over = stream.NextAt() >= options.duration && stream.NextAt() < kNever;
    EndArrivals(over ? options.duration : last);
  }
}

// One of as many as are to be open at a time.
net::Task<void> LoadGenerator::State::ClosedLoop() {
  const auto self = shared_from_this();
  const auto now = [this] { return system::MonotonicNow() - started; };
  while (MayTake(now())) {
    auto request = stream.Next();
    if (!request) break;
    request->at = now();
    const std::uint64_t number = taken;
    const Seconds gap = Take(request->at);
    if (!MayTake(request->at)) EndArrivals(request->at);
    co_await Send(*request, number, gap);
  }
  EndArrivals(now());
}

net::Task<void> LoadGenerator::State::Heartbeat() {
  const auto self = shared_from_this();
  for (;;) {
    Beat();
    {
      const system::MutexLock lock(mutex);
      if (Done()) co_return;
    }
    co_await beat.Wait(system::MonotonicNow() + PauseWatch::kBeat);
  }
}

// --- A request

net::Task<void> LoadGenerator::State::Send(workload::WorkloadRequest request, std::uint64_t number,
                                           Seconds gap) {
  const auto self = shared_from_this();
  Beat();
  const std::optional<slo::Slo>& slo = options.workload->classes[request.class_index].slo;
  const Seconds now = system::MonotonicNow();
  LoadResult result{.number = number, .class_index = request.class_index, .at = request.at};
  result.gap = gap;
  result.send_lag = now - (started + request.at);
  result.latency.prompt_tokens = request.prompt_tokens;
  CountSent(result);

  completion::Request call = RequestOf(request, number);
  std::function<void(const completion::Response&)> on_head =
      [this, &result](const completion::Response& head) {
        result.status = head.status;
        result.deployment = head.deployment;
        CountHead(result);
      };
  const completion::Response response =
      co_await client.Complete(std::move(call), now, now + options.timeout, std::move(on_head));
  Beat();
  if (response.status != 0) result.latency = LatencyOf(response, request.prompt_tokens);
  result.queued = response.queued;
  const std::string_view not_counted = WhyNotCounted(request, response);
  result.outcome = not_counted.empty() ? OutcomeOf(response) : LoadOutcome::kNotCounted;
  result.attained =
      result.outcome == LoadOutcome::kCompleted && (!slo || slo::Attained(*slo, result.latency));
  // In this order: once everything is counted as ended, the generator may be gone.
  if (finished && Counts(result)) finished(result);
  CountEnd(result, request, response, not_counted);
}

// Empty if it counts.
std::string_view LoadGenerator::State::WhyNotCounted(const workload::WorkloadRequest& request,
                                                     const completion::Response& response) const {
  if (response.error == net::CallError::kNoSocket) return net::Describe(response.error);
  if (pauses.Covers(started + request.at, response.end)) return kPaused;
  if (response.outcome != Outcome::kStopped) return "";
  const std::optional<slo::Slo>& slo = options.workload->classes[request.class_index].slo;
  if (broken_off) return WasInTime(slo, request, response) ? kBrokenOff : "";
  return gave_up ? kGaveUp : "";
}

completion::Request LoadGenerator::State::RequestOf(const workload::WorkloadRequest& request,
                                                    std::uint64_t number) const {
  constexpr std::uint64_t kApart = 0x9E3779B97F4A7C15;  // No two runs' numbers meet.
  completion::Request call;
  call.api = options.api;
  call.model = options.model;
  call.prompt = LoadPrompt(request.prompt_tokens, options.api,
                           Rng(Rng(options.seed * kApart + options.stage).Next() + number));
  call.stream = options.stream;
  if (options.limit_length) call.max_tokens = request.output_tokens;
  if (options.send_slo) call.slo = options.workload->classes[request.class_index].slo;
  if (options.state_length) {
    call.headers.emplace_back("x-headrace-output-tokens", std::to_string(request.output_tokens));
  }
  if (!options.policy.empty()) call.headers.emplace_back("routing-strategy", options.policy);
  return call;
}

// --- Counts

void LoadGenerator::State::CountSent(const LoadResult& result) {
  const system::MutexLock lock(mutex);
  snapshot.send_lag.Add(result.send_lag);
  if (!Counts(result)) {
    ++snapshot.warm_up;
    return;
  }
  ++snapshot.offered;
  ++snapshot.classes[result.class_index].waiting;
  ++snapshot.classes[result.class_index].report.offered;
}

void LoadGenerator::State::CountHead(const LoadResult& result) {
  if (!Counts(result)) return;
  const system::MutexLock lock(mutex);
  LoadCounts& of_class = snapshot.classes[result.class_index];
  --of_class.waiting;
  ++of_class.in_flight;
  if (result.deployment.empty()) return;
  LoadCounts& there = snapshot.deployments[result.class_index][result.deployment];
  ++there.in_flight;
  ++there.report.offered;
}

void LoadGenerator::State::CountEnd(const LoadResult& result,
                                    const workload::WorkloadRequest& asked,
                                    const completion::Response& response,
                                    std::string_view not_counted) {
  const system::MutexLock lock(mutex);
  const bool completed = result.outcome == LoadOutcome::kCompleted;
  const bool steady = begun && !arrivals_over && options.concurrency > 0;
  const auto count = [&](LoadCounts& counts) {
    if (completed && steady) {
      counts.steady.Complete(result.latency, result.queued, result.attained);
    }
    if (!Counts(result)) return;
    Count(result, counts.report);
    if (!completed || !response.usage) return;
    counts.prompt.Add(asked.prompt_tokens, response.usage->prompt_tokens);
    counts.output.Add(asked.output_tokens, result.latency.output_tokens);
    counts.cached_prompt_tokens += static_cast<std::uint64_t>(response.usage->cached_prompt_tokens);
  };
  LoadCounts& of_class = snapshot.classes[result.class_index];
  if (Counts(result)) --(result.status == 0 ? of_class.waiting : of_class.in_flight);
  count(of_class);
  if (!result.deployment.empty()) {
    LoadCounts& there = snapshot.deployments[result.class_index][result.deployment];
    if (Counts(result)) --there.in_flight;
    count(there);
  }
  if (!not_counted.empty()) {
    LeaveOut(result, response, not_counted);
  } else if (Counts(result) && !completed) {
    CountFailure(response);
  }
  GiveUpIfRefused(response);
  --snapshot.open;
  NoteDone();
}

void LoadGenerator::State::LeaveOut(const LoadResult& result, const completion::Response& response,
                                    std::string_view reason) {
  if (options.concurrency == 0) {
    left_out += result.gap;
  } else if (begun && response.outcome != Outcome::kStopped) {
    // Its place gave no result while it was open.
    const Seconds until = arrivals_over ? ended : response.end - started;
    left_out += std::max(0.0, until - std::max(result.at, *begun)) /
                static_cast<double>(options.concurrency);
  }
  if (!Counts(result)) return;
  --snapshot.offered;
  ++snapshot.not_counted[std::string(reason)];
}

void LoadGenerator::State::CountFailure(const completion::Response& response) {
  LoadFailure& failure = snapshot.failures[ReasonOf(response)];
  ++failure.count;
  if (failure.example.empty()) failure.example = response.said;
}

void LoadGenerator::State::GiveUpIfRefused(const completion::Response& response) {
  was_taken = was_taken || response.outcome == Outcome::kCompleted;
  if (was_taken || !IsRefusal(response) || ++refusals != kEnoughRefusals) return;
  snapshot.given_up = response.status;
  // The reason is told even if all of them were the warm-up's.
  LoadFailure& failure = snapshot.failures[ReasonOf(response)];
  if (failure.example.empty()) failure.example = response.said;
  end_arrivals = true;
  gave_up = true;
  thread.Post([self = shared_from_this()] { self->client.Stop(); });
}

// --- The generator

LoadGenerator::LoadGenerator(net::IoThread& thread, const LoadOptions& options,
                             std::function<void(const LoadResult&)> finished)
    : state_(std::make_shared<State>(thread, options, std::move(finished))) {}

LoadGenerator::~LoadGenerator() {
  Stop();
  // Its connections live on the thread.
  state_->thread.Post([state = std::move(state_)] {});
}

void LoadGenerator::Start() {
  state_->started = system::MonotonicNow();
  {
    const system::MutexLock lock(state_->mutex);
    state_->arrivals_over = false;
  }
  state_->thread.Spawn([state = state_] { return state->Heartbeat(); });
  if (state_->options.concurrency == 0) {
    state_->thread.Spawn([state = state_] { return state->OpenLoop(); });
  }
  for (std::uint64_t i = 0; i < state_->options.concurrency; ++i) {
    state_->thread.Spawn([state = state_] { return state->ClosedLoop(); });
  }
}

bool LoadGenerator::Done() const {
  const system::MutexLock lock(state_->mutex);
  return state_->Done();
}

void LoadGenerator::EndArrivals() { state_->end_arrivals = true; }

void LoadGenerator::Stop() {
  EndArrivals();
  state_->thread.Post([state = state_] { state->client.Stop(); });
  const system::MutexLock lock(state_->mutex);
  while (!state_->Done()) state_->changed.Wait(state_->mutex);
}

void LoadGenerator::BreakOff() {
  state_->broken_off = true;
  Stop();
}

LoadSnapshot LoadGenerator::Snapshot() const {
  const system::MutexLock lock(state_->mutex);
  LoadSnapshot copy = state_->snapshot;
  copy.elapsed = state_->started > 0 ? system::MonotonicNow() - state_->started : 0;
  const Seconds end =
      state_->arrivals_over ? state_->ended : std::min(copy.elapsed, state_->options.duration);
  copy.arrivals = state_->begun ? std::max(0.0, end - *state_->begun - state_->left_out) : 0;
  return copy;
}

}  // namespace headrace::load
