// A model that is served: its router and what is learned about its prompts.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <utility>

#include "predict/prompt_estimator.h"
#include "serving/model_router.h"

namespace headrace::serving {

// One model as the data path sees it.
struct ServedModel {
  ServedModel(std::string model_name, const scheduler::SchedulerOptions& options,
              net::IoThreads& threads, std::uint64_t seed, RouterReports reports)
      : name(std::move(model_name)), router(name, options, threads, seed, reports) {}

  std::string name;
  ModelRouter router;
  std::mutex estimator_mutex;
  predict::PromptEstimator estimator;  // Guarded by estimator_mutex.
};

}  // namespace headrace::serving
