// Measures a real OpenAI-compatible endpoint, point by point of a grid.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "benchmark/measurement.h"
#include "net/io_threads.h"
#include "openai/request.h"
#include "slo/slo.h"
#include "system/address.h"

namespace headrace::measure {

struct EndpointOptions {
  system::SocketAddress target;
  std::string host;  // For the Host header.
  std::string model;
  openai::ApiKind api = openai::ApiKind::kCompletions;  // Or kChatCompletions.
  std::vector<std::string> headers;                     // More, "Name: value".
  std::uint64_t seed = 0;
  // Requests per measurement, at least; up to eight times as many until the mean E2E has settled.
  int samples = 200;
  Seconds timeout = 600;  // Of one request; beyond it the rate is not sustained.
  slo::Slo slo;           // A measurement that misses it ends without waiting to settle.
};

struct EndpointProgress {
  std::uint64_t finished = 0;  // Requests of the measurement that runs.
  std::uint64_t wanted = 0;    // 0 while it warms up.
  std::uint64_t sent = 0;      // Since the beginning, all of them.
};

// Offers a rate open-loop: arrivals come when they are due, whatever has become of those before. A
// window holds exactly rate · length of them, spread as a Poisson process with that count spreads
// them, so that the offered rate is the nominal one. What arrives before is warm-up: at least ten
// requests and two lifetimes; what arrives after keeps the endpoint busy until the window's
// requests have finished. Then all that is open is broken off.
class EndpointBenchmark {
 public:
  // `thread` must outlive it.
  EndpointBenchmark(net::IoThread& thread, EndpointOptions options);
  ~EndpointBenchmark();

  // The context length that /v1/models tells (vLLM's max_model_len); 0 when it does not. Errors:
  // nobody answers, the model is not served (names those that are).
  Result<Tokens> ContextLength();

  // Blocks, minutes if need be. The first measurement with an input length finds the prompt of
  // exactly that many tokens by what the endpoint's usage says.
  // Errors: nobody answers; the endpoint refuses the request with its reason; it tells no usage; it
  // ends answers early, for it knows no ignore_eos; no prompt can be that short; stopped.
  Result<benchmark::Measurement> Measure(const benchmark::GridPoint& point);

  // From any thread, for good: a Measure in progress breaks off.
  void Stop();
  EndpointProgress Progress() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace headrace::measure
