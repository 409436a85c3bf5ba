// The data path: one request from its arrival to the last byte of its answer.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.h"
#include "net/http_client.h"
#include "net/http_server.h"
#include "openai/error.h"
#include "openai/request.h"
#include "serving/finished_request.h"
#include "serving/served_model.h"

namespace headrace::gateway {

// Answers the OpenAI paths by passing them on to the endpoint that the model's router names; see
// docs/architecture, "Life of a request". Handlers run on the I/O threads, one per request.
class Proxy {
 public:
  // What is passed in must outlive the proxy.
  Proxy(const config::Config& config, std::vector<std::unique_ptr<serving::ServedModel>>& models,
        net::IoThreads& threads, std::vector<serving::RequestObserver*> observers);
  ~Proxy();

  // The HttpHandler of the public listener.
  net::Task<void> Handle(net::HttpExchange& exchange);

 private:
  struct ThreadState;
  class ProxiedRequest;

  serving::ServedModel* FindModel(std::string_view name) const;
  std::string ModelsJson() const;

  const config::Config& config_;
  std::vector<std::unique_ptr<serving::ServedModel>>& models_;
  std::vector<serving::RequestObserver*> observers_;
  std::vector<std::unique_ptr<ThreadState>> threads_;
};

}  // namespace headrace::gateway
