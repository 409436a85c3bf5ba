// The emulated engine's metrics, under vLLM's names.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/units.h"
#include "engine/engine_model.h"

namespace headrace::emulator {

// What routers and dashboards read from vLLM V1 (docs.vllm.ai, "Production Metrics"), each with the
// labels model_name and engine="0". Times are those of the wall clock, so they shrink with --speed.
// On one thread.
class EngineMetrics {
 public:
  EngineMetrics(std::string_view model, const engine::EngineConfig& config);
  ~EngineMetrics();

  void StepMade(const engine::EngineModel::StepReport& report);
  void FirstToken(Seconds after_arrival);
  // `tokens` came `gap` after the token before them.
  void MoreTokens(Tokens tokens, Seconds gap);
  // `finish_reason`: "stop", "length" or "abort".
  void Ended(std::string_view finish_reason);
  // Of a response that was finished: prompt and output tokens, and its times.
  void Finished(Tokens prompt, Tokens output, Seconds e2e, Seconds decode);

  // The exposition in Prometheus' text format.
  std::string Text(const engine::EngineModel& engine);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace headrace::emulator
