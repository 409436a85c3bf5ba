#include "tracing/trace_context.h"

#include <algorithm>
#include <set>
#include <utility>

#include "base/text.h"

namespace headrace::tracing {
namespace {

constexpr std::size_t kParentSize = 55;  // 00-32 digits-16 digits-2 digits
constexpr std::size_t kMostStateBytes = 512;
constexpr std::size_t kMostMembers = 32;
constexpr std::size_t kLongestPart = 256;  // Of a member's key or value.

void AppendHex(std::uint64_t number, int digits, std::string& out) {
  for (int shift = 4 * (digits - 1); shift >= 0; shift -= 4) {
    out += "0123456789abcdef"[number >> shift & 15];
  }
}

// Lower-case digits only; nullopt for anything else.
std::optional<std::uint64_t> ParseHex(std::string_view text) {
  std::uint64_t number = 0;
  for (const char c : text) {
    const bool digit = c >= '0' && c <= '9';
    if (!digit && !(c >= 'a' && c <= 'f')) return std::nullopt;
    number = number << 4 | static_cast<std::uint64_t>(digit ? c - '0' : c - 'a' + 10);
  }
  return number;
}

bool IsKey(std::string_view key) {
  const auto begins = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  const auto goes_on = [&](char c) {
    return begins(c) || std::string_view("_-*/@").find(c) != std::string_view::npos;
  };
  return !key.empty() && key.size() <= kLongestPart && begins(key.front()) &&
         std::ranges::all_of(key, goes_on);
}

bool IsValue(std::string_view value) {
  return !value.empty() && value.size() <= kLongestPart && value.back() != ' ' &&
         std::ranges::all_of(value, [](char c) { return c >= ' ' && c <= '~' && c != '='; });
}

// Without what is too much; "" if it is broken.
std::string CheckedState(std::string_view text) {
  std::string state;
  std::set<std::string_view> keys;
  bool full = false;
  while (!text.empty()) {
    const std::size_t comma = std::min(text.find(','), text.size());
    const std::string_view member = Trimmed(text.substr(0, comma));
    text.remove_prefix(std::min(comma + 1, text.size()));
    if (member.empty()) continue;
    const std::size_t equals = member.find('=');
    if (equals == std::string_view::npos || !IsKey(member.substr(0, equals)) ||
        !IsValue(member.substr(equals + 1)) || !keys.insert(member.substr(0, equals)).second ||
        keys.size() > kMostMembers) {
      return {};
    }
    full = full || state.size() + member.size() + 1 > kMostStateBytes;
    if (full) continue;
    if (!state.empty()) state += ',';
    state += member;
  }
  return state;
}

// Mixes well enough that children of different spans differ (splitmix64).
std::uint64_t Mixed(std::uint64_t number) {
  number += 0x9E3779B97F4A7C15;
  number = (number ^ number >> 30) * 0xBF58476D1CE4E5B9;
  number = (number ^ number >> 27) * 0x94D049BB133111EB;
  return number ^ number >> 31;
}

}  // namespace

std::string ToText(TraceId id) {
  std::string text;
  AppendHex(id.high, 16, text);
  AppendHex(id.low, 16, text);
  return text;
}

std::string ToText(SpanId id) {
  std::string text;
  AppendHex(id, 16, text);
  return text;
}

std::string TraceContext::TraceParent() const {
  std::string text = "00-" + ToText(trace) + "-" + ToText(span) + "-";
  AppendHex(flags, 2, text);
  return text;
}

std::optional<TraceContext> ParseTraceContext(std::string_view traceparent,
                                              std::string_view tracestate) {
  if (traceparent.size() < kParentSize) return std::nullopt;
  const auto version = ParseHex(traceparent.substr(0, 2));
  // A later version may have more behind another dash.
  constexpr std::uint64_t kNoVersion = 0xFF;
  const bool longer = traceparent.size() > kParentSize;
  if (!version || *version == kNoVersion) return std::nullopt;
  if (longer && (*version == 0 || traceparent[kParentSize] != '-')) return std::nullopt;
  if (traceparent[2] != '-' || traceparent[35] != '-' || traceparent[52] != '-') {
    return std::nullopt;
  }
  const auto high = ParseHex(traceparent.substr(3, 16));
  const auto low = ParseHex(traceparent.substr(19, 16));
  const auto span = ParseHex(traceparent.substr(36, 16));
  const auto flags = ParseHex(traceparent.substr(53, 2));
  if (!high || !low || !span || !flags) return std::nullopt;
  if ((*high == 0 && *low == 0) || *span == 0) return std::nullopt;
  constexpr std::uint8_t kKnown = TraceContext::kSampled | TraceContext::kRandom;
  return TraceContext{.trace = {.high = *high, .low = *low},
                      .span = *span,
                      .flags = static_cast<std::uint8_t>(*flags & kKnown),
                      .state = CheckedState(tracestate)};
}

SpanId RequestTrace::Child(int n) const {
  const SpanId id = Mixed(context.span + Mixed(static_cast<std::uint64_t>(n)));
  return id == 0 ? 1 : id;
}

TraceContext RequestTrace::ContextOfChild(int n) const {
  TraceContext child = context;
  child.span = Child(n);
  return child;
}

TraceStarter::TraceStarter(double ratio, Rng high, Rng low)
    : ratio_(ratio), high_(high), low_(low) {}

RequestTrace TraceStarter::Start(std::string_view traceparent, std::string_view tracestate) {
  RequestTrace trace;
  if (auto parent = ParseTraceContext(traceparent, tracestate)) {
    trace.parent = parent->span;
    trace.context = *std::move(parent);
  } else {
    trace.context.trace = {.high = high_.Next(), .low = std::max<std::uint64_t>(low_.Next(), 1)};
    trace.context.flags = TraceContext::kRandom;
    if (IsSampled(trace.context.trace, ratio_)) trace.context.flags |= TraceContext::kSampled;
  }
  trace.context.span = std::max<SpanId>(low_.Next(), 1);
  return trace;
}

bool IsSampled(TraceId trace, double ratio) {
  if (ratio >= 1) return true;
  constexpr double kAll = 0x1p63;
  return trace.low >> 1 < static_cast<std::uint64_t>(ratio * kAll);
}

}  // namespace headrace::tracing
