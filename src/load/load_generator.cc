#include "load/load_generator.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <set>
#include <utility>

#include "load/request_text.h"
#include "net/http_client.h"
#include "openai/response.h"
#include "system/clock.h"

namespace headrace::load {
namespace {

bool IsRefusal(int status) { return status == 429 || status == 503; }

// kClosed: the run was over before the answer was.
bool IsTimeout(net::CallError error) {
  return error == net::CallError::kConnectTimeout || error == net::CallError::kHeadTimeout ||
         error == net::CallError::kBodyTimeout || error == net::CallError::kClosed;
}

}  // namespace

struct LoadGenerator::State : std::enable_shared_from_this<State> {
  State(net::IoThread& io_thread, const LoadOptions& load_options,
        std::function<void(const LoadResult&)> on_finished)
      : thread(io_thread),
        options(load_options),
        finished(std::move(on_finished)),
        stream(*options.workload, options.seed, options.rate_scale) {
    if (options.host.empty()) options.host = options.target.ToString();
    const std::size_t classes = options.workload->classes.size();
    snapshot.classes.resize(classes);
    snapshot.deployments.resize(classes);
    net::HttpClientOptions client_options;
    client_options.max_idle_per_endpoint = 4096;
    client = std::make_unique<net::HttpClient>(thread, client_options);
  }

  net::Task<void> Arrivals();
  net::Task<void> Send(workload::WorkloadRequest request, std::uint64_t number);
  void Answered(const net::HttpCall& call, const workload::WorkloadRequest& request,
                LoadResult& result);
  void Finished(LoadResult& result, const std::string& failure);
  const workload::WorkloadClass& ClassOf(const workload::WorkloadRequest& request) const {
    return options.workload->classes[request.class_index];
  }

  net::IoThread& thread;
  LoadOptions options;
  std::function<void(const LoadResult&)> finished;
  std::unique_ptr<net::HttpClient> client;
  workload::WorkloadStream stream;
  Seconds started = 0;
  std::set<net::HttpCall*> calls;  // On the thread.
  bool stopping = false;           // On the thread.
  std::atomic<bool> end_arrivals{false};

