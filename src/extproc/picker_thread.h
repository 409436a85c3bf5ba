// What the requests of the picker have in common.
#pragma once

#include <atomic>
#include <cstddef>
#include <string>

#include "config/config.h"
#include "envoy/service/ext_proc/v3/external_processor.pb.h"
#include "serving/served_request.h"
#include "telemetry/standing_faults.h"

namespace headrace::extproc {

// All of them.
struct PickerContext {
  using BodyMode = config::ExtProcConfig::BodyMode;

  const serving::ServingContext& serving;
  telemetry::StandingFaults& faults;
  mutable std::atomic<std::size_t> held_bytes = 0;  // Of the bodies that are held.
};

// Those of one thread. Used on it only.
struct PickerThread {
  explicit PickerThread(serving::Executor& executor) : serving(executor) {}

  void SetConfig(const config::Config& config);

  serving::ServingThread serving;
  config::ExtProcConfig::BodyMode body_mode{};
  std::size_t fallbacks = 0;
  std::size_t most_body_bytes = 0;
  std::size_t most_held_bytes = 0;
  std::string base_path;
  // Of the message that is read or written now: kept for their memory.
  envoy::service::ext_proc::v3::ProcessingRequest request;
  envoy::service::ext_proc::v3::ProcessingResponse reply;
};

}  // namespace headrace::extproc
