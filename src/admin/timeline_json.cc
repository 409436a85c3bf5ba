#include "admin/timeline_json.h"

#include <array>
#include <cstdint>
#include <vector>

#include "base/json_writer.h"
#include "base/text.h"

namespace headrace::admin {
namespace {

using serving::Timeline;
using serving::TimelineInterval;

constexpr std::array kShown = {telemetry::Outcome::kCompleted,   telemetry::Outcome::kRefused,
                               telemetry::Outcome::kEngineError, telemetry::Outcome::kTimedOut,
                               telemetry::Outcome::kFailed,      telemetry::Outcome::kCancelled,
                               telemetry::Outcome::kClientError};

// One for each interval of the half hour.
std::vector<TimelineInterval> Whole(const std::vector<TimelineInterval>& known, Seconds now) {
  const auto last = static_cast<std::int64_t>(now / Timeline::kInterval);
  std::vector<TimelineInterval> whole(Timeline::kIntervals);
  for (const TimelineInterval& interval : known) {
    const std::int64_t age = last - interval.number;
    if (age >= 0 && age < Timeline::kIntervals) {
      whole[static_cast<std::size_t>(Timeline::kIntervals - 1 - age)] = interval;
    }
  }
  return whole;
}

void WriteModel(const std::string& name, const std::vector<TimelineInterval>& intervals,
                JsonWriter& json) {
  const auto counts = [&](std::string_view key, auto count) {
    json.Key(key).BeginArray();
    for (const TimelineInterval& interval : intervals) json.Value(count(interval));
    json.EndArray();
  };
  const auto times = [&](std::string_view key, Seconds TimelineInterval::* time) {
    json.Key(key).BeginArray();
    for (const TimelineInterval& interval : intervals) {
      if (interval.*time > 0) {
        json.Raw(FormatNumber(interval.*time));
      } else {
        json.Null();
      }
    }
    json.EndArray();
  };
  json.BeginObject().Member("name", name).Member("interval_s", Timeline::kInterval);
  json.Key("ended").BeginObject();
  for (const telemetry::Outcome outcome : kShown) {
    counts(ToString(outcome), [outcome](const TimelineInterval& interval) {
      return interval.ended[static_cast<std::size_t>(outcome)];
    });
  }
  json.EndObject();
  counts("promised", [](const TimelineInterval& interval) { return interval.promised; });
  counts("met", [](const TimelineInterval& interval) { return interval.met; });
  counts("output_tokens", [](const TimelineInterval& interval) { return interval.output_tokens; });
  times("ttft_p50_s", &TimelineInterval::ttft_p50);
  times("ttft_p95_s", &TimelineInterval::ttft_p95);
  times("tpot_p50_s", &TimelineInterval::tpot_p50);
  times("tpot_p95_s", &TimelineInterval::tpot_p95);
  json.EndObject();
}

}  // namespace

std::string TimelineJson(const gateway::Gateway& gateway, Seconds unix_now, Seconds now) {
  JsonWriter json;
  json.BeginObject().Key("models").BeginArray();
  for (const auto& pool : gateway.pools().list()) {
    WriteModel(pool->name(), Whole(gateway.timeline().Of(pool->name(), now), now), json);
  }
  json.EndArray().Key("failures").BeginArray();
  for (const serving::TimelineFailure& failure : gateway.timeline().Failures()) {
    json.BeginObject().Key("at").Raw(FormatFixed(unix_now - now + failure.at, 3));
    json.Member("model", failure.pool)
        .Member("request_id", failure.request_id)
        .Member("outcome", ToString(failure.outcome))
        .Member("why", failure.why)
        .EndObject();
  }
  return json.EndArray().EndObject().Take();
}

}  // namespace headrace::admin