  mutable std::mutex mutex;
  std::condition_variable changed;
  bool arrivals_over = true;  // Guarded by mutex, as is the snapshot.
  LoadSnapshot snapshot;
};

net::Task<void> LoadGenerator::State::Arrivals() {
  const auto self = shared_from_this();
  std::uint64_t number = 0;
  while (!end_arrivals && number < options.max_requests && stream.NextAt() < options.duration) {
    const workload::WorkloadRequest request = stream.Next().value_or(workload::WorkloadRequest{});
    // In pieces short enough to notice an early end.
    while (!end_arrivals && system::MonotonicNow() < started + request.at) {
      co_await thread.SleepUntil(std::min(started + request.at, system::MonotonicNow() + 0.1));
    }
    if (end_arrivals) break;
    thread.Spawn([self, request, number] { return self->Send(request, number); });
    ++number;
  }
  const std::lock_guard lock(mutex);
  arrivals_over = true;
  changed.notify_all();
}

net::Task<void> LoadGenerator::State::Send(workload::WorkloadRequest request,
                                           std::uint64_t number) {
  const auto self = shared_from_this();
  const workload::WorkloadClass& spec = ClassOf(request);
  const Seconds due = started + request.at;
  LoadResult result{.number = number, .class_index = request.class_index, .at = request.at};
  result.send_lag = system::MonotonicNow() - due;
  result.latency.prompt_tokens = request.prompt_tokens;
  {
    const std::lock_guard lock(mutex);
    ++snapshot.offered;
    ++snapshot.open;
    ++snapshot.classes[request.class_index].waiting;
    ++snapshot.classes[request.class_index].report.offered;
    snapshot.send_lag.Add(result.send_lag);
  }

  net::RequestHead head("POST", "/v1/chat/completions", options.host);
  head.Add("content-type", "application/json");
  if (options.state_length) {
    head.Add("x-headrace-output-tokens", static_cast<std::uint64_t>(request.output_tokens));
  }
  if (options.send_slo && spec.slo) AddSloHeaders(*spec.slo, head);
  if (!options.policy.empty()) head.Add("routing-strategy", options.policy);
  for (const std::string& header : options.headers) {
    const std::size_t colon = header.find(':');
    if (colon == std::string::npos) continue;
    const std::size_t value = header.find_first_not_of(' ', colon + 1);
    head.Add(std::string_view(header).substr(0, colon),
             value == std::string::npos ? "" : std::string_view(header).substr(value));
  }
  const std::string body =
      ChatRequestJson(options.model, request.prompt_tokens, number, options.stream,
                      options.limit_length ? request.output_tokens : 0);
  const std::string_view pieces[] = {body};
  const Seconds deadline = due + options.timeout;

  net::HttpCall call(*client);
  calls.insert(&call);
  std::string failure;
  net::CallError error = stopping ? net::CallError::kClosed
                                  : co_await call.Start(options.target, head, pieces, deadline);
  if (error == net::CallError::kNone) {
    Answered(call, request, result);
    const bool events = call.Header("content-type").starts_with("text/event-stream");
    openai::ResponseStreamParser meter(openai::ApiKind::kChatCompletions,
                                       events ? openai::ResponseStreamParser::Form::kEventStream
                                              : openai::ResponseStreamParser::Form::kJson,
                                       false);
    std::vector<std::string_view> passed;
    Seconds first = 0;
    for (;;) {
      const net::HttpCall::Piece piece = co_await call.ReadSome(deadline);
      error = piece.error;
      if (error != net::CallError::kNone) break;
      passed.clear();
      meter.Feed(piece.data, passed);
      if (piece.last) meter.Finish(passed);
      if (first == 0 && meter.first_token()) first = system::MonotonicNow();
      if (piece.last) break;
    }
    const Seconds end = system::MonotonicNow();
    result.latency.e2e = end - due;
    result.latency.ttft = (events && first > 0 ? first : end) - due;
    result.latency.output_tokens = static_cast<Tokens>(meter.deltas());
    if (const auto& usage = meter.usage()) {
      result.latency.prompt_tokens = usage->prompt_tokens;
      result.latency.output_tokens = usage->completion_tokens;
    }
    if (call.status() != 200) {
      failure = "status " + std::to_string(call.status());
    } else if (meter.error_in_stream() || (events && !meter.done())) {
      failure = "error in the stream";
    }
  }
  if (error == net::CallError::kClosed) {
    failure = "unfinished when the run ended";
  } else if (error != net::CallError::kNone) {
    failure = Describe(error);
  }
  result.outcome = failure.empty()            ? LoadOutcome::kCompleted
                   : IsRefusal(result.status) ? LoadOutcome::kRefused
                   : IsTimeout(error)         ? LoadOutcome::kTimedOut
                                              : LoadOutcome::kFailed;
  result.attained = result.outcome == LoadOutcome::kCompleted &&
                    (!spec.slo || slo::Attained(*spec.slo, result.latency));
  calls.erase(&call);
  Finished(result, failure);
}

void LoadGenerator::State::Answered(const net::HttpCall& call,
                                    const workload::WorkloadRequest& request, LoadResult& result) {
  result.status = call.status();
  result.deployment = call.Header("target-deployment");
  if (result.deployment.empty()) result.deployment = call.Header("target-pod");
  const std::lock_guard lock(mutex);
  LoadCounts& of_class = snapshot.classes[request.class_index];
  --of_class.waiting;
  ++of_class.in_flight;
  if (result.deployment.empty()) return;
  LoadCounts& there = snapshot.deployments[request.class_index][result.deployment];
  ++there.in_flight;
  ++there.report.offered;
}

void LoadGenerator::State::Finished(LoadResult& result, const std::string& failure) {
  const auto count = [&](workload::ClassReport& report) {
    switch (result.outcome) {
      case LoadOutcome::kCompleted:
        ++report.completed;
        report.attained += result.attained;
        report.ttft.Add(result.latency.ttft);
        report.e2e.Add(result.latency.e2e);
        report.tpat.Add(result.latency.Tpat());
        if (result.latency.output_tokens > 1) report.tpot.Add(result.latency.Tpot());
        break;
      case LoadOutcome::kRefused:
        ++report.rejected;
        break;
      case LoadOutcome::kTimedOut:
        ++report.timed_out;
        break;
      case LoadOutcome::kFailed:
        ++report.failed;
        break;
    }
  };
  {
    const std::lock_guard lock(mutex);
    LoadCounts& of_class = snapshot.classes[result.class_index];
    --(result.status == 0 ? of_class.waiting : of_class.in_flight);
    count(of_class.report);
    if (!result.deployment.empty()) {
      LoadCounts& there = snapshot.deployments[result.class_index][result.deployment];
      --there.in_flight;
      count(there.report);
    }
    if (!failure.empty() && result.outcome != LoadOutcome::kRefused) ++snapshot.failures[failure];
    --snapshot.open;
    changed.notify_all();
  }
  if (finished) finished(result);
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
  {
    const std::lock_guard lock(state_->mutex);
    state_->arrivals_over = false;
  }
  state_->thread.Spawn([state = state_] { return state->Arrivals(); });
}

bool LoadGenerator::Done() const {
  const std::lock_guard lock(state_->mutex);
  return state_->arrivals_over && state_->snapshot.open == 0;
}

void LoadGenerator::EndArrivals() { state_->end_arrivals = true; }

void LoadGenerator::Stop() {
  EndArrivals();
  state_->thread.Post([state = state_] {
    state->stopping = true;
    // Closing ends a call's coroutine, which takes it out of the set.
    const std::vector<net::HttpCall*> open(state->calls.begin(), state->calls.end());
    for (net::HttpCall* call : open) {
      if (state->calls.contains(call)) call->Close();
    }
  });
  std::unique_lock lock(state_->mutex);
  state_->changed.wait(lock, [&] { return state_->arrivals_over && state_->snapshot.open == 0; });
}

LoadSnapshot LoadGenerator::Snapshot() const {
  const std::lock_guard lock(state_->mutex);
  LoadSnapshot copy = state_->snapshot;
  copy.elapsed = state_->started > 0 ? system::MonotonicNow() - state_->started : 0;
  return copy;
}

}  // namespace headrace::load
