// What a collector is told of a request (https://opentelemetry.io/docs/specs/otlp).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/units.h"
#include "tracing/trace_context.h"

namespace headrace::tracing {

// Keys are literals.
struct Attribute {
  std::string_view key;
  std::variant<std::string, std::int64_t, double, bool> value;
};

struct Span {
  enum class Kind { kInternal = 1, kServer = 2, kClient = 3 };  // As OTLP numbers them.
  struct Event {
    std::string_view name;
    Seconds at = 0;
  };

  TraceContext context;
  SpanId parent = 0;           // 0: none.
  bool remote_parent = false;  // Another process has it.
  std::string name;
  Kind kind = Kind::kInternal;
  Seconds start = 0;  // Unix time, as the other times.
  Seconds end = 0;
  std::vector<Attribute> attributes;
  std::vector<Event> events;
  bool error = false;
  std::string error_message;

  // What is empty is left out.
  void Add(std::string_view key, std::string_view value);
  void Add(std::string_view key, std::int64_t value) { attributes.push_back({key, value}); }
  void AddNumber(std::string_view key, double value) { attributes.push_back({key, value}); }
  void AddFlag(std::string_view key, bool value) { attributes.push_back({key, value}); }
};

// An ExportTraceServiceRequest in OTLP's JSON form.
std::string OtlpJson(std::span<const Span> spans, std::string_view service_name,
                     std::string_view version);

}  // namespace headrace::tracing
