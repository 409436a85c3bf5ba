#include "gateway/listener_tls.h"

#include <gmock/gmock.h>

#include "gateway/test_gateway.h"
#include "gateway/test_recording_engine.h"
#include "net/test_certificates.h"
#include "net/test_tls_call.h"

namespace headrace::gateway {
namespace {

using testing::HasSubstr;

// A gateway whose listener speaks TLS.
class ListenerTlsTest : public testing::Test {
 protected:
  ListenerTlsTest() {
    t_.config.listen.certificate = (t_.folder.path() / "gateway.pem").string();
    t_.config.listen.key = (t_.folder.path() / "gateway-key.pem").string();
    Write(ca_.Issue("IP:127.0.0.1"));
  }
  void Write(const net::TestCertificate& own) {
    t_.folder.Write("gateway.pem", own.certificate);
    t_.folder.Write("gateway-key.pem", own.key);
  }
  // As the loop that follows files does.
  void Look() { t_.gateway->RefreshFiles(); }
  net::TlsAnswer Ask(const net::TestCa& trusted, net::TlsContext::Options own = {},
                     const std::string& server = "127.0.0.1") const {
    own.ca = trusted.certificate();
    return net::CallOverTls(t_.address(), own, "GET", "/version", {}, "", server);
  }
  net::TlsAnswer AskFor(const std::string& server) const { return Ask(ca_, {}, server); }
  // A pair in the folder, as the configuration names it.
  config::CertificateConfig Pair(const std::string& name, const net::TestCertificate& own) {
    t_.folder.Write(name + ".pem", own.certificate);
    t_.folder.Write(name + "-key.pem", own.key);
    return {.certificate = (t_.folder.path() / (name + ".pem")).string(),
            .key = (t_.folder.path() / (name + "-key.pem")).string()};
  }
  // What needs a restart of this change.
  std::vector<std::string> Apply(const config::Config& config) {
    const auto waiting = t_.gateway->Apply(config);
    EXPECT_TRUE(waiting) << waiting.error().message;
    return waiting.value_or(std::vector<std::string>());
  }

