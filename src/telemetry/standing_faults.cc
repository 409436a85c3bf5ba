#include "telemetry/standing_faults.h"

#include <algorithm>

namespace headrace::telemetry {
namespace {

// Causes that are over are kept for their interval; above this many, old ones are forgotten.
constexpr std::size_t kForgetAbove = 1024;

}  // namespace

void StandingFaults::Raise(LogLevel level, std::string_view cause, std::string_view message,
                           Seconds now) {
  const system::MutexLock lock(mutex_);
  if (causes_.size() > kForgetAbove) Forget(now);
  const auto [entry, fresh] = causes_.try_emplace(std::string(cause));
  Cause& known = entry->second;
  known.standing = true;
  if (!fresh && known.said == message) return;
  if (!fresh && now - known.said_at < interval_) {
    HoldBack(message, known);
  } else {
    Say(level, cause, message, now, known);
  }
}

void StandingFaults::Clear(std::string_view cause, std::string_view message, Seconds now) {
  const system::MutexLock lock(mutex_);
  const auto entry = causes_.find(cause);
  if (entry == causes_.end()) return;
  Cause& known = entry->second;
  known.standing = false;
  if (known.said == message) return;
  if (now - known.said_at < interval_) {
    HoldBack(message, known);
  } else {
    Say(LogLevel::kInfo, cause, message, now, known);
  }
}

std::size_t StandingFaults::standing() const {
  const system::MutexLock lock(mutex_);
  return static_cast<std::size_t>(std::count_if(
      causes_.begin(), causes_.end(), [](const auto& entry) { return entry.second.standing; }));
}

void StandingFaults::Say(LogLevel level, std::string_view name, std::string_view message,
                         Seconds now, Cause& cause) {
  if (cause.held_back > 0) {
    log_.Write(level, message, {{"cause", name}, {"held_back", cause.held_back}});
  } else {
    log_.Write(level, message, {{"cause", name}});
  }
  cause.said = message;
  cause.said_at = now;
  cause.held.clear();
  cause.held_back = 0;
}

void StandingFaults::HoldBack(std::string_view message, Cause& cause) {
  if (cause.held == message) return;
  cause.held = message;
  ++cause.held_back;
}

void StandingFaults::Forget(Seconds now) {
  std::erase_if(causes_, [&](const auto& entry) {
    return !entry.second.standing && now - entry.second.said_at >= interval_;
  });
}

}  // namespace headrace::telemetry
