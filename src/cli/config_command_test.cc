#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "cli/commands.h"
#include "config/config.h"

namespace headrace::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class ConfigCommand : public ::testing::Test {
 protected:
  ~ConfigCommand() override { std::filesystem::remove(path_); }

  void Put(const std::string& text) const { std::ofstream(path_) << text; }
  // The exit status; what was printed is in out_ and err_.
  int Run(const std::string& arguments) {
    CLI::App app("test", "headrace");
    AddConfigCommand(app);
    int status = 0;
    ::testing::internal::CaptureStdout();
    ::testing::internal::CaptureStderr();
    try {
      app.parse(arguments, false);
    } catch (const CLI::Error& error) {
      status = app.exit(error);
    }
    out_ = ::testing::internal::GetCapturedStdout();
    err_ = ::testing::internal::GetCapturedStderr();
    return status;
  }

  const std::string path_ = ::testing::TempDir() + "headrace_config_command_" +
                            ::testing::UnitTest::GetInstance()->current_test_info()->name() +
                            ".yaml";
  std::string out_;
  std::string err_;
};

TEST_F(ConfigCommand, SaysWhatAValidFileDeclares) {
  Put("models:\n  - { name: m, deployments: [{ name: d, endpoints: [a:1, b:2] }] }\n");
  EXPECT_EQ(Run("config check " + path_), 0) << err_;
  EXPECT_EQ(out_, path_ + ": valid; 1 model, 1 deployment, 2 endpoints\n");
}

TEST_F(ConfigCommand, SaysEveryFaultOnStandardErrorAndFails) {
  Put("threads: many\nmodels:\n  - name: m\n    policy: slow\n    deployments: []\n");
  EXPECT_EQ(Run("config check " + path_), 1);
  EXPECT_EQ(out_, "");
  EXPECT_THAT(err_, AllOf(HasSubstr(path_ + ":1: threads is \"many\""),
                          HasSubstr(path_ + ":4: models[0].policy is \"slow\", which is not known; "
                                            "did you mean slo?"),
                          HasSubstr(path_ + ":5: models[0].deployments is empty")));
}

TEST_F(ConfigCommand, WarnsOfAProfileThatIsMissedButNotOfOneThatNobodyNeeds) {
  const auto check = [&](const std::string& policy, const std::string& profile) {
    Put("models:\n  - name: m\n    policy: " + policy + "\n    deployments: [{ name: d, " +
        profile + "endpoints: [a:1] }]\n");
    EXPECT_EQ(Run("config check " + path_), 0);
    return err_;
  };
  EXPECT_THAT(check("slo", ""), HasSubstr("profiles/d.json: no such file; generate a profile"));
  EXPECT_THAT(check("least-request", "profile: ./none.json, "), HasSubstr("none.json: no such"));
  EXPECT_EQ(check("least-request", ""), "");
  EXPECT_EQ(check("slo-headroom", ""), "");
}

TEST_F(ConfigCommand, AFileThatIsNotThereIsAFault) {
  EXPECT_EQ(Run("config check /no/such/file"), 1);
  EXPECT_THAT(err_, HasSubstr("/no/such/file"));
}

constexpr const char* kSmall =
    "models:\n  - { name: m, deployments: [{ name: d, profile: p/d.json, endpoints: [a:1] }] }\n";

TEST_F(ConfigCommand, DiffSaysWhatARunningGatewayTakesOver) {
  Put(kSmall);
  // In another folder, so that relative paths would differ.
  const std::filesystem::path folder = path_ + "-new";
  std::filesystem::create_directory(folder);
  const std::string other = folder / "new.yaml";
  std::ofstream(other) << kSmall;
  EXPECT_EQ(Run("config diff " + path_ + " " + other), 0) << err_;
  EXPECT_EQ(out_, "");

  std::ofstream(other) << "threads: 3\nredis: redis://:secret@r\nrequest_trace: true\nmodels:\n"
                          "  - name: m\n    queue: { timeout: 5s }\n    deployments:\n"
                          "      - { name: d, profile: p/d.json, endpoints: [a:1] }\n"
                          "      - { name: e, endpoints: [b:1] }\n";
  EXPECT_EQ(Run("config diff " + path_ + " " + other), 1);
  EXPECT_EQ(out_,
            "threads: 0 → 3 (restart)\n"
            "redis: … → … (live)\n"
            "request_trace: false → true (live)\n"
            "models[m].queue.timeout: 1m → 5s (live)\n"
            "models[m].deployments[e]: added (live)\n"
            "A running gateway takes over 4 of 5 changes; the rest needs a restart.\n");
  EXPECT_EQ(err_, "");

  std::ofstream(other) << "models: []\n";
  EXPECT_EQ(Run("config diff " + path_ + " " + other), 2);
  EXPECT_EQ(out_, "");
  EXPECT_THAT(err_, HasSubstr(other + ":1: models is empty"));
  EXPECT_EQ(Run("config diff " + path_ + " /no/such/file"), 2);
  std::filesystem::remove_all(folder);
}

TEST_F(ConfigCommand, TheSchemaIsJsonWithThePolicies) {
  EXPECT_EQ(Run("config schema"), 0);
  const auto schema = nlohmann::json::parse(out_);
  const auto& model = schema["properties"]["models"]["items"]["properties"];
  EXPECT_THAT(model["policy"].dump(), AllOf(HasSubstr("\"slo-headroom\""), HasSubstr("random")));
}

TEST_F(ConfigCommand, TheReferenceIsTheCommittedOne) {
  EXPECT_EQ(Run("config reference"), 0);
  EXPECT_EQ(out_, config::ConfigReferenceMarkdown());
}

}  // namespace
}  // namespace headrace::cli
