// What is scheduled as one: a set of engines that serve the same model names.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "predict/prompt_estimator.h"
#include "serving/pool_router.h"
#include "system/mutex.h"

namespace headrace::serving {

// One pool as the data path sees it: its names, its scheduler, and what is learned about the
// prompts. Thread-safe.
class Pool {
 public:
  // `names`: that of the pool, which metrics, logs and recordings use, then aliases and LoRA
  // adapters. A request of any of them goes to the same scheduler.
  Pool(std::vector<std::string> names, const scheduler::SchedulerOptions& options,
       std::unique_ptr<fleet::LoadModel> load_model, Executor& executor, std::uint64_t seed,
       RouterReports reports)
      : names_(std::move(names)),
        router_(name(), options, std::move(load_model), executor, seed, std::move(reports)) {}

  const std::string& name() const { return names_.front(); }
  const std::vector<std::string>& names() const { return names_; }
  PoolRouter& router() { return router_; }
  const PoolRouter& router() const { return router_; }

  Tokens EstimatePromptTokens(std::int64_t bytes) const {
    const system::MutexLock lock(mutex_);
    return estimator_.Estimate(bytes);
  }
  void LearnPromptTokens(std::int64_t bytes, Tokens tokens) {
    const system::MutexLock lock(mutex_);
    estimator_.Learn(bytes, tokens);
  }
  // A copy, for status pages.
  predict::PromptEstimator prompt_estimator() const {
    const system::MutexLock lock(mutex_);
    return estimator_;
  }

 private:
  const std::vector<std::string> names_;
  PoolRouter router_;
  mutable system::Mutex mutex_;
  predict::PromptEstimator estimator_ HEADRACE_GUARDED_BY(mutex_);
};

using Pools = std::vector<std::unique_ptr<Pool>>;

// The pool that serves this name; null if none does.
inline Pool* FindPool(const Pools& pools, std::string_view name) {
  for (const auto& pool : pools) {
    if (std::ranges::find(pool->names(), name) != pool->names().end()) return pool.get();
  }
  return nullptr;
}

// At least one pool has an endpoint that is up.
inline bool AnyUp(const Pools& pools) {
  return std::ranges::any_of(pools, [](const auto& pool) { return pool->router().AnyUp(); });
}

}  // namespace headrace::serving
