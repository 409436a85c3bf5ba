#include "serving/serving_thread.h"

#include <algorithm>
#include <random>

namespace headrace::serving {
namespace {

Rng RandomlySeeded() {
  std::random_device device;
  return Rng(std::uint64_t{device()} << 32 | device());
}

}  // namespace

void ServingThread::SetConfig(const config::Config& config) {
  request_timeout = config.timeouts.request;
  const auto is_default = [](const config::ModelConfig& model) { return model.is_default; };
  const auto found = std::ranges::find_if(config.models, is_default);
  default_model = found == config.models.end() ? std::string() : found->name;
  foreign_strategies =
      config.nearest_strategy ? ForeignStrategies::kNearest : ForeignStrategies::kRefused;
  if (config.tracing.endpoint.empty()) {
    traces.reset();
  } else if (traces) {
    traces->SetRatio(config.tracing.sample);
  } else {
    traces.emplace(config.tracing.sample, RandomlySeeded(), RandomlySeeded());
  }
}

}  // namespace headrace::serving
