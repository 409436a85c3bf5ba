// What is scheduled as one: a set of engines that serve the same model names.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "predict/prompt_estimator.h"
#include "serving/pool_router.h"
#include "serving/retry_budget.h"
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
  RetryBudget& retries() { return retries_; }
  const RetryBudget& retries() const { return retries_; }

  Tokens EstimatePrompt(const predict::PromptSize& size) const {
    const system::MutexLock lock(mutex_);
    return estimator_.Estimate(size);
  }
  Tokens LeastPrompt(const predict::PromptSize& size) const {
    const system::MutexLock lock(mutex_);
    return estimator_.Least(size);
  }
  void LearnPrompt(const predict::PromptSize& size, Tokens tokens) {
    const system::MutexLock lock(mutex_);
    estimator_.Learn(size, tokens);
  }
  // A prompt was refused for its size. True: it is to be tried all the same.
  bool RefusedPrompt(const predict::PromptSize& size) {
    const system::MutexLock lock(mutex_);
    return estimator_.Refused(size);
  }
  // Priorities by the name of an objective. Replaces those that were.
  using Objectives = std::map<std::string, int, std::less<>>;
  void SetObjectives(Objectives objectives) {
    const system::MutexLock lock(mutex_);
    objectives_ = std::move(objectives);
  }
  // 0 for a name that is not among them.
  int PriorityOf(std::string_view objective) const {
    const system::MutexLock lock(mutex_);
    const auto found = objectives_.find(objective);
    return found == objectives_.end() ? 0 : found->second;
  }
  // A copy, for status pages.
  predict::PromptEstimator prompt_estimator() const {
    const system::MutexLock lock(mutex_);
    return estimator_;
  }

 private:
  const std::vector<std::string> names_;
  PoolRouter router_;
  RetryBudget retries_;
  mutable system::Mutex mutex_;
  predict::PromptEstimator estimator_ HEADRACE_GUARDED_BY(mutex_);
  Objectives objectives_ HEADRACE_GUARDED_BY(mutex_);
};

// The pools that are served, in the order of the configuration. Constant while requests are served.
class Pools {
 public:
  // No other pool has one of its names.
  void Add(std::unique_ptr<Pool> pool) {
    for (const std::string& name : pool->names()) by_name_[name] = pool.get();
    pools_.push_back(std::move(pool));
  }
  void Clear() {
    by_name_.clear();
    pools_.clear();
  }

  // The pool that serves this name; null if none does.
  Pool* Find(std::string_view name) const {
    const auto found = by_name_.find(name);
    return found == by_name_.end() ? nullptr : found->second;
  }
  // At least one pool has an endpoint that is up.
  bool AnyUp() const {
    return std::ranges::any_of(pools_, [](const auto& pool) { return pool->router().AnyUp(); });
  }

  std::size_t size() const { return pools_.size(); }
  Pool& operator[](std::size_t index) const { return *pools_[index]; }
  auto begin() const { return pools_.begin(); }
  auto end() const { return pools_.end(); }

 private:
  std::vector<std::unique_ptr<Pool>> pools_;
  std::map<std::string, Pool*, std::less<>> by_name_;
};

}  // namespace headrace::serving
