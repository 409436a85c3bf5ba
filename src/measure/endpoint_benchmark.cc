#include "measure/endpoint_benchmark.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <future>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "base/random.h"
#include "benchmark/steady_state.h"
#include "completion/client.h"
#include "measure/prompt.h"
#include "net/waker.h"
#include "openai/model_list.h"
#include "system/clock.h"

namespace headrace::measure {
namespace {

constexpr int kWarmUpRequests = 10;
constexpr int kMaxWindows = 1 << benchmark::kMaxDoublings;
constexpr Seconds kSetUpTimeout = 120;  // Of a request while nothing else runs.

using completion::Outcome;
using completion::Response;

// A stream that came to its end; one JSON object has no first token.
bool IsWhole(const Response& response) {
  return response.outcome == Outcome::kCompleted && response.pieces > 0 && response.streamed;
}

std::string Plural(std::int64_t count, const std::string& noun) {
  return std::to_string(count) + " " + noun + (count == 1 ? "" : "s");
}

// How many tokens a prompt's length may be off.
Tokens ToleranceOf(Tokens input) {
  return std::max(Tokens{2}, static_cast<Tokens>(kPromptTolerance * input));
}

// A prompt and its length by the endpoint's count.
struct CountedPrompt {
  PromptShape shape;
  Tokens tokens = 0;
};

// The arrivals of one measurement, shared by their sender and the controller. On the thread.
struct Run {
  Run(net::IoThread& thread, const benchmark::GridPoint& grid_point, const PromptShape& prompt)
      : point(grid_point), shape(prompt), changed(thread) {}

  benchmark::GridPoint point;
  PromptShape shape;
  net::Waker changed;  // A request has ended, the window has begun, or the client was stopped.
  Seconds started = 0;
  std::vector<benchmark::TimedRequest> requests;  // In order of arrival.
  std::size_t finished = 0;
  Seconds finished_e2e = 0;  // Sum.
  Seconds lag = 0;           // Sum over all sent.
  std::size_t open = 0;
  std::size_t block = kWarmUpRequests;  // Arrivals spread over block / rate.
  std::optional<Seconds> begin;         // Of the window.
  std::size_t first = 0;                // The first request in it.
  bool over = false;                    // No more requests are sent.
  bool arrivals_ended = false;
  bool refused = false;  // The endpoint sheds load or is too slow.
  std::string fault;     // Why nothing can be measured: one sentence.

  Seconds MeanE2e() const { return finished_e2e / static_cast<double>(finished); }
  // Of the first `count` requests in the window.
  std::size_t FinishedOf(std::size_t count) const {
    const auto begin_of_window = requests.begin() + static_cast<std::ptrdiff_t>(first);
    const auto behind =
        requests.begin() + static_cast<std::ptrdiff_t>(std::min(first + count, requests.size()));
    return static_cast<std::size_t>(std::count_if(
        begin_of_window, behind,
        [](const benchmark::TimedRequest& request) { return request.finished < kNever; }));
  }
  bool WarmedUp(Seconds now) const {
    return requests.size() >= kWarmUpRequests && finished >= 3 && now - started >= 2 * MeanE2e();
  }
};

}  // namespace

struct EndpointBenchmark::State : std::enable_shared_from_this<State> {
  State(net::IoThread& io_thread, EndpointOptions endpoint_options)
      : thread(io_thread),
        options(std::move(endpoint_options)),
        client(io_thread, options.target),
        rng(options.seed),
        prompts_rng(options.prompt_seed) {}

  net::Task<Response> Generate(PromptShape shape, Tokens output, Seconds due, Seconds deadline);
  net::Task<Result<Tokens>> AskContextLength();
  net::Task<Result<Tokens>> Count(PromptShape shape);
  net::Task<Result<CountedPrompt>> FindPrompt(Tokens input);
  net::Task<Result<CountedPrompt>> Fill(Tokens input, CountedPrompt shortest);
  net::Task<Result<benchmark::Measurement>> Conduct(benchmark::GridPoint point);
  net::Task<void> Arrivals(std::shared_ptr<Run> run);
  net::Task<void> Send(std::shared_ptr<Run> run, std::size_t index);
  void Judge(Run& run, const Response& response);
  std::string Refusal(const Response& response) const;

  template <typename T>
  Result<T> Block(std::function<net::Task<Result<T>>()> body) {
    auto promise = std::make_shared<std::promise<Result<T>>>();
    auto result = promise->get_future();
    thread.Spawn([promise, body = std::move(body)]() -> net::Task<void> {
      promise->set_value(co_await body());
    });
    return result.get();
  }

