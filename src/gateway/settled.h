// For files that may be read while somebody writes them.
#pragma once

#include <optional>
#include <utility>

#include "base/result.h"

namespace headrace::gateway {

// What a file, or several, said when they were read. A change counts once it was the same twice, so
// that a file that is being written is not taken over.
template <typename T>
class Settled {
 public:
  explicit Settled(Result<T> last) : last_(std::move(last)) {}

  // Whether it differs from the last reading that was dealt with, and has been the same twice.
  bool IsNew(const Result<T>& reading) {
    if (Same(reading, last_)) {
      seen_.reset();
      return false;
    }
    if (seen_ && Same(reading, *seen_)) return true;
    seen_ = reading;
    return false;
  }
  // It is dealt with.
  void Set(Result<T> reading) {
    last_ = std::move(reading);
    seen_.reset();
  }
  const Result<T>& last() const { return last_; }

 private:
  static bool Same(const Result<T>& one, const Result<T>& other) {
    if (one.has_value() != other.has_value()) return false;
    return one ? *one == *other : one.error().message == other.error().message;
  }

  Result<T> last_;                 // That was dealt with.
  std::optional<Result<T>> seen_;  // Once, and not dealt with.
};

}  // namespace headrace::gateway
