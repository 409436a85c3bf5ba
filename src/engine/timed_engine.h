// An engine on the caller's virtual clock: what a discrete-event simulation needs of it.
#pragma once

#include <span>
#include <vector>

#include "base/units.h"
#include "engine/engine_model.h"

namespace headrace::engine {

// Runs an EngineModel back to back, as a real engine does: a step begins the moment the one before
// it ends. Runs of pure decode are made lazily, only when somebody looks, so that they cost one
// calculation however many steps they hold.
//
// How to drive it: call Advance(now) at NextWake(), and before Add and Cancel; `now` never goes
// back. A request added at `now` takes part in the first step that begins after that Advance.
// Deterministic. Not thread-safe.
class TimedEngine {
 public:
  struct TimedEvent {
    Seconds at = 0;
    EngineModel::Event event;
  };

  explicit TimedEngine(const EngineConfig& config) : model_(config) {}

  // `tag` comes back in the request's events. The request must fit (EngineModel::Fits).
  EngineModel::Handle Add(Seconds now, std::uint64_t tag, Tokens prompt, Tokens output,
                          Tokens cached = 0) {
    if (model_.idle() && busy_until_ < now) busy_until_ = now;
    return model_.Add(tag, prompt, output, cached);
  }

  // Events that are not delivered yet are dropped; false when the request had already ended.
  bool Cancel(EngineModel::Handle handle);

  // When Advance has something to do: an event to deliver or a step to plan. kNever when idle.
  Seconds NextWake() const;

  // Begins every step that begins at or before `now` and answers the events up to `now`, in order;
  // valid until the next call.
  std::span<const TimedEvent> Advance(Seconds now);

  const EngineModel& model() const { return model_; }
  // Slows the engine down, or gives it back its speed, from the next step that has not begun.
  void set_step_model(const StepModel& step) { model_.set_step_model(step); }

 private:
  EngineModel model_;
  Seconds busy_until_ = 0;                   // The end of the last step begun.
  std::vector<EngineModel::Event> pending_;  // Of that step.
  std::vector<TimedEvent> delivered_;
};

}  // namespace headrace::engine
