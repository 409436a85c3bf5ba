#include "measure/endpoint_benchmark.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <future>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <utility>

#include "base/random.h"
#include "benchmark/steady_state.h"
#include "measure/prompt.h"
#include "net/http_client.h"
#include "net/one_shot.h"
#include "openai/response.h"
#include "system/clock.h"

namespace headrace::measure {
namespace {

constexpr int kWarmUpRequests = 10;
constexpr int kMostWindows = 1 << benchmark::kMostDoublings;
constexpr Seconds kSetUpTimeout = 120;  // Of a request while nothing else runs.
constexpr std::size_t kErrorBytes = 400;

std::string Plural(std::int64_t count, const std::string& noun) {
  return std::to_string(count) + " " + noun + (count == 1 ? "" : "s");
}

benchmark::Statistics ToStatistics(const benchmark::SampleStatistics& sample,
                                   std::int64_t samples) {
  if (samples == 0) return {};
  return {sample.mean, sample.p50, sample.p90, sample.p99};
}

// What became of one request.
struct Answer {
  net::CallError error = net::CallError::kNone;
  int status = 0;
  std::string text;  // Of an answer that is no stream: its beginning.
  Seconds first_token = kNever;
  Seconds end = 0;
  std::optional<openai::Usage> usage;
  bool whole = false;  // A stream that came to its end without an error in it.
};

// The arrivals of one measurement and what the controller knows of them. On the thread.
struct Run {
  Run(net::IoThread& thread, const benchmark::GridPoint& grid_point, int prompt_filler)
      : point(grid_point), filler(prompt_filler), changed(thread) {}

  benchmark::GridPoint point;
  int filler;
  net::Waker changed;  // A request has ended, the window has begun, or all is to stop.
  Seconds started = 0;
  std::vector<benchmark::TimedRequest> requests;  // In order of arrival.
  std::size_t finished = 0;
  Seconds finished_e2e = 0;  // Sum.
  Seconds lag = 0;           // Sum over all sent.
  std::size_t open = 0;
  std::size_t block = kWarmUpRequests;  // Arrivals spread over block / rate.
  std::optional<Seconds> begin;         // Of the window.
  std::size_t first = 0;                // The first request in it.
  bool over = false;                    // Nothing is sent any more.
  bool arrivals_ended = false;
  bool refused = false;  // The endpoint sheds load or is too slow.
  std::string fault;     // Nothing can be measured: one sentence.

  Seconds MeanE2e() const { return finished_e2e / static_cast<double>(finished); }
  bool WarmedUp(Seconds now) const {
    return requests.size() >= kWarmUpRequests && finished >= 3 && now - started >= 2 * MeanE2e();
  }
};

}  // namespace

struct EndpointBenchmark::State : std::enable_shared_from_this<State> {
  State(net::IoThread& io_thread, EndpointOptions endpoint_options)
      : thread(io_thread), options(std::move(endpoint_options)), rng(options.seed) {
    net::HttpClientOptions client_options;
    client_options.max_idle_per_endpoint = 4096;
    client = std::make_unique<net::HttpClient>(thread, client_options);
  }

  net::RequestHead Head(std::string_view method, std::string_view path) const;
  net::Task<Answer> Ask(net::RequestHead head, std::string body, bool stream, Seconds deadline);
  net::Task<Answer> Generate(int filler, Tokens output, Seconds deadline);
  net::Task<Result<Tokens>> AskContextLength();
  net::Task<Result<int>> Filler(Tokens input);
  net::Task<Result<EndpointMeasurement>> Conduct(benchmark::GridPoint point);
  net::Task<void> Arrivals(std::shared_ptr<Run> run);
  net::Task<void> Send(std::shared_ptr<Run> run, std::size_t index);
  void Judge(Run& run, const Answer& answer);
  std::string Refusal(const Answer& answer) const;

  template <typename T>
  Result<T> Block(std::function<net::Task<Result<T>>()> body) {
    auto promise = std::make_shared<std::promise<Result<T>>>();
    auto result = promise->get_future();
    thread.Spawn(
        [promise, body = std::move(body)]() -> net::Task<void> { promise->set_value(co_await body()); });
    return result.get();
  }