  net::IoThread& thread;
  EndpointOptions options;
  completion::Client client;
  Rng rng;
  Rng prompts_rng;
  std::map<int, Tokens> counted_letters;    // By how many letters there are.
  std::optional<double> filler_tokens;      // Of one more filler.
  std::map<Tokens, CountedPrompt> prompts;  // By the length that was asked for.
  std::shared_ptr<Run> current;

  std::atomic<std::uint64_t> sent{0};
  std::atomic<std::uint64_t> finished{0};
  std::atomic<std::uint64_t> wanted{0};
  std::atomic<std::uint64_t> prompt_tokens{0};
  std::atomic<std::uint64_t> cached_prompt_tokens{0};
};

net::Task<Response> EndpointBenchmark::State::Generate(PromptShape shape, Tokens output,
                                                       Seconds due, Seconds deadline) {
  completion::Request request;
  request.api = options.api;
  request.model = options.model;
  request.prompt = MeasurePrompt(prompts_rng.Next(), shape);
  request.max_tokens = output;
  request.temperature = 0;
  if (!client.stopped()) ++sent;
  Response response = co_await client.Complete(std::move(request), due, deadline);
  if (response.usage) {
    prompt_tokens += static_cast<std::uint64_t>(response.usage->prompt_tokens);
    cached_prompt_tokens += static_cast<std::uint64_t>(response.usage->cached_prompt_tokens);
  }
  co_return response;
}

// Why a response cannot be used, one sentence.
std::string EndpointBenchmark::State::Refusal(const Response& response) const {
  if (client.stopped()) return "Stopped.";
  const std::string place = options.target.url;
  if (response.error == net::CallError::kNoSocket) {
    return "This client is at its own limit: " + Describe(response) +
           "; let it open more (ulimit -n), or lower the highest rate.";
  }
  if (response.error != net::CallError::kNone) {
    return place + ": " + Describe(response) + "; is the engine running?";
  }
  if (response.outcome == Outcome::kErrorStatus) {
    return place + " answered " + std::to_string(response.status) + ": " + response.said;
  }
  if (response.outcome == Outcome::kNoToken) return place + ": " + Describe(response) + ".";
  return place + " broke off its response or did not stream it.";
}

net::Task<Result<Tokens>> EndpointBenchmark::State::AskContextLength() {
  std::string path = "/v1/models";
  const Seconds deadline = system::MonotonicNow() + kSetUpTimeout;
  const Response response = co_await client.Get(std::move(path), deadline);
  if (response.error != net::CallError::kNone) co_return Fail(Refusal(response));
  // An endpoint without the list may still serve.
  if (response.status != 200) co_return 0;
  const auto models = openai::ParseModelList(response.text);
  if (!models) co_return 0;
  std::string known;
  for (const openai::ListedModel& model : *models) {
    if (model.id == options.model) co_return model.max_model_len;
    known += (known.empty() ? "" : ", ") + model.id;
  }
  co_return Fail(options.target.url + " does not serve " + options.model + ", but " + known +
                 "; name one of these with --model.");
}

// How many tokens such a prompt has for the endpoint.
net::Task<Result<Tokens>> EndpointBenchmark::State::Count(PromptShape shape) {
  const Seconds now = system::MonotonicNow();
  const Response response = co_await Generate(shape, 1, now, now + kSetUpTimeout);
  if (!IsWhole(response)) co_return Fail(Refusal(response));
  if (!response.usage) {
    co_return Fail(options.target.url +
                   " sends no usage, by which the prompts are measured; it must support "
                   "stream_options.include_usage.");
  }
  co_return response.usage->prompt_tokens;
}

net::Task<Result<CountedPrompt>> EndpointBenchmark::State::FindPrompt(Tokens input) {
  if (const auto known = prompts.find(input); known != prompts.end()) co_return known->second;
  CountedPrompt shortest;
  // The fewer letters, the fewer different prompts; a short one is not worth a cache's while.
  for (const int letters : {PromptShape::kMostLetters, 6, 3}) {
    shortest.shape.letters = letters;
    if (!counted_letters.contains(letters)) {
      const auto counted = co_await Count(shortest.shape);
      if (!counted) co_return tl::unexpected(counted.error());
      counted_letters[letters] = *counted;
    }
    shortest.tokens = counted_letters[letters];
    if (shortest.tokens <= input) break;
  }
  if (shortest.tokens > input) {
    co_return Fail(
        "A prompt of " + Plural(input, "token") + " is too short: the shortest has " +
        std::to_string(shortest.tokens) + "; leave it out of --inputs" +
        (options.api == openai::ApiKind::kChatCompletions ? " or use --api completions." : "."));
  }
  auto found = co_await Fill(input, shortest);
  if (!found) co_return found;
  if (std::abs(found->tokens - input) > ToleranceOf(input)) {
    co_return Fail("No prompt of " + Plural(input, "token") + " was found: the nearest has " +
                   std::to_string(found->tokens) + "; choose other --inputs.");
  }
  prompts[input] = *found;
  co_return found;
}

// The prompt nearest to that length: learns what a filler costs, and goes by that.
net::Task<Result<CountedPrompt>> EndpointBenchmark::State::Fill(Tokens input,
                                                                CountedPrompt shortest) {
  CountedPrompt best = shortest;
  std::set<int> tried = {0};
  for (int attempt = 0; attempt < 8 && best.tokens != input; ++attempt) {
    const double missing = input - shortest.tokens;
    CountedPrompt next = shortest;
    // Without experience, few enough to be sure to fit into the context.
    next.shape.filler = static_cast<int>(filler_tokens ? std::lround(missing / *filler_tokens)
                                                       : std::clamp(missing / 4, 1.0, 64.0));
    if (!tried.insert(next.shape.filler).second) break;
    const auto counted = co_await Count(next.shape);
    if (!counted) co_return tl::unexpected(counted.error());
    next.tokens = *counted;
    if (std::abs(next.tokens - input) < std::abs(best.tokens - input)) best = next;
    if (next.tokens > shortest.tokens) {
      filler_tokens = static_cast<double>(next.tokens - shortest.tokens) / next.shape.filler;
    }
  }
  co_return best;
}

// Sends the requests when they are due. Blocks of a fixed number of arrivals follow each other; in
// a block, arrivals are at the times of that many points of a Poisson process.
net::Task<void> EndpointBenchmark::State::Arrivals(std::shared_ptr<Run> run) {
  const auto self = shared_from_this();
  Seconds block_begin = run->started;
  std::vector<Seconds> due;
  std::size_t next = 0;
  const auto plan = [&](Seconds begin, bool at_once) {
    block_begin = begin;
    next = 0;
    due.assign(run->block, 0);
    const Seconds length = static_cast<double>(run->block) / run->point.rate;
    for (Seconds& at : due) at = begin + rng.Uniform() * length;
    if (at_once) due.front() = begin;
    std::sort(due.begin(), due.end());
  };
  plan(run->started, true);
  while (!run->over) {
    while (!run->over && system::MonotonicNow() < due[next]) {
      // In pieces short enough to notice the end.
      co_await thread.SleepUntil(std::min(due[next], system::MonotonicNow() + 0.05));
    }
    if (run->over) break;
    if (!run->begin && run->WarmedUp(due[next])) {
      // Long enough that those in flight at its ends hardly count.
      const Seconds length = std::max(options.samples / run->point.rate, 4 * run->MeanE2e());
      run->block = static_cast<std::size_t>(std::ceil(length * run->point.rate));
      run->begin = due[next];
      run->first = run->requests.size();
      finished = 0;
      wanted = run->block;
      plan(*run->begin, true);
      run->changed.Wake();
    }
    const std::size_t index = run->requests.size();
    run->requests.push_back({.arrival = due[next]});
    ++run->open;
    thread.Spawn([self, run, index] { return self->Send(run, index); });
    if (++next == due.size()) {
      plan(block_begin + static_cast<double>(run->block) / run->point.rate, false);
    }
  }
  run->arrivals_ended = true;
  run->changed.Wake();
}

net::Task<void> EndpointBenchmark::State::Send(std::shared_ptr<Run> run, std::size_t index) {
  const auto self = shared_from_this();
  const Seconds due = run->requests[index].arrival;
  run->lag += std::max(0.0, system::MonotonicNow() - due);
  Response response;
  if (!run->over) {
    response = co_await Generate(run->shape, run->point.output, due, due + options.timeout);
  }
  --run->open;
  if (!run->over) {
    Judge(*run, response);
    if (IsWhole(response)) {
      run->requests[index].first_token = response.first_token;
      run->requests[index].finished = response.end;
      ++run->finished;
      if (!run->begin || (index >= run->first && index < run->first + wanted)) ++finished;
      run->finished_e2e += response.end - due;
    }
  }
  run->changed.Wake();
}

// Sets what ends a run early.
void EndpointBenchmark::State::Judge(Run& run, const Response& response) {
  const bool late =
      response.outcome == Outcome::kTimedOut && response.error != net::CallError::kConnectTimeout;
  if (late || response.status == 429 || response.status == 503) {
    run.refused = true;
  } else if (!IsWhole(response)) {
    run.fault = Refusal(response);
  } else if (response.usage && response.usage->completion_tokens != run.point.output) {
    run.fault = options.target.url + " ended a response after " +
                Plural(response.usage->completion_tokens, "token") + " of " +
                std::to_string(run.point.output) +
                "; the output lengths must be known: it must support ignore_eos.";
  } else if (response.usage && std::abs(response.usage->prompt_tokens - run.point.input) >
                                   ToleranceOf(run.point.input)) {
    run.fault = options.target.url + " counted " +
                Plural(response.usage->prompt_tokens, "prompt token") + " instead of " +
                std::to_string(run.point.input) +
                "; its tokenizer counts the same words differently in another order.";
  }
}

net::Task<Result<benchmark::Measurement>> EndpointBenchmark::State::Conduct(
    benchmark::GridPoint point) {
  const auto self = shared_from_this();
  wanted = 0;
  finished = 0;
  const auto prompt = co_await FindPrompt(point.input);
  if (!prompt) co_return tl::unexpected(prompt.error());
  const auto run = std::make_shared<Run>(thread, point, prompt->shape);
  current = run;
  run->started = system::MonotonicNow();
  thread.Spawn([self, run] { return self->Arrivals(run); });

  benchmark::Measurement measured{.point = point};
  std::size_t windows = 1;
  std::size_t first_open = 0;  // All before it have finished.
  bool checked = false;        // For a backlog, at the end of the first window.
  for (;;) {
    co_await run->changed.Wait(system::MonotonicNow() + 0.1);
    if (client.stopped()) run->fault = "Stopped.";
    if (!run->fault.empty()) break;
    bool sustained = !run->refused;
    if (run->begin) {
      const std::size_t last = run->first + windows * run->block;
      const Seconds end = *run->begin + static_cast<double>(windows * run->block) / point.rate;
      // Once it is clear that the endpoint falls behind there is no need to wait for the rest.
      if (!checked && system::MonotonicNow() >= end) {
        checked = true;
        if (benchmark::BacklogGrew(run->requests, *run->begin, end, point.rate, 0.25)) {
          sustained = false;
        }
      }
      while (first_open < run->requests.size() && run->requests[first_open].finished < kNever) {
        ++first_open;
      }
      const bool complete = first_open >= last;
      if (complete || !sustained) {
        measured = benchmark::MeasureWindow(run->requests, *run->begin, end, point);
        measured.sustained = measured.sustained && sustained;
        // Without a backlog it is chance that so few requests end in a window: it is too short.
        const bool too_few = complete && measured.sustained && !measured.Finishes();
        if (!too_few &&
            (!complete || !benchmark::IsKept(measured, options.slo) || measured.Settled())) {
          break;
        }
        if (windows < kMaxWindows) {
          windows *= 2;
          wanted = windows * run->block;
          finished = run->FinishedOf(wanted);
          continue;
        }
        sustained = false;
      }
    }
    if (!sustained) {
      measured.sustained = false;
      break;
    }
  }
  measured.send_lag =
      run->lag / static_cast<double>(std::max<std::size_t>(1, run->requests.size()));
  if (measured.ClientOverloaded()) measured.sustained = false;

  run->over = true;
  client.BreakOff();
  while (run->open > 0 || !run->arrivals_ended) {
    co_await run->changed.Wait(system::MonotonicNow() + 1);
  }
  current.reset();
  if (!run->fault.empty()) co_return Fail(run->fault);
  co_return measured;
}

EndpointBenchmark::EndpointBenchmark(net::IoThread& thread, EndpointOptions options)
    : state_(std::make_shared<State>(thread, std::move(options))) {}

EndpointBenchmark::~EndpointBenchmark() {
  Stop();
  // Its connections live on the thread.
  state_->thread.Run([this] { state_.reset(); });
}

Result<Tokens> EndpointBenchmark::ContextLength() {
  return state_->Block<Tokens>([state = state_] { return state->AskContextLength(); });
}

Result<benchmark::Measurement> EndpointBenchmark::Measure(const benchmark::GridPoint& point) {
  return state_->Block<benchmark::Measurement>(
      [state = state_, point] { return state->Conduct(point); });
}

std::vector<NearPrompt> EndpointBenchmark::NearPrompts() const {
  std::vector<NearPrompt> near;
  state_->thread.Run([this, &near] {
    for (const auto& [asked, prompt] : state_->prompts) {
      if (prompt.tokens != asked) near.push_back({asked, prompt.tokens});
    }
  });
  return near;
}

void EndpointBenchmark::Stop() {
  state_->thread.Post([state = state_] {
    state->client.Stop();
    if (state->current) state->current->changed.Wake();
  });
}

EndpointProgress EndpointBenchmark::Progress() const {
  const std::uint64_t wanted = state_->wanted;  // First: what has finished is of that or later.
  return {.finished = state_->finished,
          .wanted = wanted,
          .sent = state_->sent,
          .prompt_tokens = state_->prompt_tokens,
          .cached_prompt_tokens = state_->cached_prompt_tokens};
}

}  // namespace headrace::measure
