#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "emulator/emulated_engine.h"
#include "engine/gpu_catalog.h"

namespace headrace::cli {
namespace {

using ::testing::HasSubstr;

class LoadCommand : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto catalog = engine::GpuCatalog::Parse(engine::ShippedGpuCatalog(), "gpus.json");
    engine_ =
        *emulator::EmulatedEngine::Start({.model = "m",
                                          .engine = *catalog->Engine("l20", "llama2-7b", 4096),
                                          .speed = 100,
                                          .seed = 1,
                                          .listen = *system::Resolve({"127.0.0.1", 0})});
  }
  ~LoadCommand() override {
    std::filesystem::remove(json_);
    std::filesystem::remove(csv_);
  }

  // The exit status; what was printed on standard error is in err_.
  int Run(std::vector<std::string> arguments) {
    CLI::App app("test", "headrace");
    AddLoadCommand(app);
    int status = 0;
    ::testing::internal::CaptureStderr();
    try {
      std::reverse(arguments.begin(), arguments.end());
      app.parse(arguments);
    } catch (const CLI::Error& error) {
      std::ostringstream ignored;
      status = app.exit(error, ignored, ignored);
      err_ = ignored.str();
    }
    err_ += ::testing::internal::GetCapturedStderr();
    return status;
  }
  std::string Target() const { return "http://" + engine_->address().ToString(); }

  std::unique_ptr<emulator::EmulatedEngine> engine_;
  const std::string base_ = ::testing::TempDir() + "headrace_load_command_" +
                            ::testing::UnitTest::GetInstance()->current_test_info()->name();
  const std::string json_ = base_ + ".json";
  const std::string csv_ = base_ + ".csv";
  std::string err_;
};

TEST_F(LoadCommand, WritesWhatItMeasured) {
  ASSERT_EQ(Run({"load", "--target", Target(), "--model", "m", "--rate", "300", "--class",
                 "a: share=2, prompt=30, output=3, e2e=1m", "--class",
                 "b: share=1, cv=2, prompt=20-30, output=1", "--max-requests", "50", "-o", json_,
                 "--requests", csv_}),
            0)
      << err_;
  std::ifstream json_file(json_);
  const auto json = nlohmann::json::parse(json_file);
  EXPECT_EQ(json["completed"], 50);
  EXPECT_EQ(json["classes"]["a"]["slo"], "e2e 60 s");
  EXPECT_EQ(
      json["classes"]["a"]["completed"].get<int>() + json["classes"]["b"]["completed"].get<int>(),
      50);
  std::ifstream csv_file(csv_);
  int lines = 0;
  for (std::string line; std::getline(csv_file, line);) ++lines;
  EXPECT_EQ(lines, 51);
  EXPECT_THAT(err_, HasSubstr("offered"));
}

TEST_F(LoadCommand, FailsWhereNothingIsDone) {
  const std::vector<std::string> load = {
      "--rate", "300", "--class", "a: share=1, prompt=30, output=3", "--max-requests", "5"};
  const auto run = [&](const std::string& target, const std::string& model) {
    std::vector<std::string> arguments = {"load", "--target", target, "--model", model};
    arguments.insert(arguments.end(), load.begin(), load.end());
    return Run(arguments);
  };
  EXPECT_EQ(run(Target(), "m"), 0) << err_;
  EXPECT_EQ(run(Target(), "other"), 1);
  EXPECT_THAT(err_, HasSubstr("none of 5 requests was completed; see the reasons above"));
  const std::string target = Target();
  engine_.reset();
  EXPECT_EQ(run(target, "m"), 1);
  EXPECT_THAT(err_, HasSubstr("; start the server, or name another one with --target"));
}

TEST_F(LoadCommand, SaysWhatItCannotDo) {
  const std::vector<std::string> start = {"load", "--model", "m"};
  const auto run = [&](std::vector<std::string> more) {
    more.insert(more.begin(), start.begin(), start.end());
    EXPECT_NE(Run(more), 0);
    return err_;
  };
  EXPECT_THAT(run({"--workload", "none"}), HasSubstr("choose one of chat-and-code"));
  EXPECT_THAT(run({"--class", "a: rate=1"}), HasSubstr("class \"a\": it has no lengths"));
  EXPECT_THAT(run({"--workload", "chat-and-code", "--target", "ftp://x:1"}),
              HasSubstr("The server's URL has a scheme that is not known here"));
  EXPECT_THAT(run({"--workload", "chat-and-code", "--duration", "long"}),
              HasSubstr("--duration: long is not a duration; write it like"));
  EXPECT_THAT(run({"--workload", "chat-and-code", "--header", "nonsense"}),
              HasSubstr("has no colon"));
}

}  // namespace
}  // namespace headrace::cli
