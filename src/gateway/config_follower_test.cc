#include "gateway/config_follower.h"

#include <gmock/gmock.h>

#include <atomic>
#include <filesystem>
#include <thread>

#include "gateway/test_gateway.h"

namespace headrace::gateway {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// A gateway before an engine, with a file that says how it is: real options, read as they are.
class ConfigFollowerTest : public testing::Test {
 protected:
  ConfigFollowerTest() {
    t_.AddEngine("a10");
    engine_ = t_.config.models[0].deployments[0].endpoints[0].url;
  }
  std::string Text(const std::string& policy, const std::string& more = "") const {
    return "listen: 127.0.0.1:0\nprofiles: { directory: " + t_.folder.path().string() +
           " }\nmodels:\n  - { name: llama2-7b, policy: " + policy +
           ", deployments: [{ name: a10, endpoints: [" + engine_ + "] }] }\n" + more;
  }
  static Result<config::Config> Parse(std::string_view text) {
    static constexpr std::string_view kPolicies[] = {"round-robin", "least-request", "random"};
    return config::LoadConfig(text, "h.yaml", kPolicies,
                              [](const std::string&) { return std::optional<std::string>(); });
  }
  // Starts the gateway with this text in the file.
  void Start(const std::string& text, Seconds interval = 0.02) {
    t_.folder.Write("h.yaml", text);
    t_.config = *Parse(text);
    t_.Start();
    follower_ = std::make_unique<ConfigFollower>(file(), text, Parse, *t_.gateway, t_.log,
                                                 t_.registry, interval);
  }
  std::string file() const { return (t_.folder.path() / "h.yaml").string(); }
  std::string Policy() { return t_.Chat(ChatBody(5, false)).Header("routing-strategy"); }
  bool Becomes(const std::string& policy) {
    return Eventually([&] { return t_.gateway->config()->models[0].policy == policy; });
  }

