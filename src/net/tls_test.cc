#include "net/tls.h"

#include <gmock/gmock.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <functional>
#include <future>
#include <map>
#include <optional>
#include <thread>
#include <vector>

#include "net/http_client.h"
#include "net/http_server.h"
#include "net/test_certificates.h"
#include "net/test_peers.h"
#include "system/clock.h"

namespace headrace::net {
namespace {

using ::testing::HasSubstr;

constexpr Seconds kLong = 30;

struct Response {
  CallError error = CallError::kNone;
  std::string fault;
  std::string body;
  bool reused = false;
};

std::string Letters(std::size_t size) {
  std::string text(size, '\0');
  for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>('a' + i * i % 23);
  return text;
}

Task<void> Echo(HttpExchange& exchange) {
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

// --- The server's end

class TlsServerTest : public TlsTest {
 protected:
  // Handshakes that end with the server are counted, too.
  ~TlsServerTest() override { server_.reset(); }
  // Counts what handshakes come to nothing.
  void Listen(const TlsContext::Options& options, int most = TlsServer::kMostHandshakes,
              Seconds grace = 600) {
    tls_ = std::make_shared<TlsServer>(
        *TlsContext::ForServer(options),
        [this](std::string_view why) {
          const system::MutexLock lock(mutex_);
          ++faults_[std::string(why)];
        },
        most, grace);
    server_options_.stream_factory = tls_->Streams();
    server_ = std::move(
        *HttpServer::Listen(threads_, AnyLoopbackPort(), server_options_, HttpHandler(Echo)));
  }
  // Until so many handshakes are under way.
  void AwaitConnections(int count) {
    while (server_->connections() < count) std::this_thread::yield();
    // They are counted before they reach their threads.
    for (const int thread : {0, 1}) threads_[thread].Run([] {});
  }
  std::map<std::string, int> Faults() {
    const system::MutexLock lock(mutex_);
    return faults_;
  }
  // Once the server has closed all connections.
  std::map<std::string, int> FaultsAtTheEnd() {
    while (server_->connections() > 0) std::this_thread::yield();
    return Faults();
  }
  // What a client with this setting of OpenSSL comes to: "" or why it was refused.
  std::string Shake(const std::function<void(SSL_CTX*)>& set) {
    SSL_CTX* const context = SSL_CTX_new(TLS_client_method());
    set(context);
    RawPeer peer(server_->address());
    SSL* const ssl = SSL_new(context);
    SSL_set_fd(ssl, peer.descriptor());
    std::string fault;
    if (SSL_connect(ssl) != 1) fault = ERR_reason_error_string(ERR_get_error());
    ERR_clear_error();
    SSL_free(ssl);
    SSL_CTX_free(context);
    return fault;
  }

  std::shared_ptr<TlsServer> tls_;
  system::Mutex mutex_;
  std::map<std::string, int> faults_ HEADRACE_GUARDED_BY(mutex_);
};

TEST_F(TlsServerTest, PlainHttpIsAnsweredInPlainTextAndCounted) {
  Listen(OptionsOf(good_));
  RawPeer plain(server_->address());
  plain.Send("POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n12345");
  const std::string answer = plain.ReadAll();
  EXPECT_THAT(answer, ::testing::StartsWith("HTTP/1.1 400 Bad Request\r\n"));
  const std::string body = answer.substr(answer.find("\r\n\r\n") + 4);
  EXPECT_EQ(body, "This port speaks TLS; the URL has to begin with https://\n");
  EXPECT_THAT(answer, HasSubstr("content-length: " + std::to_string(body.size()) + "\r\n"));

  RawPeer other(server_->address());
  other.Send("SSH-2.0-OpenSSH_9.2\r\n");
  EXPECT_THAT(other.ReadAll(), ::testing::Not(HasSubstr("HTTP")));
  EXPECT_EQ(FaultsAtTheEnd(), (std::map<std::string, int>{{"not_tls", 1}, {"plain_http", 1}}));
}

TEST_F(TlsServerTest, AHandshakeThatIsNotFinishedInTimeIsClosedAndHoldsNothingUp) {
  server_options_.head_timeout = 0.05;
  Listen(OptionsOf(good_));
  RawPeer silent(server_->address());
  RawPeer slow(server_->address());
  slow.Send(std::string("\x16\x03\x01\x02", 4));
  EXPECT_EQ(CallServer(Peer(), "a").body, "a") << "two threads, and two handshakes that hang";
  EXPECT_EQ(silent.ReadAll(), "");
  EXPECT_EQ(slow.ReadAll(), "");
  while (Faults()["timed_out"] < 2) std::this_thread::yield();
  RawPeer gone(server_->address());
  gone.Close();
  while (Faults()["closed"] < 1) std::this_thread::yield();
}

TEST_F(TlsServerTest, SoManyHandshakesAreUnderWayAtATimeAndNoMore) {
  server_options_.head_timeout = 600;
  Listen(OptionsOf(good_), 2);
  std::optional<RawPeer> first(server_->address());
  RawPeer second(server_->address());
  AwaitConnections(2);
  RawPeer third(server_->address());
  EXPECT_EQ(third.ReadAll(), "");
  EXPECT_EQ(Faults(), (std::map<std::string, int>{{"too_many", 1}}));
  first.reset();
  while (Faults()["closed"] < 1) std::this_thread::yield();
  EXPECT_EQ(CallServer(Peer(), "a").body, "a") << "there is a place again";
}

TEST_F(TlsServerTest, WhoOnlyConnectsKeepsNobodyOut) {
  server_options_.head_timeout = 600;
  constexpr int kMost = 6;
  Listen(OptionsOf(good_), kMost, 0);
  std::vector<RawPeer> silent;
  for (int i = 0; i < kMost; ++i) silent.emplace_back(server_->address());
  AwaitConnections(kMost);
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(CallServer(Peer(), "a").body, "a");
    CloseIdle();
  }
  EXPECT_EQ(silent[0].ReadAll(), "");
  EXPECT_EQ(Faults(), (std::map<std::string, int>{{"too_many", 1}})) << "the second has its place";
}

TEST_F(TlsServerTest, OldVersionsAndOtherProtocolsAreRefused) {
  Listen(OptionsOf(good_));
  const auto version = [](int most) {
    return [most](SSL_CTX* context) {
      SSL_CTX_set_security_level(context, 0);
      SSL_CTX_set_min_proto_version(context, TLS1_VERSION);
      SSL_CTX_set_max_proto_version(context, most);
    };
  };
  EXPECT_NE(Shake(version(TLS1_1_VERSION)), "");
  EXPECT_EQ(Shake(version(TLS1_2_VERSION)), "");
  EXPECT_EQ(Shake(version(TLS1_3_VERSION)), "");
  const auto offer = [](std::string_view protocols) {
    return [protocols](SSL_CTX* context) {
      SSL_CTX_set_alpn_protos(context, reinterpret_cast<const unsigned char*>(protocols.data()),
                              static_cast<unsigned>(protocols.size()));
    };
  };
  EXPECT_THAT(Shake(offer("\x02h2")), HasSubstr("no application protocol"));
  EXPECT_EQ(Shake(offer("\x02h2\x08http/1.1")), "");
  EXPECT_EQ(FaultsAtTheEnd()["not_offered"], 2);
}

TEST_F(TlsServerTest, WhyAClientsCertificateIsNotTakenIsCounted) {
  TlsContext::Options asking = OptionsOf(good_);
  asking.ca = ca_.certificate();
  Listen(asking);
  EXPECT_NE(CallServer(Peer()).error, CallError::kNone);
  TlsContext::Options foreign = OptionsOf(TestCa("another CA").Issue("DNS:gateway.test"));
  foreign.ca = ca_.certificate();
  EXPECT_NE(CallServer(Peer(foreign, "engine.test")).error, CallError::kNone);
  EXPECT_NE(CallServer(Peer({.ca = TestCa("x").certificate()}, "engine.test")).error,
            CallError::kNone);
  EXPECT_EQ(FaultsAtTheEnd(),
            (std::map<std::string, int>{
                {"bad_certificate", 1}, {"no_certificate", 1}, {"not_trusted_by", 1}}));
}

TEST_F(TlsServerTest, AnotherCertificateIsShownFromNowOnAndOpenConnectionsGoOn) {
  Listen(OptionsOf(good_));
  const auto peer = Peer();
  EXPECT_EQ(CallServer(peer, "a").body, "a");
  const TestCa other("another CA");
  const TestCertificate renewed = other.Issue("DNS:engine.test");
  tls_->Exchange(*TlsContext::ForServer(OptionsOf(renewed)));
  const Response same = CallServer(peer, "b");
  EXPECT_EQ(same.body, "b");
  EXPECT_TRUE(same.reused);
  EXPECT_EQ(CallServer(Peer({.ca = other.certificate()}, "engine.test"), "c").body, "c");
  CloseIdle();
  EXPECT_EQ(CallServer(peer).error, CallError::kTlsFailed)
      << "its session was one of the certificate before";
}

// Each costs some bytes, and work: without a bound its sender would have a thread for itself, and
// the answers that it does not read would fill the memory.
TEST_F(TlsServerTest, APeerThatOnlyUpdatesItsKeysIsCutOff) {
  server_options_.idle_timeout = 600;
  Listen(OptionsOf(good_));
  SSL_CTX* const context = SSL_CTX_new(TLS_client_method());
  RawPeer peer(server_->address());
  SSL* const ssl = SSL_new(context);
  SSL_set_fd(ssl, peer.descriptor());
  ASSERT_EQ(SSL_connect(ssl), 1);
  // Gathered first, so that there is always more to read. With a request between them each is read.
  BIO* const gathered = BIO_new(BIO_s_mem());
  SSL_set0_wbio(ssl, gathered);
  const auto update = [&](int times) {
    for (int i = 0; i < times; ++i) {
      ASSERT_EQ(SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED), 1);
      ASSERT_EQ(SSL_do_handshake(ssl), 1);
    }
    char* bytes = nullptr;
    const long size = BIO_get_mem_data(gathered, &bytes);
    peer.Send({bytes, static_cast<std::size_t>(size)});
    BIO_reset(gathered);
  };
  update(100);
  constexpr std::string_view kRequest = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
  ASSERT_GT(SSL_write(ssl, kRequest.data(), static_cast<int>(kRequest.size())), 0);
  update(100);
  char answer[1000];
  EXPECT_GT(SSL_read(ssl, answer, sizeof(answer)), 0) << "some are allowed";
  update(20'000);
  peer.ReadAll();
  while (server_->connections() > 0) std::this_thread::yield();
  SSL_free(ssl);
  SSL_CTX_free(context);
}

TEST_F(TlsServerTest, ItIsKnownWhenTheCertificateEnds) {
  const auto context = TlsContext::ForServer(OptionsOf(ca_.Issue("DNS:engine.test", 7200)));
  EXPECT_NEAR((*context)->ends(), system::UnixNow() + 7200, 60);
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
