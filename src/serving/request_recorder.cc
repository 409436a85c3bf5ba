#include "serving/request_recorder.h"

#include <cstdio>
#include <utility>

#include "base/json_writer.h"
#include "openai/error.h"
#include "system/clock.h"

namespace headrace::serving {
namespace {

std::string LineOf(const FinishedRequest& request, Seconds begin) {
  const slo::RequestLatency& latency = request.latency;
  const bool counted = request.counted && latency.output_tokens > 0;
  const Tokens prompt = counted ? latency.prompt_tokens : request.estimated_prompt_tokens;
  const Tokens output = counted ? latency.output_tokens : request.expected_output_tokens;
  char text[256];
  std::snprintf(text, sizeof text,
                "{\"timestamp\": %.3f, \"input_length\": %d, \"output_length\": %d, "
                "\"outcome\": \"%s\"%s, \"queued_ms\": %.3f",
                (request.arrived - begin) * 1e3, prompt, output,
                std::string(ToString(request.outcome)).c_str(),
                counted ? "" : ", \"estimated\": true", request.queued * 1e3);
  std::string line = text;
  if (!request.deployment.empty()) {
    line += ", \"deployment\": ";
    AppendJsonString(request.deployment, line);
  }
  if (request.outcome == telemetry::Outcome::kCompleted) {
    std::snprintf(text, sizeof text, ", \"ttft_ms\": %.3f, \"e2e_ms\": %.3f", latency.ttft * 1e3,
                  latency.e2e * 1e3);
    line += text;
  }
  return line + "}\n";
}

}  // namespace

std::string Recording::Take() {
  const std::lock_guard lock(mutex_);
  return std::exchange(lines_, {});
}

bool Recording::Done(Seconds now) const {
  const std::lock_guard lock(mutex_);
  return now >= end_ && open_ == 0;
}

bool Recording::overflowed() const {
  const std::lock_guard lock(mutex_);
  return overflowed_;
}

void Recording::Arrived() {
  const std::lock_guard lock(mutex_);
  ++open_;
}

void Recording::Finished(const FinishedRequest& request) {
  const std::lock_guard lock(mutex_);
  --open_;
  if (lines_.size() > kMostBytes) {
    overflowed_ = true;
    return;
  }
  lines_ += LineOf(request, begin_);
}

std::shared_ptr<Recording> RequestRecorder::Start(const std::string& model, Seconds duration) {
  const std::lock_guard lock(mutex_);
  std::erase_if(recordings_, [](const auto& recording) { return recording.expired(); });
  if (recordings_.size() == kMostRecordings) return nullptr;
  // Before the clock is read: whoever arrives from then on finds the recording.
  count_ = recordings_.size() + 1;
  const Seconds now = system::MonotonicNow();
  auto recording = std::make_shared<Recording>(model, now, now + duration);
  recordings_.push_back(recording);
  return recording;
}

std::vector<std::shared_ptr<Recording>> RequestRecorder::Current() {
  std::vector<std::shared_ptr<Recording>> current;
  const std::lock_guard lock(mutex_);
  std::erase_if(recordings_, [&](const auto& recording) {
    auto held = recording.lock();
    if (!held) return true;
    current.push_back(std::move(held));
    return false;
  });
  count_ = recordings_.size();
  return current;
}

void RequestRecorder::OnArrived(std::string_view model, Seconds arrived) {
  if (count_ == 0) return;
  for (const auto& recording : Current()) {
    if (recording->Covers(model, arrived)) recording->Arrived();
  }
}

void RequestRecorder::OnFinished(const FinishedRequest& request) {
  if (count_ == 0) return;
  for (const auto& recording : Current()) {
    if (recording->Covers(request.model, request.arrived)) recording->Finished(request);
  }
}

}  // namespace headrace::serving