  net::IoThread& thread;
  EndpointOptions options;
  std::unique_ptr<net::HttpClient> client;
  Rng rng;
  std::map<Tokens, int> fillers;  // By prompt length.
  std::set<net::HttpCall*> calls;
  std::shared_ptr<Run> current;
  bool stopping = false;

  std::atomic<std::uint64_t> sent{0};
  std::atomic<std::uint64_t> finished{0};
  std::atomic<std::uint64_t> wanted{0};
};

net::RequestHead EndpointBenchmark::State::Head(std::string_view method,
                                                std::string_view path) const {
  net::RequestHead head(method, path, options.host);
  for (const std::string& header : options.headers) {
    const std::size_t colon = std::min(header.find(':'), header.size());
    const std::size_t value = std::min(header.find_first_not_of(": ", colon), header.size());
    head.Add(std::string_view(header).substr(0, colon), std::string_view(header).substr(value));
  }
  return head;
}

net::Task<Answer> EndpointBenchmark::State::Ask(net::RequestHead head, std::string body,
                                                bool stream, Seconds deadline) {
  Answer answer;
  if (stopping) {
    answer.error = net::CallError::kClosed;
    co_return answer;
  }
  const std::string_view pieces[] = {body};
  net::HttpCall call(*client);
  calls.insert(&call);
  ++sent;
  answer.error = co_await call.Start(options.target, head, pieces, deadline);
  if (answer.error == net::CallError::kNone) {
    answer.status = call.status();
    const bool events = call.Header("content-type").starts_with("text/event-stream");
    openai::ResponseStreamParser meter(options.api,
                                       events ? openai::ResponseStreamParser::Form::kEventStream
                                              : openai::ResponseStreamParser::Form::kJson,
                                       false);
    std::vector<std::string_view> passed;
    for (;;) {
      const net::HttpCall::Piece piece = co_await call.ReadSome(deadline);
      answer.error = piece.error;
      if (piece.error != net::CallError::kNone) break;
      passed.clear();
      meter.Feed(piece.data, passed);
      if (events && answer.first_token == kNever && meter.first_token()) {
        answer.first_token = system::MonotonicNow();
      }
      if (!events) answer.text.append(piece.data);
      if (piece.last) break;
    }
    answer.usage = meter.usage();
    answer.whole = !stream || (events && meter.done() && !meter.error_in_stream());
  }
  calls.erase(&call);
  answer.end = system::MonotonicNow();
  // An answer whose only token came together with its end.
  answer.first_token = std::min(answer.first_token, answer.end);
  co_return answer;
}

net::Task<Answer> EndpointBenchmark::State::Generate(int filler, Tokens output, Seconds deadline) {
  const bool chat = options.api == openai::ApiKind::kChatCompletions;
  net::RequestHead head = Head("POST", chat ? "/v1/chat/completions" : "/v1/completions");
  head.Add("content-type", "application/json");
  std::string body =
      MeasureRequestJson(options.api, options.model, MeasurePrompt(rng.Next(), filler), output);
  co_return co_await Ask(std::move(head), std::move(body), true, deadline);
}

// Why an answer is none, one sentence.
std::string EndpointBenchmark::State::Refusal(const Answer& answer) const {
  if (stopping) return "Stopped.";
  const std::string place = "http://" + options.host;
  if (answer.error != net::CallError::kNone) {
    return place + ": " + std::string(Describe(answer.error)) + "; is the engine running?";
  }
  if (answer.status != 200) {
    return place + " answered " + std::to_string(answer.status) + ": " +
           answer.text.substr(0, kErrorBytes);
  }
  return place + " broke off its answer or did not stream it.";
}

net::Task<Result<Tokens>> EndpointBenchmark::State::AskContextLength() {
  net::RequestHead head = Head("GET", "/v1/models");
  const Answer answer =
      co_await Ask(std::move(head), std::string(), false, system::MonotonicNow() + kSetUpTimeout);
  if (answer.error != net::CallError::kNone) co_return Fail(Refusal(answer));
  // An endpoint without the list may still serve.
  if (answer.status != 200) co_return 0;
  const auto json = nlohmann::json::parse(answer.text, nullptr, false);
  const auto data = json.is_object() ? json.find("data") : json.end();
  if (data == json.end() || !data->is_array()) co_return 0;
  std::string known;
  for (const auto& entry : *data) {
    if (!entry.is_object() || !entry.contains("id") || !entry["id"].is_string()) continue;
    const auto& id = entry["id"].get_ref<const std::string&>();
    if (id == options.model) {
      const auto length = entry.find("max_model_len");
      co_return length != entry.end() && length->is_number_integer() ? length->get<Tokens>() : 0;
    }
    known += (known.empty() ? "" : ", ") + id;
  }
  co_return Fail("http://" + options.host + " does not serve " + options.model + ", but " + known +
                 "; name one of these with --model.");
}

net::Task<Result<int>> EndpointBenchmark::State::Filler(Tokens input) {
  if (const auto known = fillers.find(input); known != fillers.end()) co_return known->second;
  int filler = input;
  for (int attempt = 0; attempt < 5; ++attempt) {
    const Answer answer = co_await Generate(filler, 1, system::MonotonicNow() + kSetUpTimeout);
    // The first guess is too long by the digits and the template; near the end of the context it
    // may not fit.
    if (answer.status == 400 && attempt == 0 && filler > 64) {
      filler -= 64;
      continue;
    }
    if (!answer.whole || answer.status != 200) co_return Fail(Refusal(answer));
    if (!answer.usage) {
      co_return Fail("http://" + options.host +
                     " tells no usage, by which the prompts are measured; let it serve "
                     "stream_options.include_usage.");
    }
    const Tokens off = input - answer.usage->prompt_tokens;
    if (off == 0) {
      fillers[input] = filler;
      co_return filler;
    }
    if (filler == 0 && off < 0) {
      co_return Fail(
          "A prompt of " + Plural(input, "token") + " is too short: the shortest comes to " +
          std::to_string(answer.usage->prompt_tokens) + "; leave it out of --inputs" +
          (options.api == openai::ApiKind::kChatCompletions ? " or use --api completions." : "."));
    }
    filler = std::max(0, filler + off);
  }
  co_return Fail("No prompt of exactly " + Plural(input, "token") +
                 " was found: the endpoint counts the same prompt differently each time.");
}

// Sends what is due. Blocks of a fixed number of arrivals follow each other; inside one they are
// where that many points of a Poisson process are.
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
      wanted = run->block;
      finished = 0;
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
  Answer answer;
  if (!run->over) {
    answer = co_await Generate(run->filler, run->point.output, due + options.timeout);
  }
  --run->open;
  if (!run->over) {
    Judge(*run, answer);
    if (answer.whole && answer.status == 200) {
      run->requests[index].first_token = answer.first_token;
      run->requests[index].finished = answer.end;
      ++run->finished;
      ++finished;
      run->finished_e2e += answer.end - due;
    }
  }
  run->changed.Wake();
}

