#include "config/kubeconfig.h"

#include <gmock/gmock.h>

namespace headrace::config {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr std::string_view kFile = R"(apiVersion: v1
kind: Config
current-context: staging
contexts:
  - name: staging
    context: { cluster: c1, user: u1, namespace: inference }
  - name: laptop
    context: { cluster: c2, user: u2 }
  - name: cloud
    context: { cluster: c1, user: u3 }
  - name: broken
    context: { cluster: c1, user: nobody }
clusters:
  - name: c1
    cluster: { server: "https://10.0.0.1:6443", certificate-authority-data: Y2E= }
  - name: c2
    cluster:
      server: https://[fd00::1]:6443
      certificate-authority: pki/ca.crt
      tls-server-name: kubernetes
users:
  - name: u1
    user: { token: the-token }
  - name: u2
    user: { client-certificate: /pki/me.crt, client-key-data: a2V5 }
  - name: u3
    user: { exec: { command: aws } }
)";

TEST(Kubeconfig, ItsCurrentContextCounts) {
  const auto read = ParseKubeconfig(kFile, "/home/me/config", "");
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->server, "https://10.0.0.1:6443");
  EXPECT_EQ(read->ca.text, "ca");
  EXPECT_EQ(read->token.text, "the-token");
  EXPECT_EQ(read->name_space, "inference");
  EXPECT_TRUE(read->verify);
}

TEST(Kubeconfig, FilesAreInItsFolder) {
  const auto read = ParseKubeconfig(kFile, "/home/me/config", "laptop");
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->ca.file, "/home/me/pki/ca.crt");
  EXPECT_EQ(read->certificate.file, "/pki/me.crt");
  EXPECT_EQ(read->key.text, "key");
  EXPECT_EQ(read->server_name, "kubernetes");
  EXPECT_EQ(read->name_space, "default");
}

TEST(Kubeconfig, SaysWhatIsMissing) {
  const auto fault = [](const std::string& context, std::string_view text = kFile) {
    const auto read = ParseKubeconfig(text, "c", context);
    return read ? "" : read.error().message;
  };
  EXPECT_THAT(fault("prod"), HasSubstr("c:5: the kubeconfig has no context \"prod\""));
  EXPECT_THAT(fault("broken"), HasSubstr("has no user \"nobody\" in `users`"));
  EXPECT_THAT(fault("cloud"), HasSubstr("signs in by a program (exec)"));
  EXPECT_THAT(fault("", "{}"), HasSubstr("has no current-context"));
  EXPECT_THAT(fault("", "a: [\n"), HasSubstr("c:"));
  EXPECT_THAT(fault("", "7"), HasSubstr("current-context"));
  const std::string secret = fault("x", R"(contexts: [{ name: x, context: { cluster: x } }]
clusters: [{ name: x, cluster: { server: s, certificate-authority-data: "!secret" } }])");
  EXPECT_THAT(secret, HasSubstr("is not base64"));
  EXPECT_THAT(secret, Not(HasSubstr("secret")));
}

}  // namespace
}  // namespace headrace::config