  TestGateway t_;
  net::TestCa ca_;
};

TEST_F(ListenerTlsTest, ServesOverTlsAndTellsEnginesSo) {
  RecordingEngine engine;
  t_.AddEndpoint("a10", engine.address());
  t_.Start();
  const auto answer =
      net::CallOverTls(t_.address(), {.ca = ca_.certificate()}, "POST", "/v1/chat/completions",
                       {{"content-type", "application/json"}}, ChatBody(5, false));
  EXPECT_EQ(answer.status, 200) << answer.fault;
  EXPECT_THAT(engine.Posts()[0].fields, HasSubstr("x-forwarded-proto: https"));
  EXPECT_THAT(Get(t_.address(), "/version").body, HasSubstr("has to begin with https://"));
  EXPECT_EQ(
      t_.Metric("headrace_tls_failed_handshakes_total{listener=\"listen\",reason=\"plain_http"), 1);
}

TEST_F(ListenerTlsTest, AChangedPairIsShownWithoutARestart) {
  t_.Start();
  EXPECT_EQ(Ask(ca_).status, 200);
  const net::TestCa other("another CA");
  Write(other.Issue("IP:127.0.0.1", 7200));
  Look();
  EXPECT_EQ(Ask(ca_).status, 200) << "it may be half written";
  Look();
  EXPECT_EQ(Ask(ca_).error, net::CallError::kTlsFailed);
  EXPECT_EQ(Ask(other).status, 200);
  EXPECT_NEAR(t_.gateway->Files()[0].ends, system::UnixNow() + 7200, 60);
  EXPECT_NEAR(t_.Metric("headrace_tls_certificate_not_after_timestamp_seconds"),
              system::UnixNow() + 7200, 60);
}

// As Kubernetes exchanges what is in a Secret: by a symbolic link to another folder.
TEST_F(ListenerTlsTest, ALinkThatLeadsElsewhereIsFollowed) {
  const std::filesystem::path folder = t_.folder.path();
  const net::TestCa other("another CA");
  const auto put = [&](const std::string& name, const net::TestCertificate& own) {
    std::filesystem::create_directory(folder / name);
    t_.folder.Write(name + "/tls.crt", own.certificate);
    t_.folder.Write(name + "/tls.key", own.key);
    std::filesystem::create_directory_symlink(folder / name, folder / "..data.new");
    std::filesystem::rename(folder / "..data.new", folder / "..data");
  };
  put("one", ca_.Issue("IP:127.0.0.1"));
  t_.config.listen.certificate = (folder / "..data" / "tls.crt").string();
  t_.config.listen.key = (folder / "..data" / "tls.key").string();
  t_.Start();
  EXPECT_EQ(Ask(ca_).status, 200);
  put("two", other.Issue("IP:127.0.0.1"));
  Look();
  Look();
  EXPECT_EQ(Ask(other).status, 200);
}

TEST_F(ListenerTlsTest, ABrokenPairKeepsTheOldOneAndIsSaid) {
  t_.Start();
  t_.folder.Write("gateway-key.pem", ca_.Issue("IP:127.0.0.1").key);
  Look();
  EXPECT_EQ(t_.gateway->Files()[0].fault, "");
  Look();
  EXPECT_EQ(Ask(ca_).status, 200);
  EXPECT_THAT(t_.gateway->Files()[0].fault, HasSubstr("has a key that is not the certificate's"));
  EXPECT_TRUE(t_.Said("what is in force stays as it was: listen.certificate ("));
  std::filesystem::remove(t_.folder.path() / "gateway.pem");
  Look();
  Look();
  EXPECT_THAT(t_.gateway->Files()[0].fault, HasSubstr("gateway.pem"));
  EXPECT_EQ(Ask(ca_).status, 200);
  Write(ca_.Issue("IP:127.0.0.1"));
  Look();
  Look();
  EXPECT_EQ(t_.gateway->Files()[0].fault, "");
}

TEST_F(ListenerTlsTest, ClientsNeedACertificateWhereACaIsGiven) {
  t_.folder.Write("clients.pem", ca_.certificate());
  t_.config.listen.client_ca = (t_.folder.path() / "clients.pem").string();
  t_.Start();
  EXPECT_NE(Ask(ca_).error, net::CallError::kNone);
  const net::TestCertificate own = ca_.Issue("DNS:client");
  EXPECT_EQ(Ask(ca_, {.certificate = own.certificate, .key = own.key}).status, 200);
  // The CA may change, too.
  const net::TestCa other("another CA");
  const net::TestCertificate theirs = other.Issue("DNS:client");
  t_.folder.Write("clients.pem", other.certificate());
  Look();
  Look();
  EXPECT_EQ(Ask(ca_, {.certificate = theirs.certificate, .key = theirs.key}).status, 200);
  EXPECT_NE(Ask(ca_, {.certificate = own.certificate, .key = own.key}).error,
            net::CallError::kNone);
}

// --- Several certificates

TEST_F(ListenerTlsTest, EachNameHasItsCertificateAndEachIsRenewedByItself) {
  t_.config.listen.certificates = {Pair("sea", ca_.Issue("DNS:sea.test")),
                                   Pair("lake", ca_.Issue("DNS:*.lake.test", 7200))};
  t_.Start();
  EXPECT_EQ(AskFor("sea.test").status, 200);
  EXPECT_EQ(AskFor("blue.lake.test").status, 200);
  EXPECT_EQ(AskFor("127.0.0.1").status, 200) << "no name is asked for";
  EXPECT_THAT(AskFor("nowhere.test").fault, HasSubstr("is not for nowhere.test"));

  Pair("sea", {"no certificate", "no key"});
  Pair("lake", ca_.Issue("DNS:river.test", 10800));
  Look();
  Look();
  EXPECT_EQ(AskFor("sea.test").status, 200) << "the old one";
  EXPECT_EQ(AskFor("river.test").status, 200);
  EXPECT_THAT(AskFor("blue.lake.test").fault, HasSubstr("is not for blue.lake.test"));
  const std::vector<FollowedStatus> files = t_.gateway->Files();
  ASSERT_EQ(files.size(), 3);
  EXPECT_EQ(files[0].fault, "");
  EXPECT_THAT(files[1].option, testing::MatchesRegex("listen.certificates\\[.*sea.pem\\]"));
  EXPECT_THAT(files[1].fault, HasSubstr("sea-key.pem) has a certificate file without a"));
  EXPECT_EQ(files[2].fault, "");
  EXPECT_NEAR(files[2].ends, system::UnixNow() + 10800, 60);
  EXPECT_NEAR(t_.Metric("headrace_tls_certificate_not_after_timestamp_seconds"),
              system::UnixNow() + 3600, 60)
      << "the first that ends";
}

TEST_F(ListenerTlsTest, ACertificateThatNobodyCouldAskForIsAFault) {
  t_.config.listen.certificates = {Pair("sea", ca_.Issue("IP:10.0.0.7"))};
  const auto checked = ListenerTls::CheckFiles(t_.config);
  ASSERT_FALSE(checked);
  EXPECT_THAT(checked.error().message, HasSubstr("sea-key.pem) is for no host's name"));
}

// --- Other files

TEST_F(ListenerTlsTest, AnotherConfigurationBringsOtherCertificatesWithoutARestart) {
  t_.Start();
  const net::TestCa other("another CA");
  const config::CertificateConfig own = Pair("other", other.Issue("IP:127.0.0.1"));
  t_.config.listen.certificate = own.certificate;
  t_.config.listen.key = own.key;
  t_.config.listen.certificates = {Pair("sea", other.Issue("DNS:sea.test"))};
  EXPECT_THAT(Apply(t_.config), testing::IsEmpty());
  EXPECT_EQ(Ask(ca_).error, net::CallError::kTlsFailed);
  EXPECT_EQ(Ask(other).status, 200);
  EXPECT_EQ(Ask(other, {}, "sea.test").status, 200);
  // They are followed, and the old ones are not.
  Pair("sea", other.Issue("DNS:ocean.test"));
  Write({"no certificate", "no key"});
  Look();
  Look();
  EXPECT_EQ(Ask(other, {}, "ocean.test").status, 200);
  for (const FollowedStatus& file : t_.gateway->Files()) EXPECT_EQ(file.fault, "");
  t_.config.listen.certificates.clear();
  EXPECT_THAT(Apply(t_.config), testing::IsEmpty());
  EXPECT_EQ(Ask(other, {}, "ocean.test").error, net::CallError::kTlsFailed);
  EXPECT_EQ(t_.gateway->Files().size(), 1);
}

TEST_F(ListenerTlsTest, AConfigurationWithAFaultyPairChangesNothing) {
  t_.Start();
  t_.config.listen.certificates = {Pair("sea", {"no certificate", "no key"})};
  t_.config.limits.connections = 100;
  const auto applied = t_.gateway->Apply(t_.config);
  ASSERT_FALSE(applied);
  EXPECT_THAT(applied.error().message, HasSubstr("listen.certificates["));
  EXPECT_NE(t_.gateway->config()->limits.connections, 100);
  EXPECT_EQ(Ask(ca_).status, 200);
}

// What is broken on the disk has been said; it does not hold up what else changes.
TEST_F(ListenerTlsTest, APairThatBrokeBeforeKeepsWhatItHasWhenOthersCome) {
  t_.Start();
  Write({"no certificate", "no key"});
  Look();
  Look();
  t_.config.listen.certificates = {Pair("sea", ca_.Issue("DNS:sea.test"))};
  EXPECT_THAT(Apply(t_.config), testing::IsEmpty());
  EXPECT_EQ(Ask(ca_).status, 200);
  EXPECT_EQ(AskFor("sea.test").status, 200);
  EXPECT_THAT(t_.gateway->Files()[0].fault, HasSubstr("without a certificate"));
}

TEST_F(ListenerTlsTest, WhetherThereIsTlsOrClientsAreAskedForCertificatesNeedsARestart) {
  t_.folder.Write("clients.pem", ca_.certificate());
  t_.Start();
  config::Config asking = t_.config;
  asking.listen.client_ca = (t_.folder.path() / "clients.pem").string();
  EXPECT_THAT(Apply(asking), testing::ElementsAre("listen.client_ca"));
  EXPECT_EQ(Ask(ca_).status, 200);
  config::Config plain = t_.config;
  plain.listen = t_.config.listen.address;
  EXPECT_THAT(Apply(plain), testing::ElementsAre("listen.certificate", "listen.key"));
  EXPECT_EQ(Ask(ca_).status, 200);
}

TEST_F(ListenerTlsTest, AnotherConfigurationKeepsTheListenersTls) {
  t_.Start();
  t_.config.limits.connections = 100;
  ASSERT_TRUE(t_.gateway->Apply(t_.config));
  EXPECT_EQ(Ask(ca_).status, 200);
}

TEST_F(ListenerTlsTest, WhatCannotBeReadStopsTheStart) {
  t_.folder.Write("gateway.pem", "no certificate");
  const auto started = Gateway::Start(t_.config, t_.log, t_.registry);
  ASSERT_FALSE(started);
  EXPECT_THAT(started.error().message,
              HasSubstr("has a certificate file without a certificate in PEM form"));
}

}  // namespace
}  // namespace headrace::gateway
