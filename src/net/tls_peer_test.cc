#include "net/tls_peer.h"

#include <gmock/gmock.h>
#include <openssl/ssl.h>

#include <future>
#include <string>
#include <thread>
#include <vector>

#include "net/test_tls.h"

namespace headrace::net {
namespace {

using ::testing::HasSubstr;

TEST_F(TlsTest, CarriesWholeExchangesOverOneConnection) {
  Serve(Echo);
  const auto peer = Peer();
  const std::string large = Letters(3'000'000);
  const Response first = CallServer(peer, large);
  EXPECT_EQ(first.error, CallError::kNone) << first.fault;
  EXPECT_EQ(first.body, large);
  EXPECT_FALSE(first.reused);
  for (const std::size_t size : {0, 1, 16'383, 16'384, 16'385, 100'000}) {
    const Response next = CallServer(peer, Letters(size));
    EXPECT_EQ(next.body, Letters(size));
    EXPECT_TRUE(next.reused);
  }
  EXPECT_EQ(server_->connections(), 1);
}

TEST_F(TlsTest, CarriesStreamedResponses) {
  const std::string events[] = {Letters(10), Letters(100'000), Letters(3)};
  Serve([&events](HttpExchange& exchange) -> Task<void> {
    const ResponseHead head(200);
    exchange.Start(head);
    co_await exchange.Flush();
    for (const std::string& event : events) co_await exchange.Write(event);
    co_await exchange.Finish();
  });
  const Response response = CallServer(Peer());
  EXPECT_EQ(response.error, CallError::kNone) << response.fault;
  EXPECT_EQ(response.body, events[0] + events[1] + events[2]);
}

TEST_F(TlsTest, AClientThatLeavesIsNoticedWhileItsRequestIsServed) {
  std::promise<void> serving;
  std::promise<void> gone;
  Serve([&](HttpExchange& exchange) -> Task<void> {
    exchange.OnClientGone([&gone] { gone.set_value(); });
    serving.set_value();
    while (!exchange.client_gone()) {
      co_await exchange.thread().SleepUntil(system::MonotonicNow() + kMillisecond);
    }
  });
  threads_[0].Run([this] { client_ = std::make_unique<HttpClient>(threads_[0], client_options_); });
  std::unique_ptr<HttpCall> call;
  threads_[0].Run([&] { call = std::make_unique<HttpCall>(*client_); });
  const Destination destination(server_->address(), Peer());
  auto result = std::async(std::launch::async, [&] {
    return RunTask<CallError>(threads_[0], [&]() -> Task<CallError> {
      const RequestHead head("GET", "/", "host");
      co_return co_await call->Start(destination, head, {}, system::MonotonicNow() + kLong);
    });
  });
  serving.get_future().wait();
  threads_[0].Run([&] { call->Close(); });
  EXPECT_EQ(result.get(), CallError::kClosed);
  gone.get_future().wait();
  threads_[0].Run([&] { call.reset(); });
}

// --- Whom a client trusts

TEST_F(TlsTest, AnIpAddressIsANameToo) {
  Serve(Echo, OptionsOf(ca_.Issue("IP:127.0.0.1")));
  EXPECT_EQ(CallServer(Peer({.ca = ca_.certificate()}, "127.0.0.1"), "a").body, "a");
  EXPECT_EQ(CallServer(Peer({.ca = ca_.certificate()}, "127.0.0.2")).error, CallError::kTlsFailed);
}

TEST_F(TlsTest, WhatIsWrongWithACertificateIsSaid) {
  const auto fault = [this](const TestCertificate& own, const TlsContext::Options& options) {
    Serve(Echo, OptionsOf(own));
    const Response response = CallServer(Peer(options, "engine.test"));
    EXPECT_EQ(response.error, CallError::kTlsFailed);
    return response.fault;
  };
  const TlsContext::Options trusting = {.ca = ca_.certificate()};
  EXPECT_THAT(fault(ca_.Issue("DNS:engine.test", -60), trusting), HasSubstr("has expired"));
  EXPECT_THAT(fault(ca_.Issue("DNS:other.test"), trusting),
              HasSubstr("is not for engine.test; set `tls: { server_name"));
  EXPECT_THAT(fault(TestCa("another CA").Issue("DNS:engine.test"), trusting),
              HasSubstr("signed by a CA that is not known here; give that CA's as `tls: { ca"));
  EXPECT_THAT(fault(good_, {}), HasSubstr("signed by a CA that is not known here"));
}

TEST_F(TlsTest, WithoutVerificationAnyCertificateIsTaken) {
  Serve(Echo, OptionsOf(ca_.Issue("DNS:other.test", -60)));
  EXPECT_EQ(CallServer(Peer({.verify = false}, "engine.test"), "a").body, "a");
}

TEST_F(TlsTest, AServerMayAskForTheClientsCertificate) {
  TlsContext::Options asking = OptionsOf(good_);
  asking.ca = ca_.certificate();
  Serve(Echo, asking);
  const Response without = CallServer(Peer());
  EXPECT_NE(without.error, CallError::kNone);
  EXPECT_THAT(without.fault, HasSubstr("asks for a client's certificate; set `tls: { certificate"));

  TlsContext::Options own = OptionsOf(ca_.Issue("DNS:gateway.test"));
  own.ca = ca_.certificate();
  EXPECT_EQ(CallServer(Peer(own, "engine.test"), "a").body, "a");

  TlsContext::Options foreign = OptionsOf(TestCa("another CA").Issue("DNS:gateway.test"));
  foreign.ca = ca_.certificate();
  const Response refused = CallServer(Peer(foreign, "engine.test"));
  EXPECT_NE(refused.error, CallError::kNone);
  EXPECT_THAT(refused.fault, HasSubstr("does not accept the certificate"));
}

TEST_F(TlsTest, WhatACertificateLacksIsSaid) {
  const auto error = [](const TlsContext::Options& options) {
    const auto made = TlsContext::ForClient(options);
    return made ? "" : made.error().message;
  };
  EXPECT_EQ(error({.ca = "no PEM"}), "has a CA file without a certificate in PEM form");
  EXPECT_EQ(error({.certificate = good_.certificate}), "has a certificate without its key");
  EXPECT_EQ(error({.key = good_.key}), "has a key without a certificate");
  EXPECT_EQ(error({.certificate = good_.certificate, .key = good_.certificate}),
            "has a key file without a private key in PEM form that is not encrypted");
  EXPECT_EQ(error({.certificate = good_.certificate, .key = ca_.Issue("DNS:a").key}),
            "has a key that is not the certificate's");
}

// --- Sessions

TEST_F(TlsTest, ANewConnectionResumesTheSession) {
  Serve(Echo);
  const auto peer = Peer();
  EXPECT_EQ(peer->Session(), nullptr);
  EXPECT_EQ(CallServer(peer, "a").body, "a");
  ssl_session_st* const session = peer->Session();
  ASSERT_NE(session, nullptr) << "the tickets came with the response";
  EXPECT_EQ(SSL_SESSION_is_resumable(session), 1);
  SSL_SESSION_free(session);
  CloseIdle();
  const Response second = CallServer(peer, "b");
  EXPECT_FALSE(second.reused);
  EXPECT_EQ(second.body, "b");
}

TEST_F(TlsTest, ConnectionsArePooledByPeer) {
  Serve(Echo);
  const auto peer = Peer();
  EXPECT_FALSE(CallServer(peer).reused);
  EXPECT_FALSE(CallServer(Peer()).reused) << "another object may trust others";
  EXPECT_TRUE(CallServer(peer).reused);
}

TEST_F(TlsTest, AConnectionCanBeMadeAhead) {
  Serve(Echo);
  const Destination destination(server_->address(), Peer());
  EXPECT_EQ(Call(destination).error, CallError::kNone);
  CloseIdle();
  const auto connect = [&]() -> Task<CallError> {
    HttpCall call(*client_);
    co_return co_await call.Connect(destination, system::MonotonicNow() + kLong);
  };
  EXPECT_EQ(RunTask<CallError>(threads_[0], connect), CallError::kNone);
  EXPECT_TRUE(Call(destination).reused);
  EXPECT_EQ(RunTask<CallError>(threads_[0], connect), CallError::kNone);
  EXPECT_EQ(server_->connections(), 1);
}

// --- Something else than TLS

TEST_F(TlsTest, PlainHttpWhereTlsIsExpectedIsSaid) {
  auto plain = HttpServer::Listen(threads_, AnyLoopbackPort(), {}, Echo);
  ASSERT_TRUE(plain);
  const Destination destination((*plain)->address(), Peer());
  const Response response = Call(destination);
  EXPECT_EQ(response.error, CallError::kTlsFailed);
  EXPECT_EQ(response.fault, "it speaks plain HTTP there; write http:// instead of https://");
}

TEST_F(TlsTest, TlsWherePlainHttpIsExpectedIsSaid) {
  RawListener alerts;
  std::thread answers([&] {
    RawPeer peer = alerts.Accept();
    peer.ReadUntil("\r\n\r\n");
    peer.Send(std::string("\x15\x03\x03\x00\x02\x02\x0a", 7));
  });
  const Response response = Call(alerts.address());
  answers.join();
  EXPECT_EQ(response.error, CallError::kInvalidResponse);
  EXPECT_EQ(response.fault, "it speaks TLS there; write https:// before the address");
}

TEST_F(TlsTest, AConnectionThatClosesInTheHandshakeIsNoConnection) {
  RawListener listener;
  const Destination destination(listener.address(), Peer());
  auto response = std::async(std::launch::async, [&] { return Call(destination, "body"); });
  RawPeer peer = listener.Accept();
  EXPECT_EQ(peer.ReadCount(3), std::string("\x16\x03\x01"));
  peer.Close();
  EXPECT_EQ(response.get().error, CallError::kTlsFailed);
}

TEST_F(TlsTest, TheConnectTimeoutIncludesTheHandshake) {
  client_options_.connect_timeout = 0.05;
  RawListener silent;
  const Destination destination(silent.address(), Peer());
  EXPECT_EQ(Call(destination, "body").error, CallError::kConnectTimeout);
}

// --- The end

// A peer that is cut off must not pass for one that has said all.
TEST_F(TlsTest, AResponseUntilTheEndNeedsTheEndOfTls) {
  // The server answers HTTP/1.0 until the end of the connection; the client sends HTTP/1.1, so a
  // stand-in speaks for it.
  const auto context = TlsContext::ForServer(OptionsOf(good_));
  ASSERT_TRUE(context);
  for (const bool says_end : {true, false}) {
    RawListener listener;
    auto answered = std::async(std::launch::async, [&] {
      RawPeer peer = listener.Accept();
      SSL* const ssl = SSL_new((*context)->get());
      SSL_set_fd(ssl, peer.descriptor());
      ASSERT_EQ(SSL_accept(ssl), 1);
      char request[1000];
      ASSERT_GT(SSL_read(ssl, request, sizeof(request)), 0);
      const std::string_view response = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nall of it";
      SSL_write(ssl, response.data(), static_cast<int>(response.size()));
      if (says_end) SSL_shutdown(ssl);
      peer.Close();
      SSL_free(ssl);
    });
    const Destination destination(listener.address(), Peer());
    const Response response = Call(destination);
    answered.wait();
    EXPECT_EQ(response.error, says_end ? CallError::kNone : CallError::kBroken);
    EXPECT_EQ(response.body, "all of it");
  }
}

}  // namespace
}  // namespace headrace::net
