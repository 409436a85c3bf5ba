#include "render/explanation_text.h"

#include <nlohmann/json.hpp>
#include <optional>
#include <utility>
#include <vector>

#include "base/text.h"
#include "render/admin_json.h"

namespace headrace::render {
namespace {

using Json = nlohmann::json;
using Cell = FittedTable::Cell;

constexpr std::string_view kNone = "–";

std::string Milliseconds(const Json& object, std::string_view name) {
  const auto value = NumberOf(object, name);
  return value ? FormatDuration(*value / 1e3) : std::string(kNone);
}

std::string Count(const Json& object, std::string_view name) {
  const auto value = NumberOf(object, name);
  return value ? FormatNumber(*value) : std::string(kNone);
}

std::string Share(const Json& object, std::string_view name) {
  const auto value = NumberOf(object, name);
  return value ? FormatPercent(*value) + " %" : std::string(kNone);
}

// With the digits that the sentences about it have.
std::string Promises(const Json& object, std::string_view name) {
  const auto value = NumberOf(object, name);
  return value ? FormatFixed(*value, 3) : std::string(kNone);
}

Ink InkOf(const std::string& outcome) {
  if (outcome == "completed") return Ink::kGood;
  return outcome == "refused" || outcome == "cancelled" || outcome == "client_error" ? Ink::kWarning
                                                                                     : Ink::kBad;
}

std::string Title(const Json& request, const TextStyle& style) {
  const std::string outcome = TextOf(request, "outcome");
  std::string text = Paint(TextOf(request, "request_id"), Ink::kStrong, style) + ": " +
                     Paint(outcome, InkOf(outcome), style);
  const std::string reason = TextOf(request, "reason") + TextOf(request, "fault");
  if (!reason.empty()) text += " (" + reason + ")";
  const double arrived = NumberOf(request, "arrived").value_or(0);
  text += "; model " + TextOf(request, "model") + ", arrived " + FormatDate(arrived).substr(0, 10) +
          " " + ClockTime(arrived) + " UTC\n";
  if (const std::string endpoint = TextOf(request, "endpoint"); !endpoint.empty()) {
    text += "at " + TextOf(request, "deployment") + " " + endpoint + ", by " +
            TextOf(request, "policy") + "\n";
  }
  if (const std::string trace = TextOf(request, "trace_id"); !trace.empty()) {
    text += "trace " + trace + "\n";
  }
  return text;
}

// What was predicted beside what happened.
FittedTable Outcome(const Json& request) {
  const Json& predicted = MemberOf(request, "predicted");
  const Json& actual = MemberOf(request, "actual");
  FittedTable table{{{""}, {"PREDICTED", Align::kRight}, {"HAPPENED", Align::kRight}, {""}}, {}};
  const auto add = [&](std::string name, std::string before, std::string after, Ink ink,
                       std::string note) {
    if (before == kNone && after == kNone) return;
    table.rows.push_back({{std::move(name), Ink::kQuiet},
                          {std::move(before)},
                          {std::move(after), ink},
                          {std::move(note), Ink::kQuiet}});
  };
  const auto times = [&](std::string name, std::string_view before, std::string_view after) {
    add(std::move(name), Milliseconds(predicted, before), Milliseconds(actual, after), Ink::kPlain,
        "");
  };
  const std::string hold = TextOf(request, "hold");
  add("in the queue", std::string(kNone), Milliseconds(request, "queued_ms"), Ink::kPlain,
      hold.empty() ? "" : "held: " + hold);
  times("TTFT", "ttft_ms", "ttft_ms");
  times("time per token", "tpot_ms", "tpot_ms");
  times("end", "e2e_ms", "e2e_ms");
  if (NumberOf(predicted, "e2e_of_this_length_ms")) {
    times("end, of this length", "e2e_of_this_length_ms", "e2e_ms");
  }
  for (const auto& [key, name] :
       {std::pair("prompt_tokens", "prompt tokens"), {"output_tokens", "output tokens"}}) {
    const Json& tokens = MemberOf(request, key);
    add(name, Count(tokens, "expected"), Count(tokens, "counted"), Ink::kPlain, "");
  }
  const Json& met = MemberOf(actual, "met_slo");
  const std::string slo = SloText(MemberOf(request, "slo"));
  const auto miss = NumberOf(predicted, "miss");
  add("SLO", miss ? FormatPercent(*miss) + " % missed" : std::string(kNone),
      !met.is_boolean() ? std::string(kNone)
      : met.get<bool>() ? "met"
                        : "missed",
      met.is_boolean() && !met.get<bool>() ? Ink::kBad : Ink::kGood, slo);
  add("others' promises broken", Promises(predicted, "harm"), std::string(kNone), Ink::kPlain, "");
  return table;
}

FittedTable Tries(const Json& tries) {
  FittedTable table{{{"FAILED BEFORE"},
                     {"ENDPOINT"},
                     {"FAULT"},
                     {"SENT AFTER", Align::kRight},
                     {"TOOK", Align::kRight},
                     {"WHY", Align::kLeft, 0, 20}},
                    {}};
  for (const Json& one : tries) {
    table.rows.push_back({{TextOf(one, "deployment")},
                          {TextOf(one, "endpoint")},
                          {TextOf(one, "fault"), Ink::kBad},
                          {Milliseconds(one, "sent_ms")},
                          {Milliseconds(one, "took_ms")},
                          {TextOf(one, "why")}});
  }
  return table;
}

// Endpoints of a policy that forecasts; with whom the request would have harmed there.
FittedTable Endpoints(const Json& candidates) {
  FittedTable table{{{""},
                     {"CANDIDATE", Align::kLeft, 0, 8},
                     {"ENDPOINT", Align::kLeft, 0, 12},
                     {"COST", Align::kRight},
                     {"TTFT", Align::kRight},
                     {"PER TOKEN", Align::kRight},
                     {"END", Align::kRight},
                     {"MISSES", Align::kRight},
                     {"HARM", Align::kRight}},
                    {}};
  for (const Json& one : candidates) {
    if (!MemberOf(one, "endpoint").is_string()) continue;
    const bool chosen = FlagOf(one, "chosen");
    const Ink ink = chosen ? Ink::kStrong : Ink::kPlain;
    table.rows.push_back({{chosen ? "→" : ""},
                          {TextOf(one, "deployment"), ink},
                          {TextOf(one, "endpoint"), ink},
                          {Promises(one, "cost")},
                          {Milliseconds(one, "ttft_ms")},
                          {Milliseconds(one, "tpot_ms")},
                          {Milliseconds(one, "e2e_ms")},
                          {Share(one, "miss")},
                          {Promises(one, "harm")}});
  }
  return table;
}

FittedTable Harmed(const Json& candidates) {
  FittedTable table{{{"HARMED"},
                     {"AT", Align::kLeft, 0, 12},
                     {"MISSED BEFORE", Align::kRight},
                     {"AFTER", Align::kRight}},
                    {}};
  for (const Json& one : candidates) {
    for (const Json& harmed : MemberOf(one, "harmed")) {
      table.rows.push_back({{TextOf(harmed, "request_id")},
                            {TextOf(one, "endpoint")},
                            {Share(harmed, "miss_before")},
                            {Share(harmed, "miss_after")}});
    }
  }
  return table;
}

// Of a policy that reads profiles.
FittedTable Deployments(const Json& candidates) {
  FittedTable table{{{""},
                     {"CANDIDATE"},
                     {"EXPECTED", Align::kRight},
                     {"ALLOWED", Align::kRight},
                     {"TAKES OF AN ENDPOINT", Align::kRight},
                     {"LEAST LOAD", Align::kRight}},
                    {}};
  for (const Json& one : candidates) {
    if (MemberOf(one, "endpoint").is_string()) continue;
    const bool chosen = FlagOf(one, "chosen");
    table.rows.push_back({{chosen ? "→" : ""},
                          {TextOf(one, "deployment"), chosen ? Ink::kStrong : Ink::kPlain},
                          {Milliseconds(one, "expected_ms")},
                          {Milliseconds(one, "allowed_ms")},
                          {Share(one, "share")},
                          {Share(one, "least_load")}});
  }
  return table;
}

}  // namespace

std::string ExplanationText(std::string_view json, const TextStyle& style) {
  const Json request = ReadJson(json);
  std::string text = Title(request, style);
  for (const std::string& line : Wrap(TextOf(request, "why"), style.width)) text += line + "\n";
  const Json& candidates = MemberOf(request, "candidates");
  for (const FittedTable& table :
       {Outcome(request), Tries(MemberOf(request, "failed_tries")), Endpoints(candidates),
        Harmed(candidates), Deployments(candidates)}) {
    if (table.rows.empty()) continue;
    text += "\n";
    for (const std::string& line : RenderLines(table, style)) text += line + "\n";
  }
  return text;
}

std::string RequestsText(std::string_view json, const TextStyle& style) {
  const Json page = ReadJson(json);
  FittedTable table{{{"UTC"},
                     {"REQUEST", Align::kLeft, 0, 32},
                     {"OUTCOME"},
                     {"MODEL", Align::kLeft, 4, 8},
                     {"ENDPOINT", Align::kLeft, 2},
                     {"QUEUED", Align::kRight, 3},
                     {"TTFT", Align::kRight, 1},
                     {"END", Align::kRight, 1},
                     {"WHY", Align::kLeft, 5, 24}},
                    {}};
  for (const Json& request : MemberOf(page, "requests")) {
    const Json& actual = MemberOf(request, "actual");
    const std::string outcome = TextOf(request, "outcome");
    const Json& met = MemberOf(actual, "met_slo");
    const Ink end = met.is_boolean() && !met.get<bool>() ? Ink::kBad : Ink::kPlain;
    table.rows.push_back({{ClockTime(NumberOf(request, "arrived").value_or(0))},
                          {TextOf(request, "request_id"), Ink::kStrong},
                          {outcome, InkOf(outcome)},
                          {TextOf(request, "model")},
                          {TextOf(request, "endpoint")},
                          {Milliseconds(request, "queued_ms")},
                          {Milliseconds(actual, "ttft_ms"), end},
                          {Milliseconds(actual, "e2e_ms"), end},
                          {TextOf(request, "why"), Ink::kQuiet}});
  }
  if (table.rows.empty()) return "no request has ended yet\n";
  std::string text;
  for (const std::string& line : RenderLines(table, style)) text += line + "\n";
  return text;
}

}  // namespace headrace::render
