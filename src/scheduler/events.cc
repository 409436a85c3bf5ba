#include "scheduler/events.h"

#include <cmath>

namespace headrace::scheduler {

Seconds Turns::Next(Seconds now) const {
  const Seconds round = count * length;
  const Seconds since = now + offset - index * length;
  const Seconds wait = round - (since - round * std::floor(since / round));
  // At the beginning of a turn itself, as good as it can be told, that turn has come.
  return now + (wait > 1e-6 ? wait : wait + round);
}

std::string_view ToString(FallbackCause cause) {
  switch (cause) {
    case FallbackCause::kNone:
      return "none";
    case FallbackCause::kNoProfile:
      return "no_profile";
    case FallbackCause::kNoSlo:
      return "no_slo";
    case FallbackCause::kMissingMatrix:
      return "missing_matrix";
    case FallbackCause::kHole:
      return "hole";
    case FallbackCause::kUnprofiledDeployment:
      return "unprofiled_deployment";
  }
  return "none";
}

std::string_view ToString(Hold hold) {
  switch (hold) {
    case Hold::kNone:
      return "none";
    case Hold::kTurn:
      return "turn";
    case Hold::kDown:
      return "down";
    case Hold::kNoRoom:
      return "no_room";
    case Hold::kPromise:
      return "promise";
    case Hold::kLate:
      return "late";
    case Hold::kGaveUp:
      return "gave_up";
  }
  return "none";
}

std::string_view ToString(RefusalReason reason) {
  switch (reason) {
    case RefusalReason::kNoEndpoint:
      return "no_endpoint";
    case RefusalReason::kQueueFull:
      return "queue_full";
    case RefusalReason::kSloUnattainable:
      return "slo_unattainable";
    case RefusalReason::kSloDeadline:
      return "slo_deadline";
    case RefusalReason::kQueueTimeout:
      return "queue_timeout";
  }
  return "no_endpoint";
}

}  // namespace headrace::scheduler
