#include "tracing/span.h"

#include <cmath>

#include "base/json_writer.h"

namespace headrace::tracing {
namespace {

// 64-bit numbers are texts in protobuf's JSON.
std::string Nanoseconds(Seconds time) {
  constexpr std::int64_t kPerSecond = 1'000'000'000;
  const Seconds whole = std::floor(time);
  const auto rest = static_cast<std::int64_t>(std::llround((time - whole) * 1e9));
  return std::to_string(static_cast<std::int64_t>(whole) * kPerSecond + rest);
}

void WriteAttribute(std::string_view key, const decltype(Attribute::value)& value,
                    JsonWriter& json) {
  json.BeginObject().Member("key", key).Key("value").BeginObject();
  if (const auto* text = std::get_if<std::string>(&value)) {
    json.Member("stringValue", *text);
  } else if (const auto* integer = std::get_if<std::int64_t>(&value)) {
    json.Member("intValue", std::to_string(*integer));
  } else if (const auto* number = std::get_if<double>(&value)) {
    json.Member("doubleValue", *number);
  } else {
    json.Member("boolValue", std::get<bool>(value));
  }
  json.EndObject().EndObject();
}

void WriteSpan(const Span& span, JsonWriter& json) {
  // Beside the flags of the W3C: whether the parent is remote is known, and whether it is.
  constexpr unsigned kKnown = 0x100;
  constexpr unsigned kRemote = 0x200;
  json.BeginObject()
      .Member("traceId", ToText(span.context.trace))
      .Member("spanId", ToText(span.context.span));
  if (span.parent != 0) json.Member("parentSpanId", ToText(span.parent));
  if (!span.context.state.empty()) json.Member("traceState", span.context.state);
  json.Member("flags", span.context.flags | kKnown | (span.remote_parent ? kRemote : 0))
      .Member("name", span.name)
      .Member("kind", static_cast<int>(span.kind))
      .Member("startTimeUnixNano", Nanoseconds(span.start))
      .Member("endTimeUnixNano", Nanoseconds(span.end))
      .Key("attributes")
      .BeginArray();
  for (const Attribute& attribute : span.attributes) {
    const auto* const number = std::get_if<double>(&attribute.value);
    if (number != nullptr && !std::isfinite(*number)) continue;
    WriteAttribute(attribute.key, attribute.value, json);
  }
  json.EndArray();
  if (!span.events.empty()) {
    json.Key("events").BeginArray();
    for (const Span::Event& event : span.events) {
      json.BeginObject()
          .Member("timeUnixNano", Nanoseconds(event.at))
          .Member("name", event.name)
          .EndObject();
    }
    json.EndArray();
  }
  json.Key("status").BeginObject();
  if (span.error) {
    constexpr int kError = 2;
    json.Member("code", kError);
    if (!span.error_message.empty()) json.Member("message", span.error_message);
  }
  json.EndObject().EndObject();
}

}  // namespace

void Span::Add(std::string_view key, std::string_view value) {
  if (!value.empty()) attributes.push_back({key, std::string(value)});
}

std::string OtlpJson(std::span<const Span> spans, std::string_view service_name,
                     std::string_view version) {
  JsonWriter json;
  json.BeginObject().Key("resourceSpans").BeginArray().BeginObject();
  json.Key("resource").BeginObject().Key("attributes").BeginArray();
  WriteAttribute("service.name", std::string(service_name), json);
  WriteAttribute("service.version", std::string(version), json);
  json.EndArray().EndObject();
  json.Key("scopeSpans").BeginArray().BeginObject();
  json.Key("scope").BeginObject().Member("name", "headrace").Member("version", version).EndObject();
  json.Key("spans").BeginArray();
  for (const Span& span : spans) WriteSpan(span, json);
  json.EndArray().EndObject().EndArray();
  return json.EndObject().EndArray().EndObject().Take();
}

}  // namespace headrace::tracing
