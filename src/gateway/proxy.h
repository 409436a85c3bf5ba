// The HTTP shell over serving: what the public listener serves.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.h"
#include "gateway/io_executor.h"
#include "gateway/proxied_request.h"
#include "net/http_server.h"
#include "net/router.h"
#include "serving/served_request.h"

namespace headrace::gateway {

// Serves the OpenAI paths by passing each request on to the endpoint that its pool's router names;
// see docs/architecture.md, "Life of a request". Handlers run on the I/O threads, one per request.
class Proxy {
 public:
  // What is passed in, `config` excepted, must outlive the proxy; one executor per thread. `ready`:
  // what the page for probes says.
  Proxy(const config::Config& config, const serving::ServingContext& context,
        std::function<bool()> ready, net::IoThreads& threads,
        const std::vector<std::unique_ptr<IoExecutor>>& executors);
  ~Proxy();

  // Its time-outs and limits are in force when this returns, for new requests; a new time to wait
  // for an engine also for those under way. Not from an I/O thread.
  void SetConfig(const config::Config& config);

  // The HttpHandler of the public listener.
  net::Task<void> Handle(net::HttpExchange& exchange);

 private:
  struct ThreadState;

  std::vector<net::Route> Routes();
  net::Task<void> HandleOther(net::HttpExchange& exchange);
  net::Task<void> Serve(net::HttpExchange& exchange, ApiCall api);
  net::Task<void> ServeAzure(net::HttpExchange& exchange, std::string_view rest);
  net::Task<void> ServeResponse(net::HttpExchange& exchange, std::string_view rest);
  net::Task<void> Answer(net::HttpExchange& exchange, int status, std::string body);
  net::Task<void> AnswerJson(net::HttpExchange& exchange, net::ResponseHead head, std::string body,
                             std::string reason = {}) const;
  // Tells the observers of what the gateway has answered by itself.
  net::Task<void> Answered(net::HttpExchange& exchange, std::string id, net::Task<void> answer,
                           std::string reason) const;
  // The client's key, for what the gateway answers by itself; null if none is required.
  tl::expected<serving::ClientKeys::Key, serving::ErrorReply> KeyOf(
      const net::HttpExchange& exchange) const;
  net::Task<void> Refuse(net::HttpExchange& exchange, const serving::ErrorReply& reply) const;
  net::Task<void> RespondModels(net::HttpExchange& exchange) const;
  net::Task<void> RespondModel(net::HttpExchange& exchange, std::string_view id) const;
  net::Task<void> RespondRouteError(net::HttpExchange& exchange, net::ResponseHead head,
                                    std::string message) const;
  void CountInvalid(int status) const;
  std::string RequestIdOf(const net::HttpExchange& exchange) const;
  ThreadState& StateOf(const net::HttpExchange& exchange) const;

  const std::int64_t created_;  // What models are said to be: the gateway's start, Unix seconds.
  const serving::ServingContext& context_;
  const std::function<bool()> ready_;
  std::vector<std::unique_ptr<ThreadState>> threads_;
  net::Router router_;
};

}  // namespace headrace::gateway
