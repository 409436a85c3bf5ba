// One line for each request once it has ended.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "config/config.h"
#include "serving/finished_request.h"
#include "system/line_writer.h"
#include "system/mutex.h"
#include "telemetry/log.h"
#include "telemetry/standing_faults.h"

namespace headrace::serving {

// The access log (docs/observability.md). Whatever clients write into a request, it stays one line,
// of a bounded length; no text of prompts or responses is in it. Thread-safe; never waits for
// whoever reads it.
class AccessLog final : public RequestObserver {
 public:
  // `faults` hears when the file cannot be written; it must outlive this.
  explicit AccessLog(telemetry::StandingFaults& faults) : faults_(faults) {}

  // The error: a file that cannot be opened. Then what was in force stays.
  Result<void> SetConfig(const config::LogConfig& config);

  void OnFinished(const FinishedRequest& request) override;
  void OnAnswered(const AnsweredRequest& request) override;

  // Its file may have been moved away.
  void Reopen();

  // Lines that were dropped so far: not read in time, or the disk was full.
  double dropped() const;

 private:
  struct Output {
    Output(telemetry::LogFormat format, std::unique_ptr<system::LineWriter> to)
        : writer(std::move(to)),
          log(telemetry::LogLevel::kInfo, format,
              [this](std::string_view line) { writer->Write(line); }) {}

    std::unique_ptr<system::LineWriter> writer;
    telemetry::Log log;
  };

  std::shared_ptr<Output> output() const;

  telemetry::StandingFaults& faults_;
  mutable system::Mutex mutex_;
  std::shared_ptr<Output> output_ HEADRACE_GUARDED_BY(mutex_);  // Null: off.
  config::LogConfig::Access format_ HEADRACE_GUARDED_BY(mutex_) = config::LogConfig::Access::kNone;
  std::string file_ HEADRACE_GUARDED_BY(mutex_);
  double dropped_before_ HEADRACE_GUARDED_BY(mutex_) = 0;  // By outputs that were.
};

}  // namespace headrace::serving
