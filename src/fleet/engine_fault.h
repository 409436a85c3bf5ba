// What an endpoint did wrong with one request.
#pragma once

#include <cstdint>
#include <string_view>

namespace headrace::fleet {

enum class EngineFault : std::uint8_t {
  kConnect,      // No connection.
  kClosed,       // Closed or reset before a byte of the answer.
  kTimeout,      // Missed its first-byte or idle limit.
  kStatus,       // Answered 5xx, but not 503.
  kBusy,         // Answered 429 or 503: full, or starting. Not broken by that alone.
  kCut,          // The answer ended before its end.
  kErrorInBody,  // A 200 whose body, or one of whose events, is an error.
  kGarbled,      // What came is not HTTP.
};
inline constexpr int kEngineFaults = 8;

constexpr std::string_view ToString(EngineFault fault) {
  switch (fault) {
    case EngineFault::kConnect:
      return "connect";
    case EngineFault::kClosed:
      return "closed";
    case EngineFault::kTimeout:
      return "timeout";
    case EngineFault::kStatus:
      return "status";
    case EngineFault::kBusy:
      return "busy";
    case EngineFault::kCut:
      return "cut";
    case EngineFault::kErrorInBody:
      return "error_in_body";
    case EngineFault::kGarbled:
      return "garbled";
  }
  return "?";
}

}  // namespace headrace::fleet
