#include "gateway/trace_exporter.h"

#include <algorithm>
#include <deque>
#include <functional>
#include <iterator>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>
#include <string>
#include <utility>

#include "base/random.h"
#include "base/text.h"
#include "gateway/client_tls.h"
#include "net/http_client.h"
#include "net/retry_after.h"
#include "net/waker.h"
#include "serving/request_spans.h"
#include "system/clock.h"
#include "system/http_url.h"
#include "system/mutex.h"

namespace headrace::gateway {
namespace {

constexpr std::string_view kPath = "/v1/traces";
constexpr std::string_view kCause = "tracing";
constexpr std::size_t kMostAnswerBytes = std::size_t{64} << 10;
constexpr Seconds kConnectTimeout = 5;

// Where spans go.
struct Collector {
  config::TracingConfig config;
  system::HttpUrl url;
  net::TlsContext::Options tls_options;  // What its files hold.
  std::shared_ptr<net::TlsPeer> tls;     // Null: plain HTTP.
};

// Nothing at both, or the same way to the same place.
bool IsSame(const std::shared_ptr<const Collector>& one,
            const std::shared_ptr<const Collector>& other) {
  if (one == nullptr || other == nullptr) return one == other;
  return one->config == other->config && one->tls_options == other->tls_options;
}

Result<std::shared_ptr<const Collector>> MakeCollector(const config::TracingConfig& config) {
  if (config.endpoint.empty()) return std::shared_ptr<const Collector>();
  auto collector = std::make_shared<Collector>();
  collector->config = config;
  auto url = system::ParseHttpUrl(config.endpoint);
  if (!url) return Fail("tracing.endpoint " + url.error().message);
  collector->url = *std::move(url);
  // Many write the whole URL.
  if (collector->url.base.ends_with(kPath)) {
    collector->url.base.resize(collector->url.base.size() - kPath.size());
  }
  if (collector->url.tls) {
    HEADRACE_ASSIGN(collector->tls_options, ReadTls(config.tls, "tracing.tls"));
    auto context = net::TlsContext::ForClient(collector->tls_options);
    if (!context) return Fail("tracing.tls " + context.error().message);
    const std::string& name = config.tls.server_name;
    collector->tls = std::make_shared<net::TlsPeer>(*std::move(context),
                                                    name.empty() ? collector->url.host.host : name);
  }
  return std::shared_ptr<const Collector>(std::move(collector));
}

// What became of a batch at the collector.
struct Answer {
  bool taken = false;
  bool again = false;         // The same batch may be taken later, …
  Seconds after = 0;          // … not before this, if it says so.
  std::int64_t rejected = 0;  // Of a batch that was taken.
  std::string message;        // What is wrong, a phrase.
};

// That the collector may take it later: OTLP names these.
bool MayBeSentAgain(int status) {
  return status == 429 || status == 502 || status == 503 || status == 504;
}

// An ExportTraceServiceResponse: what was not taken of a batch that was.
void ReadPartialSuccess(const std::string& body, Answer& answer) {
  const auto json = nlohmann::json::parse(body, nullptr, false);
  if (!json.is_object()) return;
  const auto partial = json.find("partialSuccess");
  if (partial == json.end() || !partial->is_object()) return;
  const auto rejected = partial->find("rejectedSpans");
  if (rejected != partial->end() && rejected->is_number_integer()) {
    answer.rejected = rejected->get<std::int64_t>();
  } else if (rejected != partial->end() && rejected->is_string()) {
    answer.rejected = std::atoll(rejected->get_ref<const std::string&>().c_str());
  }
  const auto message = partial->find("errorMessage");
  if (message != partial->end() && message->is_string()) {
    answer.message = message->get<std::string>();
  }
}

}  // namespace

// What requests' threads and the exporter's share.
struct TraceExporter::Shared {
  Shared(telemetry::MetricsRegistry& registry, telemetry::StandingFaults& its_faults,
         const Options& its_options)
      : options(its_options), faults(its_faults), metrics(registry) {}

  // What is sent now, until it is taken or given up.
  struct Batch {
    std::size_t spans = 0;  // 0: there is none.
    std::string body;
    Seconds since = 0;
    int failures = 0;
  };

  net::Task<void> Run(net::IoThread& thread);
  Batch NextBatch(const Collector& to);
  // Whether more spans wait.
  bool More();
  // Counts what became of the batch, and forgets it unless it is to be sent again.
  void Settle(const Answer& answer, const Collector& to, bool last, Batch& batch);
  // How long to wait before that.
  Seconds PauseBefore(const Batch& batch, const Answer& answer);
  net::Task<Answer> Send(net::HttpClient& client, const Collector& to, const std::string& body,
                         Seconds deadline);
  void Tell(const Answer& answer, const Collector& to, std::size_t spans);

