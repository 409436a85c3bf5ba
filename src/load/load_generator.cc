#include "load/load_generator.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include "completion/client.h"
#include "load/prompt.h"
#include "system/clock.h"
#include "system/mutex.h"

namespace headrace::load {
namespace {

using completion::Outcome;

LoadOutcome OutcomeOf(const completion::Response& response) {
  if (response.outcome == Outcome::kCompleted) return LoadOutcome::kCompleted;
  if (response.status == 429 || response.status == 503) return LoadOutcome::kRefused;
  const bool timed_out =
      response.outcome == Outcome::kTimedOut || response.outcome == Outcome::kStopped;
  return timed_out ? LoadOutcome::kTimedOut : LoadOutcome::kFailed;
}

std::string ReasonOf(const completion::Response& response) {
  return response.outcome == Outcome::kStopped ? "unfinished when the run ended"
                                               : Describe(response);
}

void Count(const LoadResult& result, workload::ClassReport& report) {
  switch (result.outcome) {
    case LoadOutcome::kCompleted:
      ++report.completed;
      report.attained += result.attained;
      report.ttft.Add(result.latency.ttft);
      report.e2e.Add(result.latency.e2e);
      report.tpat.Add(result.latency.Tpat());
      report.ntpot.Add(result.latency.Ntpot());
      if (result.latency.output_tokens > 1) report.tpot.Add(result.latency.Tpot());
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
  }
}

}  // namespace

struct LoadGenerator::State : std::enable_shared_from_this<State> {
  State(net::IoThread& io_thread, const LoadOptions& load_options,
        std::function<void(const LoadResult&)> on_finished)
      : thread(io_thread),
        options(load_options),
        finished(std::move(on_finished)),
        client(io_thread, options.target),
        stream(*options.workload, options.seed, options.rate_scale) {
    const std::size_t classes = options.workload->classes.size();
    snapshot.classes.resize(classes);
    snapshot.deployments.resize(classes);
  }

  net::Task<void> Arrivals();
  net::Task<void> Send(workload::WorkloadRequest request, std::uint64_t number);
  completion::Request RequestOf(const workload::WorkloadRequest& request,
                                std::uint64_t number) const;
  void CountDue();
  void CountSent(const LoadResult& result);
  void CountHead(const LoadResult& result);
  void CountEnd(const LoadResult& result, const completion::Response& response);
  void SetArrivalsOver(bool over) {
    const system::MutexLock lock(mutex);
    arrivals_over = over;
    changed.NotifyAll();
  }
  bool Done() const HEADRACE_REQUIRES(mutex) { return arrivals_over && snapshot.open == 0; }

  // --- On the thread.
  net::IoThread& thread;
  LoadOptions options;
  std::function<void(const LoadResult&)> finished;
  completion::Client client;
  workload::WorkloadStream stream;

  // --- On any thread.
  std::atomic<Seconds> started = 0;
  std::atomic<bool> end_arrivals = false;
  mutable system::Mutex mutex;
  system::ConditionVariable changed;
  bool arrivals_over HEADRACE_GUARDED_BY(mutex) = true;
  LoadSnapshot snapshot HEADRACE_GUARDED_BY(mutex);
};

net::Task<void> LoadGenerator::State::Arrivals() {
  const auto self = shared_from_this();
  std::uint64_t number = 0;
  while (!end_arrivals && number < options.max_requests && stream.NextAt() < options.duration) {
    const workload::WorkloadRequest request = stream.Next().value_or(workload::WorkloadRequest{});
    const Seconds due = started + request.at;
    // In pieces short enough to notice an early end.
    while (!end_arrivals && system::MonotonicNow() < due) {
      co_await thread.SleepUntil(std::min(due, system::MonotonicNow() + 0.1));
    }
    if (end_arrivals) break;
    CountDue();
    thread.Spawn([self, request, number] { return self->Send(request, number); });
    ++number;
  }
  SetArrivalsOver(true);
}

net::Task<void> LoadGenerator::State::Send(workload::WorkloadRequest request,
                                           std::uint64_t number) {
  const auto self = shared_from_this();
  const std::optional<slo::Slo>& slo = options.workload->classes[request.class_index].slo;
  const Seconds due = started + request.at;
  LoadResult result{.number = number, .class_index = request.class_index, .at = request.at};
  result.send_lag = system::MonotonicNow() - due;
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
      co_await client.Complete(std::move(call), due, due + options.timeout, std::move(on_head));
  if (response.status != 0) result.latency = LatencyOf(response, request.prompt_tokens);
  result.outcome = OutcomeOf(response);
  result.attained =
      result.outcome == LoadOutcome::kCompleted && (!slo || slo::Attained(*slo, result.latency));
  // In this order: once everything is counted as ended, the generator may be gone.
  if (finished) finished(result);
  CountEnd(result, response);
}

completion::Request LoadGenerator::State::RequestOf(const workload::WorkloadRequest& request,
                                                    std::uint64_t number) const {
  completion::Request call;
  call.model = options.model;
  call.prompt = LoadPrompt(request.prompt_tokens, number);
  call.stream = options.stream;
  if (options.limit_length) call.max_tokens = request.output_tokens;
  if (options.send_slo) call.slo = options.workload->classes[request.class_index].slo;
  if (options.state_length) {
    call.headers.emplace_back("x-headrace-output-tokens", std::to_string(request.output_tokens));
  }
  if (!options.policy.empty()) call.headers.emplace_back("routing-strategy", options.policy);
  return call;
}

void LoadGenerator::State::CountDue() {
  const system::MutexLock lock(mutex);
  ++snapshot.open;
}

void LoadGenerator::State::CountSent(const LoadResult& result) {
  const system::MutexLock lock(mutex);
  ++snapshot.offered;
  ++snapshot.classes[result.class_index].waiting;
  ++snapshot.classes[result.class_index].report.offered;
  snapshot.send_lag.Add(result.send_lag);
}

void LoadGenerator::State::CountHead(const LoadResult& result) {
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
                                    const completion::Response& response) {
  const system::MutexLock lock(mutex);
  LoadCounts& of_class = snapshot.classes[result.class_index];
  --(result.status == 0 ? of_class.waiting : of_class.in_flight);
  Count(result, of_class.report);
  if (!result.deployment.empty()) {
    LoadCounts& there = snapshot.deployments[result.class_index][result.deployment];
    --there.in_flight;
    Count(result, there.report);
  }
  if (result.outcome == LoadOutcome::kTimedOut || result.outcome == LoadOutcome::kFailed) {
    ++snapshot.failures[ReasonOf(response)];
  }
  --snapshot.open;
  changed.NotifyAll();
}

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
  state_->SetArrivalsOver(false);
  state_->thread.Spawn([state = state_] { return state->Arrivals(); });
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

LoadSnapshot LoadGenerator::Snapshot() const {
  const system::MutexLock lock(state_->mutex);
  LoadSnapshot copy = state_->snapshot;
  copy.elapsed = state_->started > 0 ? system::MonotonicNow() - state_->started : 0;
  return copy;
}

}  // namespace headrace::load
