// An engine on the caller's virtual clock, for discrete-event simulation.
#pragma once

#include <span>
#include <vector>

#include "base/units.h"
#include "engine/engine_model.h"

namespace headrace::engine {

// Runs an EngineModel back to back, as a real engine does: a step begins the moment the one before
// it ends. A run of pure decode steps is computed lazily, at the next Advance, in one calculation
// for any number of steps.
//
// Usage: call Advance(now) at NextWake(), and before Add and Cancel; `now` never goes
// back. A request added at `now` takes part in the first step that begins after that Advance.
// Deterministic. Not thread-safe.
class TimedEngine {
 public:
  struct TimedEvent {
    Seconds at = 0;
    EngineModel::Event event;
  };

  explicit TimedEngine(const EngineConfig& config) : model_(config) {}

  // `tag` is in the request's events. The request must fit (EngineModel::Fits).
  EngineModel::Handle Add(Seconds now, std::uint64_t tag, Tokens prompt, Tokens output,
                          Tokens cached = 0) {
    if (model_.idle() && busy_until_ < now) busy_until_ = now;
    return model_.Add(tag, prompt, output, cached);
  }

  // Drops the request's events that are not delivered yet. False if it had already ended.
  bool Cancel(EngineModel::Handle handle);

  // When Advance has something to do: an event to deliver or a step to plan. kNever if idle.
  Seconds NextWake() const;

  // Begins every step that begins at or before `now` and returns the events up to `now`, in order;
  // valid until the next call.
  std::span<const TimedEvent> Advance(Seconds now);

  const EngineModel& model() const { return model_; }
  // Changes the engine's speed, from the next step that has not begun.
  void set_step_model(const step::TimeModel& step) { model_.set_step_model(step); }

 private:
  EngineModel model_;
  Seconds busy_until_ = 0;                   // The end of the last step begun.
  std::vector<EngineModel::Event> pending_;  // Of that step.
  std::vector<TimedEvent> delivered_;
};

}  // namespace headrace::engine
