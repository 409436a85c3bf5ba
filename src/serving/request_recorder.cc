#include "serving/request_recorder.h"

#include <utility>

#include "base/json_writer.h"
#include "base/text.h"
#include "system/clock.h"

namespace headrace::serving {
namespace {

std::string LineOf(const FinishedRequest& request, Seconds begin) {
  const slo::RequestLatency& latency = request.latency;
  const bool counted = request.counted && latency.output_tokens > 0;
  JsonWriter json(JsonWriter::Layout::kSpaced);
  json.BeginObject()
      .Key("timestamp")
      .Raw(FormatFixed((request.arrived - begin) * 1e3, 3))
      .Member("input_length", counted ? latency.prompt_tokens : request.estimated_prompt_tokens)
      .Member("output_length", counted ? latency.output_tokens : request.expected_output_tokens)
      .Member("outcome", ToString(request.outcome));
  if (request.fault) json.Member("fault", ToString(*request.fault));
  if (!counted) json.Member("estimated", true);
  json.Key("queued_ms").Raw(FormatFixed(request.queued * 1e3, 3));
  if (request.endpoint != nullptr) json.Member("deployment", request.endpoint->deployment);
  if (!request.failed_tries.empty()) {
    json.Key("failed_tries").BeginArray();
    for (const FailedTry& failed : request.failed_tries) json.Value(ToString(failed.fault));
    json.EndArray();
  }
  if (request.outcome == telemetry::Outcome::kCompleted) {
    if (latency.ttft) json.Key("ttft_ms").Raw(FormatFixed(*latency.ttft * 1e3, 3));
    json.Key("e2e_ms").Raw(FormatFixed(latency.e2e * 1e3, 3));
    if (request.outlook) {
      json.Key("predicted_ttft_ms").Raw(FormatFixed(request.PredictedTtft() * 1e3, 3));
      json.Key("predicted_e2e_ms").Raw(FormatFixed(request.PredictedE2e() * 1e3, 3));
      json.Key("predicted_miss").Raw(FormatFixed(request.outlook->miss, 4));
    }
  }
  return json.EndObject().Take() + "\n";
}

}  // namespace

std::string Recording::Take() {
  const system::MutexLock lock(mutex_);
  return std::exchange(lines_, {});
}

bool Recording::Done(Seconds now) const {
  const system::MutexLock lock(mutex_);
  return now >= end_ && open_ == 0;
}

bool Recording::overflowed() const {
  const system::MutexLock lock(mutex_);
  return overflowed_;
}

void Recording::Arrived() {
  const system::MutexLock lock(mutex_);
  ++open_;
}

void Recording::Finished(const FinishedRequest& request) {
  const system::MutexLock lock(mutex_);
  --open_;
  if (lines_.size() > kMostBytes) {
    overflowed_ = true;
    return;
  }
  lines_ += LineOf(request, begin_);
}

std::shared_ptr<Recording> RequestRecorder::Start(const std::string& pool, Seconds duration) {
  const system::MutexLock lock(mutex_);
  std::erase_if(recordings_, [](const auto& recording) { return recording.expired(); });
  if (recordings_.size() == kMostRecordings) return nullptr;
  // Before the clock is read: requests that arrive from then on find the recording.
  count_ = recordings_.size() + 1;
  const Seconds now = system::MonotonicNow();
  auto recording = std::make_shared<Recording>(pool, now, now + duration);
  recordings_.push_back(recording);
  return recording;
}

std::vector<std::shared_ptr<Recording>> RequestRecorder::Current() {
  std::vector<std::shared_ptr<Recording>> current;
  const system::MutexLock lock(mutex_);
  std::erase_if(recordings_, [&](const auto& recording) {
    auto held = recording.lock();
    if (!held) return true;
    current.push_back(std::move(held));
    return false;
  });
  count_ = recordings_.size();
  return current;
}

void RequestRecorder::OnArrived(std::string_view pool, Seconds arrived) {
  if (count_ == 0) return;
  for (const auto& recording : Current()) {
    if (recording->Covers(pool, arrived)) recording->Arrived();
  }
}

void RequestRecorder::OnFinished(const FinishedRequest& request) {
  if (count_ == 0 || !request.has_prompt) return;
  for (const auto& recording : Current()) {
    if (recording->Covers(request.pool, request.arrived)) recording->Finished(request);
  }
}

}  // namespace headrace::serving
