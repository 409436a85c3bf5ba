#include "engine/timed_engine.h"

#include <algorithm>

namespace headrace::engine {

Seconds TimedEngine::NextWake() const {
  if (!pending_.empty()) return busy_until_;
  if (model_.idle()) return kNever;
  return busy_until_ + model_.QuietDuration();
}

bool TimedEngine::Cancel(EngineModel::Handle handle) {
  const auto dropped =
      std::erase_if(pending_, [handle](const auto& event) { return event.handle == handle; });
  return model_.Cancel(handle) || dropped > 0;
}

std::span<const TimedEngine::TimedEvent> TimedEngine::Advance(Seconds now) {
  delivered_.clear();
  while (busy_until_ <= now) {
    for (const EngineModel::Event& event : pending_) delivered_.push_back({busy_until_, event});
    pending_.clear();
    if (model_.idle()) break;
    busy_until_ += model_.StepMany(now - busy_until_).duration;
    pending_.assign(model_.events().begin(), model_.events().end());
  }
  return delivered_;
}

}  // namespace headrace::engine
