// For tests: a server and clients with TLS.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "net/http_client.h"
#include "net/http_server.h"
#include "net/test_certificates.h"
#include "net/test_peers.h"
#include "net/tls_peer.h"
#include "net/tls_server.h"
#include "system/clock.h"

namespace headrace::net {

constexpr Seconds kLong = 30;

struct Response {
  CallError error = CallError::kNone;
  std::string fault;
  std::string body;
  bool reused = false;
};

inline std::string Letters(std::size_t size) {
  std::string text(size, '\0');
  for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>('a' + i * i % 23);
  return text;
}

inline Task<void> Echo(HttpExchange& exchange) {
  const ResponseHead head(200);
  const std::string body = std::move(exchange.body());
  co_await exchange.Respond(head, body);
}

// A server at 127.0.0.1 whose certificate is for engine.test.
class TlsTest : public ::testing::Test {
 protected:
  ~TlsTest() override {
    threads_[0].Run([this] { client_.reset(); });
  }

  void Serve(HttpHandler handler, const TlsContext::Options& options) {
    const auto context = TlsContext::ForServer(options);
    ASSERT_TRUE(context) << context.error().message;
    server_options_.stream_factory = TlsServerStreams(*context);
    auto server =
        HttpServer::Listen(threads_, AnyLoopbackPort(), server_options_, std::move(handler));
    ASSERT_TRUE(server) << server.error().message;
    server_ = std::move(*server);
  }
  void Serve(HttpHandler handler) { Serve(std::move(handler), OptionsOf(good_)); }
  static TlsContext::Options OptionsOf(const TestCertificate& own) {
    return {.certificate = own.certificate, .key = own.key};
  }

  std::shared_ptr<TlsPeer> Peer(const TlsContext::Options& options, const std::string& name) {
    const auto context = TlsContext::ForClient(options);
    EXPECT_TRUE(context) << context.error().message;
    return std::make_shared<TlsPeer>(*context, name);
  }
  // As the server's certificate says.
  std::shared_ptr<TlsPeer> Peer() { return Peer({.ca = ca_.certificate()}, "engine.test"); }

  Response Call(const Destination& destination, const std::string& body = "") {
    threads_[0].Run([this] {
      if (!client_) client_ = std::make_unique<HttpClient>(threads_[0], client_options_);
    });
    return RunTask<Response>(threads_[0],
                             [&]() -> Task<Response> { return CallTask(destination, body); });
  }
  Task<Response> CallTask(const Destination& destination, const std::string& body) {
    HttpCall call(*client_);
    const RequestHead head("POST", "/", "host");
    const std::string_view pieces[] = {body};
    const Seconds deadline = system::MonotonicNow() + kLong;
    Response response;
    response.error = co_await call.Start(destination, head, pieces, deadline);
    response.reused = call.reused();
    while (response.error == CallError::kNone) {
      const HttpCall::Piece piece = co_await call.ReadSome(deadline);
      response.error = piece.error;
      response.body += piece.data;
      if (piece.last) break;
    }
    response.fault = call.Fault();
    co_return response;
  }
  Response CallServer(std::shared_ptr<TlsPeer> peer, const std::string& body = "") {
    const Destination destination(server_->address(), std::move(peer));
    return Call(destination, body);
  }
  void CloseIdle() {
    threads_[0].Run([this] { client_->CloseIdle(); });
  }

  TestCa ca_;
  TestCertificate good_ = ca_.Issue("DNS:engine.test");
  HttpServerOptions server_options_;
  HttpClientOptions client_options_;
  IoThreads threads_{2};
  std::unique_ptr<HttpServer> server_;
  std::unique_ptr<HttpClient> client_;
};

}  // namespace headrace::net
