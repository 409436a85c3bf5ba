// Sends the spans of sampled requests to an OpenTelemetry collector.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "base/result.h"
#include "config/config.h"
#include "net/io_threads.h"
#include "serving/finished_request.h"
#include "telemetry/headrace_metrics.h"
#include "telemetry/standing_faults.h"
#include "tracing/span.h"

namespace headrace::gateway {

// OTLP over HTTP, in its JSON form: batches of what has come, once a second, from a thread of its
// own. What a collector does not take in time is dropped and counted; no request ever waits for it.
// Thread-safe.
class TraceExporter final : public serving::RequestObserver {
 public:
  struct Options {
    std::size_t most_spans = 8192;  // That wait to be sent.
    std::size_t batch = 512;        // Spans in one request at most.
    Seconds interval = 1;           // Between two looks for spans.
    Seconds timeout = 10;           // Of one request to the collector.
    Seconds first_retry = 1;        // Doubles with each failure in a row, …
    Seconds last_retry = 30;        // … up to this, …
    Seconds give_up = 60;           // … until the batch is so old.
    Seconds patience_at_end = 1;    // For what is left when the gateway ends.
  };

  // Both must outlive it.
  TraceExporter(telemetry::MetricsRegistry& registry, telemetry::StandingFaults& faults,
                const Options& options);
  TraceExporter(telemetry::MetricsRegistry& registry, telemetry::StandingFaults& faults)
      : TraceExporter(registry, faults, Options()) {}
  // Sends what is left, as far as the collector takes it at once.
  ~TraceExporter() override;

  // Whether the files of TLS can be used as they are now.
  static Result<void> CheckFiles(const config::TracingConfig& config);

  // From now on. The error: a URL or TLS that cannot be used; then what was in force stays. Reads
  // the files of TLS, also those that it has read before.
  Result<void> SetConfig(const config::TracingConfig& config);

  void OnFinished(const serving::FinishedRequest& request) override;
  void OnAnswered(const serving::AnsweredRequest& request) override;

 private:
  struct Shared;

  void Add(std::vector<tracing::Span> spans);

  const std::shared_ptr<Shared> shared_;
  std::unique_ptr<net::IoThreads> thread_;  // None before the first collector.
};

}  // namespace headrace::gateway
