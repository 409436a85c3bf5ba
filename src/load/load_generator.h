// Load on an OpenAI-compatible server, open or closed loop.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/histogram.h"
#include "base/units.h"
#include "completion/client.h"
#include "net/io_threads.h"
#include "openai/request.h"
#include "workload/statistics.h"
#include "workload/workload.h"

namespace headrace::load {

struct LoadOptions {
  completion::Endpoint target;
  std::string model;                                        // The name in the requests.
  openai::ApiKind api = openai::ApiKind::kChatCompletions;  // Or kCompletions.
  // Must pass CheckWorkload and outlive the generator.
  const workload::Workload* workload = nullptr;
  // Draws arrivals, lengths and prompts; a run with another stage has the same arrivals and
  // lengths, and other prompts.
  std::uint64_t seed = 1;
  std::uint64_t stage = 0;
  double rate_scale = 1;
  // Above 0: a closed loop. So many requests are open at a time, the next one is sent when one
  // ends; the workload's rates are the classes' shares.
  std::uint64_t concurrency = 0;
  Seconds duration = 60;  // Of arrivals.
  std::uint64_t max_requests = 1u << 30;
  std::uint64_t warm_up = 0;  // So many are sent before, and not counted.
  Seconds timeout = 120;      // Of one request, from its arrival.
  bool stream = true;
  bool send_slo = false;      // The class's targets as x-slo-*-ms headers.
  bool state_length = true;   // The true output length to an emulated engine, by header.
  bool limit_length = false;  // Or to any engine, as max_tokens with ignore_eos.
  std::string policy;         // As routing-strategy header; none if empty.
};

enum class LoadOutcome {
  kCompleted,
  kRefused,     // 429 or 503.
  kTimedOut,    // Not whole at its timeout, or at the end of the run.
  kFailed,      // Any other status, no connection, broken off, an error in the stream, no token.
  kNotCounted,  // It says nothing of the server: this client had no descriptor left, stood still
                // meanwhile, or broke it off before it was late.
};

// One finished request.
struct LoadResult {
  std::uint64_t number = 0;  // In order of arrival, from 0.
  std::uint32_t class_index = 0;
  Seconds at = 0;               // When it was due, from the start of the run.
  Seconds gap = 0;              // How long no request came before it.
  Seconds send_lag = 0;         // How much later it was sent: the client's own overload.
  int status = 0;               // 0: no response.
  slo::RequestLatency latency;  // From when it was sent.
  std::optional<Seconds> queued;
  LoadOutcome outcome = LoadOutcome::kFailed;
  bool attained = false;
  std::string deployment;  // Response header target-deployment, else target-pod; may be empty.
};

// What was asked for beside what came.
struct AskedAndGot {
  std::uint64_t asked = 0;
  std::uint64_t got = 0;
  std::uint64_t off = 0;  // Sum of the differences, whatever their sign.

  void Add(Tokens asked_tokens, Tokens got_tokens);
  void Merge(const AskedAndGot& other);
  // The share by which the one is off the other; 0 if nothing was asked for.
  double Off() const;
};

// The results of a class, or of a part of it, so far.
struct LoadCounts {
  std::uint64_t waiting = 0;    // Sent, and the response has not begun: queued somewhere.
  std::uint64_t in_flight = 0;  // The response has begun.
  workload::ClassReport report;
  // Of the completed ones whose tokens the server counted.
  AskedAndGot prompt;
  AskedAndGot output;
  std::uint64_t cached_prompt_tokens = 0;  // Of the engine's prefix cache.
  // Of a closed loop: all that ended while it was full, warm-up included.
  workload::ClassReport steady;

  void Merge(const LoadCounts& other);
};

// Why requests ended without a response.
struct LoadFailure {
  std::uint64_t count = 0;
  std::string example;  // What the server said to one of them; may be empty.
};

struct LoadSnapshot {
  Seconds elapsed = 0;
  // How long requests have arrived, without the time of those that do not count: what rates are per
  // second of.
  Seconds arrivals = 0;
  std::uint64_t offered = 0;
  std::uint64_t open = 0;  // Due and not finished.
  std::uint64_t warm_up = 0;
  Histogram send_lag;
  std::vector<LoadCounts> classes;  // In total, by class.
  // By class and deployment; `report.offered` counts what was sent there.
  std::vector<std::map<std::string, LoadCounts>> deployments;
  // Requests that were not completed, by the reason the client saw ("status 502", …).
  std::map<std::string, LoadFailure> failures;
  // Requests that are in no other count, by the reason (kNotCounted).
  std::map<std::string, std::uint64_t> not_counted;
  // The load was given up: the server had refused the first requests, all of them, the last one
  // with this status. 0: it took no connection.
  std::optional<int> given_up;

  LoadCounts Total() const;
  // The commonest first.
  std::vector<std::pair<std::string, LoadFailure>> CommonestFailures() const;
};

// Per second of the arrivals (workload::RatesOf); in a closed loop, whose arrivals follow the
// responses, what ended in its steady part: while as many requests as wanted were open.
workload::Rates RatesOf(const LoadOptions& options, const LoadSnapshot& snapshot,
                        const LoadCounts& counts);

// An open loop sends each request when it is due, even if earlier ones are still open. Latencies
// count from when a request is sent: the client's own lag is told apart, and no open loop waits for
// the server. A request ends as completed, refused, failed, timed out or not counted, once. One
// that is not counted takes the time it stands for out of the rates: in an open loop the gap before
// it, in a closed one its place among those that are open. Runs on one I/O thread; everything else
// may be called from any other.
class LoadGenerator {
 public:
  // `thread` must outlive the generator. `finished` (may be null) gets every result but those of
  // the warm-up, on the thread.
  LoadGenerator(net::IoThread& thread, const LoadOptions& options,
                std::function<void(const LoadResult&)> finished = nullptr);
  // Stop().
  ~LoadGenerator();

  void Start();
  // All requests have been sent and have ended.
  bool Done() const;
  // Sends no further requests; open ones go on.
  void EndArrivals();
  // Ends the load: open requests are broken off and count as timed out. Blocks until done. Not from
  // an I/O thread.
  void Stop();
  // The same, but open requests that could still have met their SLO are not counted: nobody knows
  // what would have become of them.
  void BreakOff();
  LoadSnapshot Snapshot() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace headrace::load
