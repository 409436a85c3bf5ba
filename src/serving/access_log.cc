#include "serving/access_log.h"

#include <cmath>
#include <limits>
#include <utility>

#include "base/text.h"
#include "system/clock.h"

namespace headrace::serving {
namespace {

// Of what a client may make as long as it likes.
constexpr std::size_t kMostTextBytes = 256;

std::string_view Cut(std::string_view text) { return text.substr(0, kMostTextBytes); }

std::string TextOf(const system::SocketAddress* address) {
  return address == nullptr ? std::string() : address->ToString();
}

// With three decimals: microseconds.
// Null in a line of JSON.
constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();

double Milliseconds(Seconds seconds) { return std::round(seconds * 1e6) / 1e3; }

// "" if it is not traced.
std::string TraceIdOf(const tracing::RequestTrace* trace) {
  return trace == nullptr ? std::string() : tracing::ToText(trace->context.trace);
}

std::string_view ReasonOf(const FinishedRequest& request) {
  if (request.refused) return ToString(*request.refused);
  if (request.fault) return ToString(*request.fault);
  return {};
}

}  // namespace

Result<void> AccessLog::SetConfig(const config::LogConfig& config) {
  using Access = config::LogConfig::Access;
  {
    const system::MutexLock lock(mutex_);
    if (config.access == format_ && config.access_file == file_) return {};
  }
  std::shared_ptr<Output> output;
  if (config.access != Access::kNone) {
    const auto on_written = [this, file = config.access_file](const std::string& fault) {
      constexpr std::string_view kCause = "access log";
      const Seconds now = system::MonotonicNow();
      if (fault.empty()) {
        faults_.Clear(kCause, "the access log is written again", now);
      } else {
        faults_.Raise(telemetry::LogLevel::kError, kCause,
                      "the access log loses lines: " + file + " " + fault, now);
      }
    };
    HEADRACE_ASSIGN(auto writer, system::LineWriter::Open(config.access_file, on_written));
    output = std::make_shared<Output>(
        config.access == Access::kJson ? telemetry::LogFormat::kJson : telemetry::LogFormat::kText,
        std::move(writer));
  }
  const system::MutexLock lock(mutex_);
  if (output_ != nullptr) dropped_before_ += static_cast<double>(output_->writer->dropped());
  output_.swap(output);
  format_ = config.access;
  file_ = config.access_file;
  return {};
}

void AccessLog::Reopen() {
  if (const std::shared_ptr<Output> output = this->output()) output->writer->Reopen();
}

std::shared_ptr<AccessLog::Output> AccessLog::output() const {
  const system::MutexLock lock(mutex_);
  return output_;
}

double AccessLog::dropped() const {
  const system::MutexLock lock(mutex_);
  const double now = output_ == nullptr ? 0 : static_cast<double>(output_->writer->dropped());
  return dropped_before_ + now;
}

void AccessLog::OnFinished(const FinishedRequest& request) {
  const std::shared_ptr<Output> output = this->output();
  if (output == nullptr) return;
  const Exchange& exchange = request.exchange;
  const slo::RequestLatency& latency = request.latency;
  const bool ended = latency.e2e > 0;
  const Seconds e2e = ended ? latency.e2e : system::MonotonicNow() - request.arrived;
  const Tokens prompt = ended ? latency.prompt_tokens : request.estimated_prompt_tokens;
  const std::string client = TextOf(exchange.client);
  const std::string trace_id = TraceIdOf(request.trace ? &*request.trace : nullptr);
  output->log.Info(
      "request",
      {{"request_id", request.request_id},
       {"trace_id", trace_id},
       {"client", client},
       {"method", exchange.method},
       {"path", Cut(exchange.path)},
       {"status", exchange.status},
       {"outcome", ToString(request.outcome)},
       {"reason", ReasonOf(request)},
       {"model", Cut(request.model)},
       {"pool", request.pool},
       {"tenant", Cut(request.tenant)},
       {"policy", request.policy},
       {"deployment",
        request.endpoint == nullptr ? std::string_view() : request.endpoint->deployment},
       {"endpoint", request.endpoint == nullptr ? std::string_view() : request.endpoint->address},
       {"retries", request.failed_tries.size()},
       {"stream", request.stream},
       {"prompt_tokens", request.has_prompt ? prompt : 0},
       {"output_tokens", latency.output_tokens},
       {"estimated", request.has_prompt && !request.counted},
       {"queue_ms", Milliseconds(request.queued)},
       {"ttft_ms", latency.ttft ? Milliseconds(*latency.ttft) : kUnknown},
       {"e2e_ms", Milliseconds(e2e)},
       {"bytes_in", exchange.received},
       {"bytes_out", exchange.sent}});
}

void AccessLog::OnAnswered(const AnsweredRequest& request) {
  const std::shared_ptr<Output> output = this->output();
  if (output == nullptr) return;
  const Exchange& exchange = request.exchange;
  const std::string client = TextOf(exchange.client);
  const std::string trace_id = TraceIdOf(request.trace);
  output->log.Info("request", {{"request_id", Cut(request.request_id)},
                               {"trace_id", trace_id},
                               {"client", client},
                               {"method", Cut(exchange.method)},
                               {"path", Cut(exchange.path)},
                               {"status", exchange.status},
                               {"outcome", exchange.status >= 400 ? "invalid" : "answered"},
                               {"reason", Cut(request.reason)},
                               {"model", Cut(request.model)},
                               {"e2e_ms", Milliseconds(system::MonotonicNow() - request.arrived)},
                               {"bytes_in", exchange.received},
                               {"bytes_out", exchange.sent}});
}

}  // namespace headrace::serving