  TestGateway t_;
  std::string engine_;
  std::unique_ptr<ConfigFollower> follower_;
};

constexpr Seconds kNeverByItself = 3600;

TEST_F(ConfigFollowerTest, ReadsTheFileWhenItIsToldTo) {
  Start(Text("round-robin"), kNeverByItself);
  EXPECT_EQ(Policy(), "round-robin");
  t_.folder.Write("h.yaml", Text("random", "threads: 7\n"));
  const ConfigFileStatus status = follower_->Reload();
  EXPECT_EQ(status.error, "");
  EXPECT_THAT(status.changed, ElementsAre("models[llama2-7b].policy"));
  EXPECT_THAT(status.awaiting_restart, ElementsAre("threads"));
  EXPECT_EQ(Policy(), "random");
  EXPECT_EQ(t_.Metric("headrace_config_reloads_total{result=\"ok\"}"), 1);
  EXPECT_EQ(t_.Metric("headrace_config_awaiting_restart"), 1);
  EXPECT_TRUE(t_.Said("need a restart"));
  t_.folder.Write("h.yaml", Text("random"));
  EXPECT_THAT(follower_->Reload().awaiting_restart, IsEmpty()) << "it is as it was";
}

TEST_F(ConfigFollowerTest, AFileWithAFaultChangesNothing) {
  Start(Text("round-robin"), kNeverByItself);
  t_.folder.Write("h.yaml", Text("least-requests", "liste: x\n"));
  const ConfigFileStatus status = follower_->Reload();
  EXPECT_THAT(status.error, HasSubstr("h.yaml:4: "));
  EXPECT_THAT(status.error, HasSubstr("\nh.yaml:5: "));
  EXPECT_EQ(Policy(), "round-robin");
  EXPECT_EQ(t_.LinesWith("was not taken over").size(), 2) << "one for each fault";
  EXPECT_EQ(t_.Metric("headrace_config_current"), 0);
  EXPECT_EQ(t_.Metric("headrace_config_reloads_total{result=\"failed\"}"), 1);
  EXPECT_EQ(follower_->status().error, status.error);

  std::filesystem::remove(file());
  EXPECT_THAT(follower_->Reload().error, HasSubstr("h.yaml"));
  t_.folder.Write("h.yaml", Text("round-robin"));
  EXPECT_EQ(follower_->Reload().error, "");
  EXPECT_EQ(t_.Metric("headrace_config_current"), 1);
}

TEST_F(ConfigFollowerTest, AChangedFileIsReadByItself) {
  Start(Text("round-robin"));
  t_.folder.Write("h.yaml", Text("random"));
  EXPECT_TRUE(Becomes("random"));
  // A file with a fault is said once, not at every look.
  t_.folder.Write("h.yaml", ", no YAML");
  EXPECT_TRUE(Eventually([&] { return !follower_->status().error.empty(); }));
  const double failed = t_.Metric("headrace_config_reloads_total{result=\"failed\"}");
  t_.folder.Write("h.yaml", Text("least-request"));
  EXPECT_TRUE(Becomes("least-request"));
  EXPECT_EQ(t_.Metric("headrace_config_reloads_total{result=\"failed\"}"), failed);
}

// As Kubernetes mounts it: h.yaml → ..data/h.yaml, ..data → a folder of its own for each version.
TEST_F(ConfigFollowerTest, AMountedConfigMapIsFollowed) {
  Start(Text("round-robin"));
  const std::filesystem::path folder = t_.folder.path();
  const auto mount = [&](const std::string& version, const std::string& text) {
    std::filesystem::create_directory(folder / version);
    t_.folder.Write(version + "/h.yaml", text);
    std::filesystem::create_symlink(version, folder / "..tmp");
    std::filesystem::rename(folder / "..tmp", folder / "..data");
  };
  mount("..1", Text("round-robin"));
  std::filesystem::remove(file());
  std::filesystem::create_symlink("..data/h.yaml", file());
  mount("..2", Text("random"));
  std::filesystem::remove_all(folder / "..1");
  EXPECT_TRUE(Becomes("random"));
}

TEST_F(ConfigFollowerTest, NoRequestIsLostWhileTheFileChangesUnderLoad) {
  Start(Text("round-robin"), kNeverByItself);
  const std::string other = t_.AddEngine("l20").address().ToString();
  const std::string moved =
      "listen: 127.0.0.1:0\nprofiles: { directory: " + t_.folder.path().string() +
      " }\nlimits: { body: 1MiB }\ntimeouts: { request: 5m, connect: 1s }\n"
      "models:\n  - { name: other, deployments: [{ name: a10, endpoints: [" +
      engine_ + "] }] }\n  - { name: llama2-7b, policy: random, " +
      "deployments: [{ name: l20, endpoints: [" + other + "] }] }\n";
  std::atomic<bool> stop = false;
  std::atomic<int> served = 0;
  std::vector<std::thread> clients;
  std::atomic<int> failed = 0;
  for (int i = 0; i < 4; ++i) {
    clients.emplace_back([&, stream = i % 2 == 0] {
      while (!stop) {
        const HttpResponse response = t_.Chat(ChatBody(20, stream));
        (response.status == 200 && response.complete ? served : failed) += 1;
      }
    });
  }
  for (int i = 0; i < 20; ++i) {
    t_.folder.Write("h.yaml", i % 2 == 0 ? moved : Text("round-robin"));
    EXPECT_EQ(follower_->Reload().error, "");
    const int before = served;
    EXPECT_TRUE(Eventually([&] { return served > before + 8; }));
  }
  stop = true;
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(failed, 0);
  EXPECT_TRUE(Eventually([&] { return t_.Idle(); }));
  EXPECT_TRUE(Eventually(
      [&] { return t_.Metric("headrace_requests_total{model=\"llama2-7b\"") == served; }));
}

}  // namespace
}  // namespace headrace::gateway
