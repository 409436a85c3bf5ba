// Measures a real OpenAI-compatible endpoint, point by point of a grid.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "benchmark/measurement.h"
#include "completion/client.h"
#include "net/io_threads.h"
#include "openai/request.h"
#include "slo/slo.h"

namespace headrace::measure {

struct EndpointOptions {
  completion::Endpoint target;
  std::string model;
  openai::ApiKind api = openai::ApiKind::kCompletions;  // Or kChatCompletions.
  std::uint64_t seed = 0;                               // Draws the arrivals.
  // Draws the prompts. An engine has those of an earlier run in its prefix cache.
  std::uint64_t prompt_seed = 0;
  // Requests per measurement, at least; up to eight times as many until the mean E2E has settled.
  int samples = 200;
  Seconds timeout = 600;  // Of one request; a rate that exceeds it is not sustained.
  slo::Slo slo;           // A measurement that misses it ends before it has settled.
};

struct EndpointProgress {
  std::uint64_t finished = 0;  // Requests of the measurement in progress: of its warm-up, then of
                               // its window.
  std::uint64_t wanted = 0;    // In the window; 0 while it warms up.
  std::uint64_t sent = 0;      // In all measurements so far.
  // Of all prompts, by the endpoint's count; the second came from its prefix cache.
  std::uint64_t prompt_tokens = 0;
  std::uint64_t cached_prompt_tokens = 0;

  double CachedShare() const {
    return prompt_tokens == 0
               ? 0
               : static_cast<double>(cached_prompt_tokens) / static_cast<double>(prompt_tokens);
  }
};

// A prompt's length may be so much off: a share of it, but two tokens in any case.
inline constexpr double kPromptTolerance = 0.02;

struct NearPrompt {
  Tokens asked = 0;
  Tokens got = 0;
};

// Offers a rate open-loop: requests are sent when they are due, even if earlier ones are open. A
// window holds exactly rate · length arrivals, at the times of that many points of a Poisson
// process, so that the offered rate is the nominal one. Arrivals before it are the warm-up: at
// least ten requests and two lifetimes. Arrivals after it keep the endpoint busy until the window's
// requests have finished. Then all open requests are broken off.
class EndpointBenchmark {
 public:
  // `thread` must outlive it.
  EndpointBenchmark(net::IoThread& thread, EndpointOptions options);
  ~EndpointBenchmark();

  // The context length in /v1/models (vLLM's max_model_len); 0 if it is not there. Errors: no
  // response; the model is not served (names those that are).
  Result<Tokens> ContextLength();

  // Blocks, possibly for minutes. The first measurement with an input length finds the prompt of
  // that many tokens by the endpoint's usage: of exactly as many unless its tokenizer takes " the"
  // for several tokens, then within kPromptTolerance.
  // Errors: no response; the endpoint refuses the request (with its reason); it sends no usage; it
  // ends outputs early, because it does not support ignore_eos; no prompt can be that short;
  // stopped.
  Result<benchmark::Measurement> Measure(const benchmark::GridPoint& point);

  // The lengths of prompts that could only be met nearly.
  std::vector<NearPrompt> NearPrompts() const;

  // From any thread: ends a Measure in progress, and every later one at once.
  void Stop();
  EndpointProgress Progress() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace headrace::measure
