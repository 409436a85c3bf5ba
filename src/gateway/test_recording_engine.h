// For tests: an engine that responds at once and keeps what it was sent.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "net/http_server.h"
#include "net/test_peers.h"
#include "system/mutex.h"

namespace headrace::gateway {

class RecordingEngine {
 public:
  struct Request {
    std::string method;
    std::string target;
    std::string fields;  // "name: value\n" …
    std::string body;
  };

  RecordingEngine() {
    server_ =
        *net::HttpServer::Listen(threads_, net::AnyLoopbackPort(), {},
                                 [this](net::HttpExchange& exchange) { return Serve(exchange); });
  }
  std::string address() const { return server_->address().ToString(); }
  // From now on, whatever it is asked.
  void Answer(std::string json) {
    const system::MutexLock lock(mutex_);
    answer_ = std::move(json);
  }
  std::vector<Request> Posts() const {
    const system::MutexLock lock(mutex_);
    return posts_;
  }

 private:
  net::Task<void> Serve(net::HttpExchange& exchange) {
    if (exchange.method() == "POST") {
      Request request{
          std::string(exchange.method()), std::string(exchange.target()), {}, exchange.body()};
      for (const net::HeaderField& field : exchange.headers()) {
        request.fields.append(field.name).append(": ").append(field.value).append("\n");
      }
      const system::MutexLock lock(mutex_);
      posts_.push_back(std::move(request));
    }
    net::ResponseHead head(200);
    head.Add("content-type", "application/json");
    // As vLLM does by default.
    if (!exchange.Header("origin").empty()) head.Add("access-control-allow-credentials", "true");
    std::string answer;
    {
      const system::MutexLock lock(mutex_);
      answer = answer_;
    }
    co_await exchange.Respond(head, answer);
  }

  mutable system::Mutex mutex_;
  std::vector<Request> posts_ HEADRACE_GUARDED_BY(mutex_);
  std::string answer_ HEADRACE_GUARDED_BY(mutex_) = R"({"choices":[{"finish_reason":"stop"}]})";
  net::IoThreads threads_{1};
  std::unique_ptr<net::HttpServer> server_;
};

}  // namespace headrace::gateway
