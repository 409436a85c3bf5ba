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
#include "serving/model_names.h"
#include "serving/pool_router.h"
#include "serving/retry_budget.h"
#include "system/mutex.h"

namespace headrace::serving {

// One pool as the data path sees it: its names, its scheduler, and what is learned about the
// prompts. Thread-safe.
class Pool {
 public:
  // `name`: what metrics, logs and recordings use.
  Pool(const std::string& name, const scheduler::SchedulerOptions& options,
       std::unique_ptr<fleet::LoadModel> load_model, Executor& executor, std::uint64_t seed,
       RouterReports reports)
      : router_(name, options, std::move(load_model), executor, seed, std::move(reports)),
        names_(name) {}

  const std::string& name() const { return router_.pool(); }
  ModelNames& names() { return names_; }
  const ModelNames& names() const { return names_; }
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
  // Why its endpoints may be old or incomplete, a sentence; empty: they are not.
  void SetSourceFault(const std::string& fault) {
    const system::MutexLock lock(mutex_);
    source_fault_ = fault;
  }
  std::string source_fault() const {
    const system::MutexLock lock(mutex_);
    return source_fault_;
  }
  // A copy, for status pages.
  predict::PromptEstimator prompt_estimator() const {
    const system::MutexLock lock(mutex_);
    return estimator_;
  }

 private:
  PoolRouter router_;
  RetryBudget retries_;
  ModelNames names_;
  mutable system::Mutex mutex_;
  predict::PromptEstimator estimator_ HEADRACE_GUARDED_BY(mutex_);
  Objectives objectives_ HEADRACE_GUARDED_BY(mutex_);
  std::string source_fault_ HEADRACE_GUARDED_BY(mutex_);
};

using PoolList = std::vector<std::shared_ptr<Pool>>;

// The pools that are served, and the names that lead to them. Thread-safe. A request holds its
// pool, so one that is taken out serves to the end what it has; no new request finds it.
class Pools {
 public:
  // Replaces those that were, and takes over their names. None may be in two of them.
  void Set(PoolList pools) {
    std::map<std::string, std::shared_ptr<Pool>, std::less<>> by_name;
    for (const std::shared_ptr<Pool>& pool : pools) {
      for (std::string& name : pool->names().Configured()) by_name[std::move(name)] = pool;
    }
    // What goes is destroyed without the lock.
    const system::MutexLock lock(mutex_);
    by_name_.swap(by_name);
    pools_.swap(pools);
  }

  // The pool that serves this name; null if none does. What engines list comes after what is
  // configured.
  std::shared_ptr<Pool> Find(std::string_view name) const {
    {
      const system::MutexLock lock(mutex_);
      const auto found = by_name_.find(name);
      if (found != by_name_.end()) return found->second;
    }
    for (const std::shared_ptr<Pool>& pool : list()) {
      if (pool->names().IsListed(name)) return pool;
    }
    return nullptr;
  }
  // As they are now, in the order of the configuration.
  PoolList list() const {
    const system::MutexLock lock(mutex_);
    return pools_;
  }
  // At least one pool has an endpoint that is up.
  bool AnyUp() const {
    return std::ranges::any_of(list(), [](const auto& pool) { return pool->router().AnyUp(); });
  }

 private:
  mutable system::Mutex mutex_;
  PoolList pools_ HEADRACE_GUARDED_BY(mutex_);
  std::map<std::string, std::shared_ptr<Pool>, std::less<>> by_name_ HEADRACE_GUARDED_BY(mutex_);
};

}  // namespace headrace::serving
