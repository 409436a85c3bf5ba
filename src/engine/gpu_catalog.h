// The GPU types and models that can be emulated: data/gpus.json as C++.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "base/result.h"
#include "engine/engine_model.h"

namespace headrace::engine {

// A figure and its source.
struct SourcedFigure {
  double value = 0;
  std::string source;     // Prose, from the file's table of sources.
  bool modelled = false;  // Derived by the formula in `source`, not measured or published.
};

// What a model needs of a GPU.
struct ModelFacts {
  std::string title;
  SourcedFigure weights_bytes;
  SourcedFigure kv_bytes_per_token;
  SourcedFigure activation_bytes;  // Everything in memory that is neither weights nor KV.
  SourcedFigure context_tokens;    // The model's own context length.
};

// The coefficients of step::TimeModel, in milliseconds, without the engine's own overhead. What a
// file lacks is 0.
struct StepFigures {
  SourcedFigure a, b, c, d, e;
  SourcedFigure f;  // Per decoding sequence, apart from its dense layers: its attention begins.
  SourcedFigure overlap;
};

// What an engine itself adds to each step: its CPU and sampler time.
struct EngineVersion {
  std::string title;
  SourcedFigure step_ms;
  SourcedFigure sequence_ms;  // For each decoding sequence.
};

struct GpuFacts {
  std::string title;
  SourcedFigure memory_mib;
  SourcedFigure bandwidth_gb_s;  // 10^9 bytes per second.
  SourcedFigure tflops;          // Dense FP16.
  SourcedFigure usd_per_hour;
  std::map<std::string, StepFigures, std::less<>> step_ms;  // By model.
};

// The text of data/gpus.json, which is part of the program.
std::string_view ShippedGpuCatalog();

class GpuCatalog {
 public:
  // Reads the JSON text of a catalogue; errors call it `origin` (a file name) and name the line,
  // the key and the fix.
  static Result<GpuCatalog> Parse(std::string_view text, std::string_view origin);

  const std::map<std::string, GpuFacts, std::less<>>& gpus() const { return gpus_; }
  const std::map<std::string, ModelFacts, std::less<>>& models() const { return models_; }
  const std::map<std::string, EngineVersion, std::less<>>& engines() const { return engines_; }

  // An engine of `model` on one `gpu`, with vLLM's default limits. `max_model_len` = 0 takes the
  // model's own context length, an empty `version` the file's default engine. Errors: an unknown
  // name (lists the known ones), a model that does not fit, a context longer than the KV cache.
  Result<EngineConfig> Engine(std::string_view gpu, std::string_view model,
                              Tokens max_model_len = 0, std::string_view version = {}) const;

 private:
  std::map<std::string, GpuFacts, std::less<>> gpus_;
  std::map<std::string, ModelFacts, std::less<>> models_;
  std::map<std::string, EngineVersion, std::less<>> engines_;
  std::string default_engine_;
};

}  // namespace headrace::engine