// Sets what ends a run early.
void EndpointBenchmark::State::Judge(Run& run, const Answer& answer) {
  const bool late =
      answer.error == net::CallError::kHeadTimeout || answer.error == net::CallError::kBodyTimeout;
  if (late || answer.status == 429 || answer.status == 503) {
    run.refused = true;
  } else if (!answer.whole || answer.status != 200) {
    run.fault = Refusal(answer);
  } else if (answer.usage && answer.usage->completion_tokens != run.point.output) {
    run.fault = "http://" + options.host + " ended an answer after " +
                Plural(answer.usage->completion_tokens, "token") + " of " +
                std::to_string(run.point.output) +
                "; the lengths of answers must be known: it has to understand ignore_eos.";
  } else if (answer.usage && answer.usage->prompt_tokens != run.point.input) {
    run.fault = "http://" + options.host + " counted " +
                Plural(answer.usage->prompt_tokens, "prompt token") + " where " +
                std::to_string(run.point.input) +
                " were meant; its tokenizer takes digits in another way.";
  }
}

net::Task<Result<EndpointMeasurement>> EndpointBenchmark::State::Conduct(
    benchmark::GridPoint point) {
  const auto self = shared_from_this();
  wanted = 0;
  finished = 0;
  const auto filler = co_await Filler(point.input);
  if (!filler) co_return tl::unexpected(filler.error());
  const auto run = std::make_shared<Run>(thread, point, *filler);
  current = run;
  run->started = system::MonotonicNow();
  thread.Spawn([self, run] { return self->Arrivals(run); });

  EndpointMeasurement measured;
  benchmark::RateMeasurement& result = measured.result;
  std::size_t windows = 1;
  std::size_t first_open = 0;  // All before it have finished.
  bool looked = false;         // For a backlog, at the end of the first window.
  for (;;) {
    co_await run->changed.Wait(system::MonotonicNow() + 0.1);
    if (stopping) run->fault = "Stopped.";
    if (!run->fault.empty()) break;
    result.sustained = !run->refused;
    if (run->begin) {
      const std::size_t last = run->first + windows * run->block;
      const Seconds end = *run->begin + static_cast<double>(windows * run->block) / point.rate;
      // Once it is clear that the endpoint falls behind there is no need to wait for the rest.
      if (!looked && system::MonotonicNow() >= end) {
        looked = true;
        if (benchmark::BacklogGrew(run->requests, *run->begin, end, point.rate, 0.25))
          result.sustained = false;
      }
      while (first_open < run->requests.size() && run->requests[first_open].finished < kNever) {
        ++first_open;
      }
      const bool complete = first_open >= last;
      if (complete || !result.sustained) {
        const benchmark::SteadyState state =
            benchmark::MeasureWindow(run->requests, *run->begin, end, point.rate, point.output);
        result.tput = state.tput;
        result.tt = state.tput * point.output;
        result.e2e = ToStatistics(state.e2e, state.samples);
        result.ttft = ToStatistics(state.ttft, state.samples);
        result.tpot = ToStatistics(state.tpot, state.samples);
        result.samples = state.samples;
        if (!complete || state.grew || !benchmark::IsKept(point, result, options.slo)) {
          result.sustained = result.sustained && !state.grew;
          break;
        }
        if (state.e2e_error <= benchmark::kSettled) break;
        if (windows == kMostWindows) {
          result.sustained = false;
          break;
        }
        windows *= 2;
        wanted = windows * run->block;
        continue;
      }
    }
    if (!result.sustained) break;
  }
  measured.send_lag =
      run->lag / static_cast<double>(std::max<std::size_t>(1, run->requests.size()));
  measured.client_overloaded = result.samples > 0 && measured.send_lag > 0.05 * result.e2e.mean;
  if (measured.client_overloaded) result.sustained = false;

  run->over = true;
  const std::vector<net::HttpCall*> open(calls.begin(), calls.end());
  for (net::HttpCall* call : open) {
    if (calls.contains(call)) call->Close();
  }
  while (run->open > 0 || !run->arrivals_ended)
    co_await run->changed.Wait(system::MonotonicNow() + 1);
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

Result<EndpointMeasurement> EndpointBenchmark::Measure(const benchmark::GridPoint& point) {
  return state_->Block<EndpointMeasurement>(
      [state = state_, point] { return state->Conduct(point); });
}

void EndpointBenchmark::Stop() {
  state_->thread.Post([state = state_] {
    state->stopping = true;
    if (state->current) state->current->changed.Wake();
    const std::vector<net::HttpCall*> open(state->calls.begin(), state->calls.end());
    for (net::HttpCall* call : open) {
      if (state->calls.contains(call)) call->Close();
    }
  });
}

EndpointProgress EndpointBenchmark::Progress() const {
  return {state_->finished, state_->wanted, state_->sent};
}

}  // namespace headrace::measure
