#include "admin/admin_access.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <thread>

#include "admin/admin_server.h"
#include "gateway/test_gateway.h"
#include "net/test_certificates.h"
#include "net/test_tls_call.h"

namespace headrace::admin {
namespace {

using gateway::HttpResponse;
using testing::HasSubstr;

constexpr const char* kToken = "0123456789abcdef-one";

class AdminAccessTest : public testing::Test {
 protected:
  AdminAccessTest() {
    t_.AddEngine("a10");
    t_.Start();
  }
  void Start(const config::AdminConfig& config) {
    auto started = AdminServer::Start(config, *t_.gateway, t_.registry);
    ASSERT_TRUE(started) << started.error().message;
    admin_ = std::move(*started);
  }
  config::AdminConfig WithToken(const std::string& address = "127.0.0.1:0") const {
    t_.folder.Write("admin.token", std::string(kToken) + "\n");
    config::AdminConfig config(address);
    config.token_file = (t_.folder.path() / "admin.token").string();
    return config;
  }
  system::SocketAddress address() const {
    return *system::Resolve({"127.0.0.1", admin_->address().port()});
  }
  HttpResponse Send(const std::string& method, const std::string& target,
                    const std::vector<std::string>& headers = {},
                    const std::string& host = "localhost") const {
    net::RawPeer peer(address());
    std::string text = method + " " + target + " HTTP/1.1\r\nHost: " + host + "\r\n";
    for (const std::string& header : headers) text += header + "\r\n";
    peer.Send(text + "Content-Length: 0\r\n\r\n");
    return gateway::ReadResponse(peer);
  }
  int Status(const std::string& target, const std::vector<std::string>& headers = {},
             const std::string& host = "localhost") const {
    return Send("GET", target, headers, host).status;
  }
  static std::string Bearer(const std::string& token) { return "Authorization: Bearer " + token; }
  double Refused(const std::string& reason) const {
    return t_.Metric("headrace_admin_refused_total{reason=\"" + reason + "\"}");
  }

