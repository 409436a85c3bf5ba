// An EngineModel that runs in real time on one thread.
#pragma once

#include <cstdint>
#include <unordered_map>

#include "base/units.h"
#include "emulator/engine_metrics.h"
#include "engine/engine_model.h"
#include "net/io_threads.h"
#include "net/waker.h"

namespace headrace::emulator {

class EngineJob;

// Makes the model's steps one after the other, each as long as the model says, and tells the jobs
// what has come of them at each step's end. All calls on its thread; must outlive that thread.
class EngineLoop {
 public:
  // `speed`: how many times faster than the model says.
  EngineLoop(const engine::EngineConfig& config, double speed, EngineMetrics& metrics)
      : model_(config), speed_(speed), metrics_(metrics) {}

  // Spawns the loop. Once.
  void Start(net::IoThread& thread);

  const engine::EngineModel& model() const { return model_; }
  EngineMetrics& metrics() { return metrics_; }

 private:
  friend class EngineJob;

  net::Task<void> Run();
  void Deliver();

  engine::EngineModel model_;
  double speed_;
  EngineMetrics& metrics_;
  net::IoThread* thread_ = nullptr;
  net::Waker* work_ = nullptr;  // Of Run(), which sleeps on it while there is nothing to do.
  std::uint64_t jobs_made_ = 0;
  std::unordered_map<std::uint64_t, EngineJob*> jobs_;  // By tag.
};

// One request in the engine, from the constructor on; the destructor takes it out if it has not
// finished.
class EngineJob {
 public:
  // The request must fit the model. `output` = 0 is prefill only.
  EngineJob(EngineLoop& loop, Tokens prompt, Tokens output);
  ~EngineJob();
  EngineJob(const EngineJob&) = delete;
  EngineJob& operator=(const EngineJob&) = delete;

  // Returns when there is something new: tokens, the end, or a cancellation.
  net::Task<void> Progress();
  // Takes the request out of the engine at once; Progress returns.
  void Cancel();

  Tokens generated() const { return generated_; }
  bool finished() const { return finished_; }
  bool cancelled() const { return cancelled_; }

 private:
  friend class EngineLoop;

  void Advance(Tokens generated, bool finished, Seconds now);

  EngineLoop& loop_;
  net::Waker waker_;
  std::uint64_t tag_;
  engine::EngineModel::Handle handle_ = 0;
  Tokens prompt_;
  Tokens output_;
  Tokens generated_ = 0;
  bool finished_ = false;
  bool cancelled_ = false;
  Seconds arrived_;
  Seconds first_token_ = 0;
  Seconds last_token_ = 0;
};

}  // namespace headrace::emulator
