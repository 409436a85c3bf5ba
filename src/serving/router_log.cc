#include "serving/router_log.h"

#include "base/text.h"

namespace headrace::serving {

std::string RouterLog::NameOf(const EndpointInfo& endpoint) const {
  return "endpoint " + endpoint.address + " of " + pool_ + "/" + endpoint.deployment;
}

void RouterLog::Up(const EndpointInfo& endpoint, Seconds now) const {
  const std::string name = NameOf(endpoint);
  faults_.Clear(name, name + " is up", now);
}

void RouterLog::Down(const EndpointInfo& endpoint, std::string_view why, Seconds now) const {
  const std::string name = NameOf(endpoint);
  faults_.Raise(telemetry::LogLevel::kWarning, name, name + " is down: " + std::string(why), now);
}

void RouterLog::Fallback(const scheduler::Decision& decision, Seconds now) const {
  // Requests may name policies that fall back on different ones: each is a cause of its own.
  const std::string cause = "model " + pool_ + ": fallback " +
                            std::string(ToString(decision.fallback)) + ": requests are routed by " +
                            std::string(decision.policy);
  faults_.Raise(telemetry::LogLevel::kWarning, cause,
                cause + "; /status shows every profile and its faults", now);
}

void RouterLog::Breaker(const BreakerReport& report, Seconds now) const {
  using State = fleet::CircuitBreaker::State;
  const EndpointInfo& endpoint = *report.endpoint;
  const std::string name = NameOf(endpoint);
  const std::string cause = name + ": ejection";
  const State to = report.change.to;
  if (to == State::kEjected && report.fault) {
    const std::string fault(ToString(*report.fault));
    if (endpoint.metrics) endpoint.metrics->ejections[fault].Add();
    faults_.Raise(
        telemetry::LogLevel::kWarning, cause,
        name + " is ejected for " + FormatFixed(report.away, 1) + " s: " +
            (report.change.from == State::kProbing ? "its probe failed" : "requests fail there") +
            ", the last one by `" + fault + "`; then one request shows how it is",
        now);
  } else if (to == State::kSlowStart) {
    faults_.Clear(cause, name + " is no longer ejected: its probe succeeded", now);
  } else if (to == State::kClosed) {
    // From slow start: said before. From a rest: never said.
    faults_.Clear(cause, name + " is no longer ejected", now);
  }
}

void RouterLog::RefusesStreamOptions(const EndpointInfo& endpoint, Seconds now) const {
  const std::string name = pool_ + "/" + endpoint.deployment;
  faults_.Raise(
      telemetry::LogLevel::kWarning, "stream_options of " + name,
      name +
          " refuses `stream_options`: the tokens of its streams are counted by their events; "
          "set `stream_options: false` for it",
      now);
}

}  // namespace headrace::serving