  gateway::TestGateway t_;
  std::unique_ptr<AdminServer> admin_;
};

TEST_F(AdminAccessTest, ATokenLetsInAndNothingElseDoes) {
  Start(WithToken());
  for (const char* page : {"/", "/status", "/metrics", "/explain/x", "/debug/record", "/nothing"}) {
    EXPECT_EQ(Status(page), 401) << page;
  }
  EXPECT_EQ(Send("POST", "/-/drain").status, 401);
  EXPECT_EQ(Status("/healthz"), 200);
  EXPECT_EQ(Status("/readyz"), 200);
  EXPECT_EQ(Status("/status", {Bearer(kToken)}), 200);
  EXPECT_EQ(Status("/status", {"authorization: bearer   " + std::string(kToken) + " "}), 200);
  for (const std::string& wrong :
       {Bearer(""), Bearer("0123456789abcdef-on"), Bearer("0123456789abcdef-onE"),
        Bearer(std::string(kToken) + "x"), "X-API-Key: " + std::string(kToken),
        "Authorization: " + std::string(kToken)}) {
    EXPECT_EQ(Status("/status", {wrong}), 401) << wrong;
  }
  EXPECT_EQ(Refused("token"), 13);
  EXPECT_EQ(t_.Chat(gateway::ChatBody(1, false)).status, 200) << "nothing was drained";
}

// A browser asks for a user and a password when it is told so.
TEST_F(AdminAccessTest, ABrowserSendsTheTokenAsAPassword) {
  Start(WithToken());
  const HttpResponse asked = Send("GET", "/");
  EXPECT_EQ(asked.status, 401);
  EXPECT_THAT(asked.head, HasSubstr("www-authenticate: Basic realm=\"Headrace admin\""));
  EXPECT_THAT(asked.head, HasSubstr("www-authenticate: Bearer"));
  // any:0123456789abcdef-one
  EXPECT_EQ(Status("/", {"Authorization: Basic YW55OjAxMjM0NTY3ODlhYmNkZWYtb25l"}), 200);
  // any:0123456789abcdef-onE; without a colon; no base64.
  for (const char* wrong :
       {"YW55OjAxMjM0NTY3ODlhYmNkZWYtb25F", "MDEyMzQ1Njc4OWFiY2RlZi1vbmU=", "*"}) {
    EXPECT_EQ(Status("/", {"Authorization: Basic " + std::string(wrong)}), 401) << wrong;
  }
}

TEST_F(AdminAccessTest, TheFileOfTokensIsReadAgain) {
  Start(WithToken());
  const std::string second = "fedcba9876543210-two";
  const auto look = [this] {
    t_.gateway->RefreshFiles();
    t_.gateway->RefreshFiles();
  };
  t_.folder.Write("admin.token", std::string(kToken) + "\n\n " + second + "\n");
  look();
  EXPECT_EQ(Status("/status", {Bearer(kToken)}), 200);
  EXPECT_EQ(Status("/status", {Bearer(second)}), 200);
  t_.folder.Write("admin.token", second);
  look();
  EXPECT_EQ(Status("/status", {Bearer(kToken)}), 401);
  EXPECT_EQ(Status("/status", {Bearer(second)}), 200);
  t_.folder.Write("admin.token", "short");
  look();
  EXPECT_EQ(Status("/status", {Bearer("short")}), 401);
  const HttpResponse status = Send("GET", "/status", {Bearer(second)});
  EXPECT_THAT(status.body, HasSubstr("admin.token:1: a token has at least 16 characters"));
  EXPECT_TRUE(t_.Said("the admin tokens stay as they were"));
  EXPECT_FALSE(t_.Said(second));
  EXPECT_THAT(status.body, testing::Not(HasSubstr(second)));
}

TEST_F(AdminAccessTest, WhoseTokenIsTakenBackSeesNoMore) {
  Start(WithToken());
  net::RawPeer page(address());
  page.Send("GET /live HTTP/1.1\r\nHost: localhost\r\n" + Bearer(kToken) + "\r\n\r\n");
  EXPECT_THAT(page.ReadUntil("event: status"), HasSubstr("200 OK"));
  t_.folder.Write("admin.token", "fedcba9876543210-two");
  t_.gateway->RefreshFiles();
  t_.gateway->RefreshFiles();
  EXPECT_THAT(page.ReadUntil("\r\n0\r\n\r\n"), testing::EndsWith("\r\n0\r\n\r\n"));
}

// It is on a file system that hangs, say.
TEST_F(AdminAccessTest, AFileThatCannotBeReadToItsEndHoldsNobodyUp) {
  const config::AdminConfig config = WithToken();
  Start(config);
  std::filesystem::remove(config.token_file);
  ASSERT_EQ(mkfifo(config.token_file.c_str(), 0600), 0);
  std::atomic<bool> read = false;
  std::thread reader([&] {
    t_.gateway->RefreshFiles();
    read = true;
  });
  int writer = -1;
  EXPECT_TRUE(gateway::Eventually([&] {
    writer = open(config.token_file.c_str(), O_WRONLY | O_NONBLOCK);  // Once somebody reads.
    return writer >= 0;
  }));
  EXPECT_EQ(Status("/status", {Bearer(kToken)}), 200);
  EXPECT_FALSE(read);
  close(writer);
  reader.join();
}

TEST_F(AdminAccessTest, WhoWouldLetEverybodyInDoesNotStart) {
  const auto error = [this](const config::AdminConfig& config) {
    const auto started = AdminServer::Start(config, *t_.gateway, t_.registry);
    return started ? std::string() : started.error().message;
  };
  EXPECT_THAT(error(":0"), HasSubstr("is reached from other machines, and asks nobody"));
  config::AdminConfig config = WithToken(":0");
  EXPECT_EQ(error(config), "");
  t_.folder.Write("admin.token", " \n");
  EXPECT_THAT(error(config), HasSubstr("has no token; make one by `openssl rand"));
  config.token_file += ".gone";
  EXPECT_THAT(error(config), HasSubstr("admin.token.gone"));
}

TEST_F(AdminAccessTest, ProbesAndMetricsMayBeOpenAndTheRestIsNot) {
  config::AdminConfig config(":0");
  config.open = config::AdminConfig::Open::kMetrics;
  Start(config);
  for (const char* open : {"/healthz", "/readyz", "/metrics"}) EXPECT_EQ(Status(open), 200) << open;
  for (const char* closed : {"/", "/status", "/explain/x", "/debug/record"}) {
    EXPECT_EQ(Status(closed), 403) << closed;
  }
  EXPECT_EQ(Send("POST", "/-/drain").status, 403);
  EXPECT_EQ(Refused("closed"), 5);
  config = WithToken(":0");
  config.open = config::AdminConfig::Open::kMetrics;
  Start(config);
  EXPECT_EQ(Status("/metrics"), 200);
  EXPECT_EQ(Status("/status"), 401);
  EXPECT_EQ(Status("/status", {Bearer(kToken)}), 200);
  config = config::AdminConfig(":0");
  config.open = config::AdminConfig::Open::kAll;
  Start(config);
  EXPECT_EQ(Status("/status"), 200);
}

// A name of another site that leads to this machine.
TEST_F(AdminAccessTest, ALocalAddressIsServedUnderItsOwnNamesAlone) {
  Start("127.0.0.1:0");
  for (const char* ours : {"localhost", "localhost:9090", "127.0.0.1:9090", "[::1]:9090",
                           "10.0.0.7", "gateway.localhost"}) {
    EXPECT_EQ(Status("/status", {}, ours), 200) << ours;
  }
  for (const char* theirs :
       {"evil.example", "evil.example:9090", "localhost.evil.example", "127.0.0.1.evil.example"}) {
    EXPECT_EQ(Status("/status", {}, theirs), 403) << theirs;
    EXPECT_EQ(Send("POST", "/-/drain", {}, theirs).status, 403) << theirs;
  }
  // A token is nothing that such a page has.
  Start(WithToken());
  EXPECT_EQ(Status("/status", {Bearer(kToken)}, "gateway.example"), 200);
}

TEST_F(AdminAccessTest, APageOfAnotherSiteChangesNothingEvenWithTheToken) {
  Start(WithToken());
  const std::string drain = "/-/drain?endpoint=" + t_.engines[0]->address().ToString();
  const auto post = [&](const std::string& header) {
    return Send("POST", drain, {Bearer(kToken), header}).status;
  };
  for (const char* header :
       {"Origin: https://evil.example", "Origin: null", "Origin: http://127.0.0.1:1",
        "Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: same-site"}) {
    EXPECT_EQ(post(header), 403) << header;
    EXPECT_EQ(Status("/debug/record?duration=1ms", {Bearer(kToken), header}), 403) << header;
  }
  EXPECT_EQ(Status("/", {Bearer(kToken), "Sec-Fetch-Site: cross-site"}), 200) << "a link there";
  EXPECT_EQ(Status("/-/drain", {Bearer(kToken)}), 405) << "changes need POST";
  EXPECT_EQ(t_.Chat(gateway::ChatBody(5, false)).status, 200);
  EXPECT_EQ(post("Origin: http://localhost"), 200);
}

TEST_F(AdminAccessTest, AClientsCertificateLetsInWhereACaIsGiven) {
  const net::TestCa ca;
  const net::TestCertificate own = ca.Issue("IP:127.0.0.1");
  t_.folder.Write("admin.pem", own.certificate);
  t_.folder.Write("admin-key.pem", own.key);
  t_.folder.Write("clients.pem", ca.certificate());
  config::AdminConfig config(":0");
  config.certificate = (t_.folder.path() / "admin.pem").string();
  config.key = (t_.folder.path() / "admin-key.pem").string();
  config.client_ca = (t_.folder.path() / "clients.pem").string();
  Start(config);
  const net::TestCertificate client = ca.Issue("DNS:operator");
  const auto with = net::CallOverTls(
      address(), {.ca = ca.certificate(), .certificate = client.certificate, .key = client.key},
      "GET", "/status");
  EXPECT_EQ(with.status, 200) << with.fault;
  EXPECT_THAT(with.body, HasSubstr("\"admin.certificate\""));
  EXPECT_NE(net::CallOverTls(address(), {.ca = ca.certificate()}, "GET", "/healthz").error,
            net::CallError::kNone);
}

}  // namespace
}  // namespace headrace::admin
