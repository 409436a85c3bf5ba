#include "base/limits.h"

#include "base/duration.h"
#include "base/text.h"

namespace headrace {

std::string OutOfBounds(const NumberRange& range) {
  return "is out of bounds; " + FormatNumber(range.low) + " to " + FormatNumber(range.high) +
         " is allowed";
}

std::string DurationOutOfBounds(const NumberRange& range) {
  return "is out of bounds; " + WriteDuration(range.low) + " to " + WriteDuration(range.high) +
         " is allowed";
}

}  // namespace headrace
