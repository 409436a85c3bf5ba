#include "cli/admin_client.h"

#include <gmock/gmock.h>

#include "admin/admin_server.h"
#include "gateway/test_gateway.h"
#include "net/test_certificates.h"

namespace headrace::cli {
namespace {

using testing::HasSubstr;

// An admin address with a certificate and a token, as on a network.
class AdminClientTest : public testing::Test {
 protected:
  AdminClientTest() {
    const net::TestCertificate own = ca_.Issue("IP:127.0.0.1");
    Write("own.pem", own.certificate);
    Write("own-key.pem", own.key);
    Write("ca.pem", ca_.certificate());
    Write("token", "0123456789abcdef-token\n");
    Write("other-token", "0123456789abcdef-other\n");
    t_.Start();
    config::AdminConfig config("127.0.0.1:0");
    config.certificate = Path("own.pem");
    config.key = Path("own-key.pem");
    config.token_file = Path("token");
    admin_ = std::move(*admin::AdminServer::Start(config, *t_.gateway, t_.registry));
  }
  void Write(const std::string& name, const std::string& text) { t_.folder.Write(name, text); }
  std::string Path(const std::string& name) { return (t_.folder.path() / name).string(); }
  AdminOptions Options() {
    return {.url = "https://" + admin_->address().ToString(),
            .token_file = Path("token"),
            .ca = Path("ca.pem")};
  }
  // What a call with these ends the program with.
  static std::string FaultOf(const AdminOptions& options) {
    testing::internal::CaptureStderr();
    EXPECT_THROW(MemberOf(AdminClient(options).Get("/status"), "ready"), CLI::RuntimeError);
    return testing::internal::GetCapturedStderr();
  }

  net::TestCa ca_;
  gateway::TestGateway t_;
  std::unique_ptr<admin::AdminServer> admin_;
};

TEST_F(AdminClientTest, ReachesAnAddressWithACertificateAndAToken) {
  AdminClient client(Options());
  EXPECT_EQ(MemberOf(client.Get("/status"), "ready"), false);
  EXPECT_EQ(client.Post("/-/reload").status, 409);
}

TEST_F(AdminClientTest, SaysWhichOptionIsMissing) {
  AdminOptions options = Options();
  options.token_file.clear();
  EXPECT_THAT(FaultOf(options), HasSubstr("without its token; give the file that holds it: "
                                          "--token-file FILE"));
  options.token_file = Path("other-token");
  EXPECT_THAT(FaultOf(options), HasSubstr("with this token; --token-file names another one"));
  options = Options();
  options.ca.clear();
  EXPECT_THAT(FaultOf(options), HasSubstr("give that CA's as --ca FILE"));
  options = Options();
  options.url = admin_->address().ToString();
  EXPECT_THAT(FaultOf(options), HasSubstr("write --admin https://127.0.0.1:"));
}

}  // namespace
}  // namespace headrace::cli
