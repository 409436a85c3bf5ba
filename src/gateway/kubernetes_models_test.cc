// What is served of Kubernetes, before an API server that the test drives. The rest is tested
// before a real one: tests/kubernetes/kubernetes_test.cc.
#include "gateway/kubernetes_models.h"

#include <gmock/gmock.h>

#include <chrono>
#include <thread>

#include "net/test_peers.h"
#include "system/clock.h"
#include "system/temporary_folder.h"

namespace headrace::gateway {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr std::string_view kPods = R"({"metadata":{"resourceVersion":"1"},"items":[{
  "metadata":{"namespace":"team","name":"a10-0","uid":"u","ownerReferences":[
    {"kind":"StatefulSet","name":"a10","controller":true}]},
  "status":{"podIP":"10.0.0.7","phase":"Running",
            "conditions":[{"type":"Ready","status":"True"}]}}]})";

class KubernetesModelsTest : public testing::Test {
 protected:
  KubernetesModelsTest() {
    server_.emplace();
    folder_.Write("kubeconfig",
                  "clusters: [{ name: c, cluster: { server: 'http://" +
                      server_->address().ToString() +
                      "' } }]\n"
                      "users: [{ name: u, user: { token: t } }]\n"
                      "contexts: [{ name: x, context: { cluster: c, user: u, namespace: team } }]\n"
                      "current-context: x\n");
    config_.kubernetes.kubeconfig = (folder_.path() / "kubeconfig").string();
    config::ModelConfig& model = config_.models.emplace_back();
    model.name = "llama";
    model.kubernetes.emplace();
    model.kubernetes->selector = "app=llama";
  }
  // The engines that are known; their sentence if that may be old.
  std::vector<std::string> Engines() {
    std::vector<std::string> addresses;
    const ServedConfig served = models_.Serve(config_, ++now_);
    const KubernetesOrigin& origin = served.origins.front();
    const auto found = origin.view->Look();
    outage_ = found->outage;
    const auto engines = found->models.find({origin.name_space, origin.model});
    if (engines == found->models.end()) return {};
    for (const auto& engine : engines->second) addresses.push_back(engine.address.ToString());
    deployments_.clear();
    for (const auto& deployment : served.config.models.front().deployments) {
      deployments_.push_back(deployment.name);
    }
    return addresses;
  }
  // Answers a list, whatever it asks for, and returns what that was.
  std::string Answer(std::string_view list) {
    net::RawPeer peer(server_->Accept());
    const std::string head = peer.ReadUntil("\r\n\r\n");
    peer.Send("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: " +
              std::to_string(list.size()) + "\r\n\r\n" + std::string(list));
    return head.substr(0, head.find(" HTTP"));
  }

  system::TemporaryFolder folder_;
  std::optional<net::RawListener> server_;
  config::Config config_;
  KubernetesModels models_;
  Seconds now_ = 1;
  std::string outage_;
  std::vector<std::string> deployments_;
};

TEST_F(KubernetesModelsTest, WhatIsLookedForAnewStaysUntilItHasBeenListed) {
  ASSERT_TRUE(models_.SetConfig(config_));
  EXPECT_THAT(Answer(kPods), HasSubstr("labelSelector=app%3Dllama"));
  models_.Wait(20);
  EXPECT_THAT(Engines(), ElementsAre("10.0.0.7:8000"));
  EXPECT_THAT(deployments_, ElementsAre("a10"));
  server_.reset();  // The API server is away, …
  config_.models.front().kubernetes->selector = "app=llama,track=stable";
  ASSERT_TRUE(models_.SetConfig(config_));
  models_.Wait(20);
  EXPECT_THAT(Engines(), ElementsAre("10.0.0.7:8000")) << "another selector";
  EXPECT_THAT(outage_, HasSubstr("cannot be listed"));
  config_.models.front().kubernetes->namespaces = {"other"};
  ASSERT_TRUE(models_.SetConfig(config_));
  EXPECT_THAT(Engines(), ElementsAre("10.0.0.7:8000")) << "another namespace";
  EXPECT_THAT(deployments_, ElementsAre("a10"));
  config_.models.front().name = "mistral";
  config_.models.front().kubernetes->selector = "app=mistral";
  ASSERT_TRUE(models_.SetConfig(config_));
  EXPECT_THAT(Engines(), IsEmpty()) << "another model has none of them";
}

TEST_F(KubernetesModelsTest, WhatHasBeenListedAnewIsAllThereIs) {
  ASSERT_TRUE(models_.SetConfig(config_));
  Answer(kPods);
  models_.Wait(20);
  EXPECT_THAT(Engines(), ElementsAre("10.0.0.7:8000"));
  config_.models.front().kubernetes->selector = "app=other";
  ASSERT_TRUE(models_.SetConfig(config_));
  while (Answer(R"({"metadata":{"resourceVersion":"2"},"items":[]})").find("other") ==
         std::string::npos) {
  }
  models_.Wait(20);
  EXPECT_THAT(Engines(), IsEmpty());
}

}  // namespace
}  // namespace headrace::gateway
