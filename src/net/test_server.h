// For tests: a server on loopback, and something that happens on its thread.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "net/http_server.h"
#include "net/test_peers.h"
#include "system/clock.h"
#include "system/mutex.h"

namespace headrace::net {

inline constexpr Seconds kLong = 30;

// A server on a free port of loopback.
class ServerTest : public ::testing::Test {
 protected:
  void Serve(HttpHandler handler, const HttpServerOptions& options = {}) {
    auto server = HttpServer::Listen(threads_, AnyLoopbackPort(), options, std::move(handler));
    ASSERT_TRUE(server) << server.error().message;
    server_ = std::move(*server);
  }
  RawPeer Connect() { return RawPeer(server_->address()); }
  // Sends all, reads the response to a request with `Connection: close`.
  std::string Ask(std::string_view request) {
    RawPeer client = Connect();
    client.Send(request);
    return client.ReadAll();
  }

  IoThreads threads_{2};
  std::unique_ptr<HttpServer> server_;
};

inline Task<void> Echo(HttpExchange& exchange) {
  ResponseHead head(200);
  head.Add("x-target", exchange.target());
  const std::string body = std::move(exchange.body());
  co_await exchange.Respond(head, body);
}

// Something that happens on a server's thread and that a test waits for.
class Event {
 public:
  void Happen() {
    const system::MutexLock lock(mutex_);
    ++times_;
    changed_.NotifyAll();
  }
  bool Await(int times = 1) {
    const Seconds end = system::MonotonicNow() + kLong;
    const system::MutexLock lock(mutex_);
    while (times_ < times && system::MonotonicNow() < end) {
      changed_.WaitFor(mutex_, end - system::MonotonicNow());
    }
    return times_ >= times;
  }
  int times() {
    const system::MutexLock lock(mutex_);
    return times_;
  }

 private:
  system::Mutex mutex_;
  system::ConditionVariable changed_;
  int times_ HEADRACE_GUARDED_BY(mutex_) = 0;
};

}  // namespace headrace::net
