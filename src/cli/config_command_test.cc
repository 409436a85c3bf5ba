#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
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

TEST_F(ConfigCommand, AFileThatIsNotThereIsAFault) {
  EXPECT_EQ(Run("config check /no/such/file"), 1);
  EXPECT_THAT(err_, HasSubstr("/no/such/file"));
}

TEST_F(ConfigCommand, TheReferenceIsTheCommittedOne) {
  EXPECT_EQ(Run("config reference"), 0);
  EXPECT_EQ(out_, config::ConfigReferenceMarkdown());
}

}  // namespace
}  // namespace headrace::cli
