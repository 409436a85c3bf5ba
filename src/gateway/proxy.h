// The data path: one request from its arrival to the last byte of its answer.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.h"
#include "gateway/finished_request.h"
#include "gateway/model_router.h"
#include "net/http_client.h"
#include "net/http_server.h"
#include "openai/error.h"
#include "openai/request.h"
#include "predict/prompt_estimator.h"

namespace headrace {

// One model as the data path sees it.
struct ServedModel {
  ServedModel(std::string model_name, const SchedulerOptions& options, IoThreads& threads,
              std::uint64_t seed, RouterReports reports)
      : name(std::move(model_name)), router(name, options, threads, seed, reports) {}

  std::string name;
  ModelRouter router;
  std::mutex estimator_mutex;
  PromptEstimator estimator;  // Guarded by estimator_mutex.
};

// Answers the OpenAI paths by passing them on to the endpoint that the model's router names; see
// docs/architecture, "Life of a request". Handlers run on the I/O threads, one per request.
class Proxy {
 public:
  // What is passed in must outlive the proxy.
  Proxy(const Config& config, std::vector<std::unique_ptr<ServedModel>>& models, IoThreads& threads,
        std::vector<RequestObserver*> observers);
  ~Proxy();

  // The HttpHandler of the public listener.
  Task<void> Handle(HttpExchange& exchange);

 private:
  struct ThreadState;
  class Passage;

  ServedModel* FindModel(std::string_view name) const;
  std::string ModelsJson() const;

  const Config& config_;
  std::vector<std::unique_ptr<ServedModel>>& models_;
  std::vector<RequestObserver*> observers_;
  std::vector<std::unique_ptr<ThreadState>> threads_;
};

}  // namespace headrace