  const Options options;
  telemetry::StandingFaults& faults;
  telemetry::TracingMetrics metrics;
  system::Mutex mutex;
  system::ConditionVariable ended_changed;
  std::shared_ptr<const Collector> collector HEADRACE_GUARDED_BY(mutex);
  std::deque<tracing::Span> spans HEADRACE_GUARDED_BY(mutex);
  bool ending HEADRACE_GUARDED_BY(mutex) = false;
  bool ended HEADRACE_GUARDED_BY(mutex) = true;
  // Of the thread:
  Rng random{std::random_device{}()};
  net::Waker* waker = nullptr;
  net::HttpCall* call = nullptr;
};

TraceExporter::TraceExporter(telemetry::MetricsRegistry& registry,
                             telemetry::StandingFaults& faults, const Options& options)
    : shared_(std::make_shared<Shared>(registry, faults, options)) {}

TraceExporter::~TraceExporter() {
  if (thread_ == nullptr) return;
  {
    const system::MutexLock lock(shared_->mutex);
    shared_->ending = true;
  }
  (*thread_)[0].Post([shared = shared_] {
    if (shared->waker != nullptr) shared->waker->Wake();
  });
  {
    const Seconds end = system::MonotonicNow() + shared_->options.patience_at_end;
    const system::MutexLock lock(shared_->mutex);
    for (Seconds left = shared_->options.patience_at_end; !shared_->ended && left > 0;
         left = end - system::MonotonicNow()) {
      shared_->ended_changed.WaitFor(shared_->mutex, left);
    }
  }
  (*thread_)[0].Run([shared = shared_] {
    if (shared->call != nullptr) shared->call->Close();
  });
  thread_.reset();
}

Result<void> TraceExporter::CheckFiles(const config::TracingConfig& config) {
  HEADRACE_TRY(MakeCollector(config));
  return {};
}

Result<void> TraceExporter::SetConfig(const config::TracingConfig& config) {
  HEADRACE_ASSIGN(auto collector, MakeCollector(config));
  const bool on = collector != nullptr;
  {
    const system::MutexLock lock(shared_->mutex);
    if (IsSame(shared_->collector, collector)) return {};
    shared_->collector.swap(collector);
    if (!on) shared_->spans.clear();
  }
  if (on && thread_ == nullptr) {
    {
      const system::MutexLock lock(shared_->mutex);
      shared_->ended = false;
    }
    thread_ = std::make_unique<net::IoThreads>(1);
    (*thread_)[0].Spawn(
        [shared = shared_, &thread = (*thread_)[0]] { return shared->Run(thread); });
  }
  return {};
}

// --- What comes

void TraceExporter::OnFinished(const serving::FinishedRequest& request) {
  if (!request.trace || !request.trace->sampled()) return;
  Add(serving::SpansOf(request, system::UnixNow() - system::MonotonicNow()));
}

void TraceExporter::OnAnswered(const serving::AnsweredRequest& request) {
  if (request.trace == nullptr || !request.trace->sampled()) return;
  // A client says itself that its trace is sampled: without a key it fills no collector.
  constexpr int kUnauthorized = 401;
  if (request.exchange.status == kUnauthorized) return;
  const Seconds now = system::MonotonicNow();
  Add(serving::SpansOf(request, system::UnixNow() - now, now));
}

void TraceExporter::Add(std::vector<tracing::Span> spans) {
  {
    const system::MutexLock lock(shared_->mutex);
    if (shared_->collector == nullptr) return;
    if (shared_->spans.size() + spans.size() <= shared_->options.most_spans) {
      std::ranges::move(spans, std::back_inserter(shared_->spans));
      return;
    }
  }
  shared_->metrics.spans["dropped"].Add(static_cast<double>(spans.size()));
}

// --- What goes

TraceExporter::Shared::Batch TraceExporter::Shared::NextBatch(const Collector& to) {
  std::vector<tracing::Span> taken;
  {
    const system::MutexLock lock(mutex);
    const auto end =
        spans.begin() + static_cast<std::ptrdiff_t>(std::min(spans.size(), options.batch));
    taken.assign(std::make_move_iterator(spans.begin()), std::make_move_iterator(end));
    spans.erase(spans.begin(), end);
  }
  if (taken.empty()) return {};
  return {.spans = taken.size(),
          .body = tracing::OtlpJson(taken, to.config.service_name, HEADRACE_VERSION),
          .since = system::MonotonicNow()};
}

bool TraceExporter::Shared::More() {
  const system::MutexLock lock(mutex);
  return !spans.empty();
}

net::Task<void> TraceExporter::Shared::Run(net::IoThread& thread) {
  net::HttpClient client(thread, {.connect_timeout = kConnectTimeout});
  net::Waker its_waker(thread);
  waker = &its_waker;
  Batch batch;
  for (;;) {
    std::shared_ptr<const Collector> to;
    bool last = false;
    {
      const system::MutexLock lock(mutex);
      to = collector;
      last = ending;
    }
    if (to == nullptr) {
      batch = {};  // Nobody is there any more.
    } else if (batch.spans == 0) {
      batch = NextBatch(*to);
    }
    if (batch.spans == 0 && last) break;
    Seconds pause = options.interval;
    if (batch.spans > 0) {
      const Seconds deadline = system::MonotonicNow() + options.timeout;
      const Answer answer = co_await Send(client, *to, batch.body, deadline);
      Settle(answer, *to, last, batch);
      if (last && !answer.taken) break;
      if (batch.spans > 0) {
        pause = PauseBefore(batch, answer);
      } else if (More()) {
        pause = 0;
      }
    }
    if (pause > 0 && !last) co_await its_waker.Wait(system::MonotonicNow() + pause);
  }
  waker = nullptr;
  const system::MutexLock lock(mutex);
  ended = true;
  ended_changed.NotifyAll();
}

void TraceExporter::Shared::Settle(const Answer& answer, const Collector& to, bool last,
                                   Batch& batch) {
  Tell(answer, to, batch.spans);
  const auto count = static_cast<double>(batch.spans);
  const bool again = !answer.taken && answer.again && !last &&
                     system::MonotonicNow() - batch.since < options.give_up;
  if (again) {
    ++batch.failures;
    return;
  }
  if (answer.taken) {
    const double rejected = std::clamp(static_cast<double>(answer.rejected), 0.0, count);
    metrics.spans["sent"].Add(count - rejected);
    if (rejected > 0) metrics.spans["rejected"].Add(rejected);
  } else {
    metrics.spans["failed"].Add(count);
  }
  batch = {};
}

Seconds TraceExporter::Shared::PauseBefore(const Batch& batch, const Answer& answer) {
  constexpr int kMostDoublings = 16;
  const int doublings = std::min(batch.failures - 1, kMostDoublings);
  const Seconds pause =
      std::min(options.first_retry * static_cast<double>(1 << doublings), options.last_retry);
  // Gateways that lost the same collector do not come back to it all at once.
  constexpr double kLeast = 0.75;
  return std::max(pause * (kLeast + (1 - kLeast) * random.Uniform()), answer.after);
}

net::Task<Answer> TraceExporter::Shared::Send(net::HttpClient& client, const Collector& to,
                                              const std::string& body, Seconds deadline) {
  Result<system::SocketAddress> address = Fail("");
  const std::function<void()> resolve = [&] { address = system::Resolve(to.url.host); };
  co_await client.thread().RunAside(resolve);
  if (!address) co_return Answer{.again = true, .message = address.error().message};
  const net::Destination destination(*address, to.tls);
  net::RequestHead head("POST", to.url.base + std::string(kPath), to.url.Authority());
  head.Add("content-type", "application/json");
  head.Add("user-agent", "headrace/" HEADRACE_VERSION);
  for (const std::string_view field : to.config.headers) {
    const std::size_t colon = std::min(field.find(':'), field.size() - 1);
    head.Add(field.substr(0, colon), Trimmed(field.substr(colon + 1)));
  }
  const std::string_view pieces[] = {body};
  net::HttpCall its_call(client);
  call = &its_call;
  Answer answer;
  const net::CallError error = co_await its_call.Start(destination, head, pieces, deadline);
  if (error != net::CallError::kNone) {
    answer = {.again = true, .message = its_call.Fault()};
    call = nullptr;
    co_return answer;
  }
  const int status = its_call.status();
  std::string text;
  for (;;) {
    const net::HttpCall::Piece piece = co_await its_call.ReadSome(deadline);
    if (text.size() < kMostAnswerBytes) text += piece.data;
    if (piece.last || piece.error != net::CallError::kNone) break;
  }
  call = nullptr;
  if (status / 100 == 2) {
    answer.taken = true;
    ReadPartialSuccess(text, answer);
    co_return answer;
  }
  answer.again = MayBeSentAgain(status);
  const std::string_view after = its_call.Header("retry-after");
  if (answer.again && !after.empty()) {
    answer.after = std::min(net::ParseRetryAfter(after, system::UnixNow()), options.give_up);
  }
  answer.message = "status " + std::to_string(status);
  if (!text.empty()) answer.message += ": " + Excerpt(text);
  co_return answer;
}

void TraceExporter::Shared::Tell(const Answer& answer, const Collector& to, std::size_t count) {
  const Seconds now = system::MonotonicNow();
  const std::string who = "the collector " + to.url.ToString();
  if (answer.taken && answer.rejected == 0 && answer.message.empty()) {
    faults.Clear(kCause, who + " takes spans again", now);
  } else if (answer.taken) {
    faults.Raise(telemetry::LogLevel::kWarning, kCause,
                 who + " has rejected " + std::to_string(answer.rejected) + " of " +
                     std::to_string(count) + " spans: " + Excerpt(answer.message),
                 now);
  } else {
    faults.Raise(
        telemetry::LogLevel::kWarning, kCause,
        who + " takes no spans (" + answer.message + "); " +
            (answer.again ? "they are sent again for a while, then dropped" : "they are dropped"),
        now);
  }
}

}  // namespace headrace::gateway
