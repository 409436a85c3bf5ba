// W3C Trace Context: which trace a request belongs to, and whether it is sampled.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/random.h"

namespace headrace::tracing {

// 128 bits, not all 0.
struct TraceId {
  std::uint64_t high = 0;
  std::uint64_t low = 0;
  bool operator==(const TraceId&) const = default;
};
// 64 bits, not 0.
using SpanId = std::uint64_t;

// As headers and collectors have them: 32 and 16 lower-case hexadecimal digits.
std::string ToText(TraceId id);
std::string ToText(SpanId id);

// A span as others are told of it (https://www.w3.org/TR/trace-context-2/).
struct TraceContext {
  static constexpr std::uint8_t kSampled = 1;
  static constexpr std::uint8_t kRandom = 2;  // The last 56 bits of the trace's id are random.

  TraceId trace;
  SpanId span = 0;
  std::uint8_t flags = 0;
  std::string state;  // What others have said, for others: passed on unread.

  bool sampled() const { return (flags & kSampled) != 0; }
  // The header `traceparent`.
  std::string TraceParent() const;
  bool operator==(const TraceContext&) const = default;
};

// Reads the headers, several of one name joined by commas. nullopt: `traceparent` is broken, which
// begins a new trace. A broken `tracestate` is left out; of a long one, what is beyond 512 bytes.
std::optional<TraceContext> ParseTraceContext(std::string_view traceparent,
                                              std::string_view tracestate);

// The spans of one request.
struct RequestTrace {
  TraceContext context;  // Its own span.
  SpanId parent = 0;     // 0: the trace begins with it.

  bool sampled() const { return context.sampled(); }
  // The id of its n-th child, always the same.
  SpanId Child(int n) const;
  // What that child's callee is told.
  TraceContext ContextOfChild(int n) const;
};

// Begins spans: a sampled parent's are sampled, and those of one that is not are not; without a
// parent, the share `ratio` of all traces is, by the trace's id (OpenTelemetry's samplers
// ParentBased and TraceIdRatioBased). Not thread-safe.
class TraceStarter {
 public:
  TraceStarter(double ratio, Rng high, Rng low);
  void SetRatio(double ratio) { ratio_ = ratio; }
  RequestTrace Start(std::string_view traceparent, std::string_view tracestate);

 private:
  double ratio_;
  Rng high_;
  Rng low_;
};

// Whether TraceIdRatioBased samples it.
bool IsSampled(TraceId trace, double ratio);

}  // namespace headrace::tracing
