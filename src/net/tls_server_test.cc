#include "net/tls_server.h"

#include <gmock/gmock.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <functional>
#include <map>
#include <optional>
#include <thread>
#include <vector>

#include "net/test_tls.h"

namespace headrace::net {
namespace {

using ::testing::HasSubstr;

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

  // A server with these further certificates, each for its names.
  void ListenWith(const std::vector<TestCertificate>& others, const std::string& ca = "") {
    const auto options = [&ca](const TestCertificate& own) {
      return TlsContext::Options{.ca = ca, .certificate = own.certificate, .key = own.key};
    };
    std::vector<std::shared_ptr<const TlsContext>> contexts;
    for (const TestCertificate& other : others) {
      contexts.push_back(*TlsContext::ForServer(options(other)));
    }
    server_options_.stream_factory =
        TlsServerStreams(*TlsContext::ForServer(options(good_), std::move(contexts)));
    server_ = std::move(
        *HttpServer::Listen(threads_, AnyLoopbackPort(), server_options_, HttpHandler(Echo)));
  }
  // The first name of the certificate that a client is shown which asks for this name, or for none.
  std::string ShownFor(const char* name) {
    SSL_CTX* const context = SSL_CTX_new(TLS_client_method());
    RawPeer peer(server_->address());
    SSL* const ssl = SSL_new(context);
    SSL_set_fd(ssl, peer.descriptor());
    if (name != nullptr) SSL_set_tlsext_host_name(ssl, name);
    std::string shown = "none";
    if (SSL_connect(ssl) == 1) {
      GENERAL_NAMES* const names = static_cast<GENERAL_NAMES*>(
          X509_get_ext_d2i(SSL_get0_peer_certificate(ssl), NID_subject_alt_name, nullptr, nullptr));
      const ASN1_STRING* const first = sk_GENERAL_NAME_value(names, 0)->d.dNSName;
      shown.assign(reinterpret_cast<const char*>(ASN1_STRING_get0_data(first)),
                   static_cast<std::size_t>(ASN1_STRING_length(first)));
      GENERAL_NAMES_free(names);
    }
    SSL_free(ssl);
    SSL_CTX_free(context);
    return shown;
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

// --- Several certificates

TEST_F(TlsServerTest, AClientIsShownTheCertificateOfTheNameThatItAsksFor) {
  ListenWith({ca_.Issue("DNS:*.lake.test"), ca_.Issue("DNS:Sea.test,DNS:ocean.test"),
              ca_.Issue("DNS:deep.lake.test"), ca_.Issue("DNS:late.test,DNS:ocean.test")});
  for (const auto& [asked, shown] : {std::pair{"engine.test", "engine.test"},
                                     {"sea.test", "Sea.test"},
                                     {"SEA.test", "Sea.test"},
                                     {"ocean.test", "Sea.test"},
                                     {"late.test", "late.test"},
                                     {"blue.lake.test", "*.lake.test"},
                                     {"deep.lake.test", "deep.lake.test"},
                                     {"very.deep.lake.test", "engine.test"},
                                     {"lake.test", "engine.test"},
                                     {"test", "engine.test"},
                                     {"nowhere.test", "engine.test"},
                                     {static_cast<const char*>(nullptr), "engine.test"}}) {
    EXPECT_EQ(ShownFor(asked), shown) << (asked == nullptr ? "no name" : asked);
  }
}

TEST_F(TlsServerTest, AClientsCertificateIsAskedForUnderEveryName) {
  ListenWith({ca_.Issue("DNS:sea.test")}, ca_.certificate());
  const TestCertificate own = ca_.Issue("DNS:client.test");
  const TestCertificate foreign = TestCa("another CA").Issue("DNS:client.test");
  for (const std::string name : {"engine.test", "sea.test"}) {
    EXPECT_NE(CallServer(Peer({.ca = ca_.certificate()}, name)).error, CallError::kNone) << name;
    EXPECT_NE(
        CallServer(
            Peer({.ca = ca_.certificate(), .certificate = foreign.certificate, .key = foreign.key},
                 name))
            .error,
        CallError::kNone)
        << name;
    EXPECT_EQ(
        CallServer(
            Peer({.ca = ca_.certificate(), .certificate = own.certificate, .key = own.key}, name),
            "a")
            .body,
        "a")
        << name;
  }
}

TEST_F(TlsServerTest, SessionsAreResumedUnderEveryName) {
  ListenWith({ca_.Issue("DNS:sea.test")});
  const auto peer = Peer({.ca = ca_.certificate()}, "sea.test");
  EXPECT_EQ(CallServer(peer, "a").body, "a");
  CloseIdle();
  ssl_session_st* const session = peer->Session();
  ASSERT_NE(session, nullptr);
  SSL_CTX* const context = SSL_CTX_new(TLS_client_method());
  RawPeer raw(server_->address());
  SSL* const ssl = SSL_new(context);
  SSL_set_fd(ssl, raw.descriptor());
  SSL_set_tlsext_host_name(ssl, "sea.test");
  SSL_set_session(ssl, session);
  ASSERT_EQ(SSL_connect(ssl), 1);
  EXPECT_EQ(SSL_session_reused(ssl), 1);
  SSL_SESSION_free(session);
  SSL_free(ssl);
  SSL_CTX_free(context);
}

TEST_F(TlsServerTest, ItIsKnownWhenTheCertificateEnds) {
  const auto context = TlsContext::ForServer(OptionsOf(ca_.Issue("DNS:engine.test", 7200)));
  EXPECT_NEAR((*context)->ends(), system::UnixNow() + 7200, 60);
}

}  // namespace
}  // namespace headrace::net
