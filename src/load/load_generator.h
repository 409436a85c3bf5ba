// Open-loop load on an OpenAI-compatible server.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/histogram.h"
#include "base/units.h"
#include "completion/client.h"
#include "net/io_threads.h"
#include "workload/statistics.h"
#include "workload/workload.h"

namespace headrace::load {

struct LoadOptions {
  completion::Endpoint target;
  std::string model;  // The name in the requests.
  // Must pass CheckWorkload and outlive the generator.
  const workload::Workload* workload = nullptr;
  std::uint64_t seed = 1;
  double rate_scale = 1;
  Seconds duration = 60;  // Of arrivals.
  std::uint64_t max_requests = 1u << 30;
  Seconds timeout = 120;  // Of one request, from its arrival.
  bool stream = true;
  bool send_slo = false;      // The class's targets as x-slo-*-ms headers.
  bool state_length = true;   // The true output length to an emulated engine, by header.
  bool limit_length = false;  // Or to any engine, as max_tokens with ignore_eos.
  std::string policy;         // As routing-strategy header; none if empty.
};

enum class LoadOutcome {
  kCompleted,
  kRefused,   // 429 or 503.
  kTimedOut,  // Not whole at its timeout, or at the end of the run.
  kFailed,    // Any other status, no connection, broken off, an error in the stream.
};

// One finished request.
struct LoadResult {
  std::uint64_t number = 0;  // In order of arrival, from 0.
  std::uint32_t class_index = 0;
  Seconds at = 0;               // When it was due, from the start of the run.
  Seconds send_lag = 0;         // How much later it was sent: the client's own overload.
  int status = 0;               // 0: no response.
  slo::RequestLatency latency;  // From when it was due.
  LoadOutcome outcome = LoadOutcome::kFailed;
  bool attained = false;
  std::string deployment;  // Response header target-deployment, else target-pod; may be empty.
};

// The results of a class, or of a part of it, so far.
struct LoadCounts {
  std::uint64_t waiting = 0;    // Sent, and the response has not begun: queued somewhere.
  std::uint64_t in_flight = 0;  // The response has begun.
  workload::ClassReport report;
};

struct LoadSnapshot {
  Seconds elapsed = 0;
  std::uint64_t offered = 0;
  std::uint64_t open = 0;  // Due and not finished.
  Histogram send_lag;
  std::vector<LoadCounts> classes;  // In total, by class.
  // By class and deployment; `report.offered` counts what was sent there.
  std::vector<std::map<std::string, LoadCounts>> deployments;
  // Requests that timed out or failed, by the reason the client saw ("status 502", …).
  std::map<std::string, std::uint64_t> failures;
};

// Sends each request when it is due, even if earlier ones are still open, and measures from then.
// A request ends as completed, refused, failed or timed out, and is counted once. Runs on one I/O
// thread; Start, Snapshot and Stop may be called from any other.
class LoadGenerator {
 public:
  // `thread` must outlive the generator. `finished` (may be null) gets every result, on the thread.
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
  LoadSnapshot Snapshot() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace headrace::load
