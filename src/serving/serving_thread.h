// What requests have in common.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/units.h"
#include "config/config.h"
#include "openai/request.h"
#include "serving/client_keys.h"
#include "serving/executor.h"
#include "serving/finished_request.h"
#include "serving/pool.h"
#include "serving/progress_batch.h"
#include "serving/request_controls.h"
#include "serving/request_ids.h"
#include "serving/response_owners.h"
#include "tracing/trace_context.h"

namespace headrace::serving {

// What all requests are served with. Constant; must outlive them.
struct ServingContext {
  const Pools& pools;
  std::vector<RequestObserver*> observers;
  ResponseOwners* responses = nullptr;  // Null: nothing is remembered.
  ClientKeys* keys = nullptr;           // Null: none is required.
};

// What the requests of one thread share.
struct ServingThread {
  explicit ServingThread(Executor& on) : executor(on), progress(on) {}
  // For requests that arrive from now on.
  void SetConfig(const config::Config& config);

  Executor& executor;
  openai::RequestScanner scanner;
  RequestIds ids;
  ProgressBatch progress;
  Seconds request_timeout = kNever;  // From a request's arrival to its response's last byte.
  std::string default_model;         // For requests that name none, or an unknown one; "": none.
  ForeignStrategies foreign_strategies = ForeignStrategies::kNearest;
  std::optional<tracing::TraceStarter> traces;  // None: requests are not traced.
};

}  // namespace headrace::serving
